"""`/v1/tokens/*`: pools for callers that spend elsewhere. Three client dialects are answered at once: the first hoosh's
(`reserved`, `actual`), its ancestor's (`project`, `tokens`) and one with ids (`reservation_id`).
"""

from typing import Annotated, Protocol, TypeVar

import msgspec

from hoosh.core.call import Hold
from hoosh.core.errors import BadRequest
from hoosh.core.ledger import UNLIMITED, Amount
from hoosh.core.pool import MOST, PoolView
from hoosh.core.principal import Principal
from hoosh.http.exchange import Exchange
from hoosh.http.request import Limits, check_json, new_id

LIMITS = Limits(body_limit_bytes=64 << 10)
DEFAULT_TTL_S = 3600
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Ttl = Annotated[int, msgspec.Meta(ge=1, le=31 * 86_400)]
T = TypeVar("T")


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    pool: str = "default"
    project: str | None = None
    agent: str | None = None


class _Check(_Asked, frozen=True, kw_only=True):
    tokens: Count


class _Reserve(_Asked, frozen=True, kw_only=True):
    """`pool_total` and `period_seconds`, with which an old client would make a pool, change none."""

    tokens: Count
    ttl_seconds: Ttl = DEFAULT_TTL_S
    idempotency_key: Annotated[str, msgspec.Meta(max_length=128)] = ""


class _Report(_Asked, frozen=True, kw_only=True):
    reserved: Count | None = None
    actual: Count | None = None
    tokens: Count | None = None
    reservation_id: str | None = None


class _Release(_Asked, frozen=True, kw_only=True):
    reservation_id: str


class Reservations(Protocol):
    """What is needed of engine.reservations.Reservations."""

    def names(self, principal: Principal, /) -> list[str]: ...

    async def view(self, principal: Principal, name: str, /) -> PoolView: ...

    async def reserve(self, principal: Principal, hold: Hold, /) -> bool: ...

    async def report(self, principal: Principal, reservation_id: str, tokens: int, /) -> str: ...

    async def report_oldest(self, principal: Principal, hold: Hold, reserved: int, tokens: int, /) -> None: ...

    async def spend(self, principal: Principal, hold: Hold, tokens: int, /) -> None: ...

    async def release(self, principal: Principal, reservation_id: str, /) -> str: ...


class Tokens:
    """The endpoints."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations

    async def check(self, exchange: Exchange) -> None:
        asked = await _read(exchange, _Check)
        view = await self._reservations.view(exchange.principal, asked.pool)
        left = view.available
        told = {"allowed": asked.tokens <= left, "requested": asked.tokens, **_left(view)}
        await exchange.answer(told | ({"project": asked.project} if asked.project else {}))

    async def reserve(self, exchange: Exchange) -> None:
        asked = await _read(exchange, _Reserve)
        name = f"{exchange.principal.key_id}:{asked.idempotency_key}" if asked.idempotency_key else new_id()
        hold = _hold(exchange, asked, asked.tokens, f"hold-{name}", asked.ttl_seconds)
        is_reserved = await self._reservations.reserve(exchange.principal, hold)
        view = await self._reservations.view(exchange.principal, asked.pool)
        told: dict[str, object] = {"reserved": is_reserved, **_left(view)}
        if is_reserved:
            told |= {"reservation_id": hold.id, "expires_at": view.now_s + asked.ttl_seconds}
            told |= {"status": "reserved", "tokens_reserved": asked.tokens}
        await exchange.answer(told)

    async def report(self, exchange: Exchange) -> None:
        asked = await _read(exchange, _Report)
        used = asked.actual if asked.actual is not None else asked.tokens
        if used is None:
            raise BadRequest("actual: required (or tokens)", param="actual")
        pool, principal = asked.pool, exchange.principal
        if asked.reservation_id is not None:
            pool = await self._reservations.report(principal, asked.reservation_id, used)
        else:
            hold = _hold(exchange, asked, 0, f"use-{new_id()}", 0)
            if asked.reserved is None:
                await self._reservations.spend(principal, hold, used)
            else:
                await self._reservations.report_oldest(principal, hold, asked.reserved, used)
        view = await self._reservations.view(principal, pool)
        await exchange.answer({"status": "recorded", "tokens_consumed": used, "used": view.used, **_left(view)})

    async def release(self, exchange: Exchange) -> None:
        asked = await _read(exchange, _Release)
        pool = await self._reservations.release(exchange.principal, asked.reservation_id)
        view = await self._reservations.view(exchange.principal, pool)
        await exchange.answer({"status": "released", **_left(view)})

    async def pools(self, exchange: Exchange) -> None:
        names = self._reservations.names(exchange.principal)
        rows = [_row(await self._reservations.view(exchange.principal, name)) for name in names]
        await exchange.answer({"pools": rows, "total_pools": len(rows)})

    async def pool(self, exchange: Exchange) -> None:
        await exchange.answer(_row(await self._reservations.view(exchange.principal, exchange.tail)))


async def _read(exchange: Exchange, kind: type[T]) -> T:
    check_json(exchange.headers)
    body = await exchange.body(LIMITS)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`") or (text.split("`")[1] if "`" in text else "")
        raise BadRequest(f"{name}: {text}" if name else text, param=name or None) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}", param="body") from None


def _hold(exchange: Exchange, asked: _Asked, tokens: int, name: str, ttl_s: int) -> Hold:
    return Hold(
        id=name,
        pools=(asked.pool,),
        amount=Amount(tokens),
        sent=False,
        expires_s=ttl_s,
        request_id=exchange.id,
        key=exchange.principal.key_id,
        agent=asked.agent or asked.project or "",
        operation="tokens",
    )


def _left(view: PoolView) -> dict[str, object]:
    return {
        "pool": view.name,
        "available": view.available,
        "remaining": view.available,
        "pool_total_remaining": view.available,
        "project_remaining": view.available,
    }


def _row(view: PoolView) -> dict[str, object]:
    capacity = None if view.capacity == UNLIMITED else view.capacity
    part = view.used / capacity if capacity else 0.0
    return {
        "name": view.name,
        "pool_name": view.name,
        "capacity": capacity,
        "total": capacity,
        "used": view.used,
        "reserved": view.reserved,
        "available": view.available,
        "remaining": view.available,
        "utilization": part,
        "usage_percent": part,
        "used_micro_usd": view.used_micros,
        "capacity_micro_usd": None if view.capacity_micros == UNLIMITED else view.capacity_micros,
        "period_seconds": view.ends_s - view.starts_s if view.ends_s else None,
        "period_remaining_seconds": max(0, view.ends_s - view.now_s) if view.ends_s else None,
    }
