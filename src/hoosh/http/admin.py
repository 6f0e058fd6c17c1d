"""The pages of the admin listener: keys are made, seen, changed and ended here. No secret is shown but a new one."""

import re
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec

from hoosh import __version__
from hoosh.core.errors import BadRequest, NotFound, UnsupportedMedia
from hoosh.core.principal import KeyBudget, KeyLimits
from hoosh.core.stored_key import KeyTerms
from hoosh.engine.key_office import KeyOffice, MadeKey, described
from hoosh.http.exchange import Exchange
from hoosh.http.request import Limits, check_json
from hoosh.policy.key_terms import expiry_s, seconds
from hoosh.ports import Clock

LIMITS = Limits(body_limit_bytes=64 << 10)
# How long the old secret goes on working beside a new one, unless it is said.
OVERLAP = "24h"
T = TypeVar("T")
_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_fields = msgspec.json.Decoder(dict[str, object])


class Store(Protocol):
    """What is needed of engine.key_ring.KeyRing."""

    @property
    def is_down(self) -> bool: ...


class _Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """core.stored_key.KeyTerms as clients write them."""

    name: str
    pool: str = "default"
    owner: str = ""
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    admin: bool = False
    expires: str | int | None = None
    limits: KeyLimits = KeyLimits()
    budget: KeyBudget | None = None


class _Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    overlap: str = OVERLAP


class Admin:
    """`look` makes this process see a change at once; the others see it within their own time."""

    def __init__(self, office: KeyOffice, store: Store, look: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._office = office
        self._store = store
        self._look = look
        self._clock = clock

    async def health(self, exchange: Exchange) -> None:
        down = self._store.is_down
        await exchange.answer(
            {"status": "degraded" if down else "ok", "version": __version__, "keys_readable": not down}
        )

    async def index(self, exchange: Exchange) -> None:
        now_s = self._clock.unix_s()
        await exchange.answer({"object": "list", "data": [described(key, now_s) for key in await self._office.all()]})

    async def create(self, exchange: Exchange) -> None:
        terms = self._terms(await _body(exchange))
        await self._answer_made(exchange, await self._office.create(terms), 201)

    async def show(self, exchange: Exchange) -> None:
        await exchange.answer(described(await self._office.find(exchange.tail), self._clock.unix_s()))

    async def change(self, exchange: Exchange) -> None:
        """What is given replaces what was; null takes it away."""
        given = await _body(exchange)
        key = await self._office.find(exchange.tail)
        fields: dict[str, object] = msgspec.to_builtins(key.terms)
        fields["expires"] = fields.pop("expires_s", None)
        fields |= given
        terms = self._terms({name: value for name, value in fields.items() if value is not None})
        changed = await self._office.change(key.id, terms)
        await self._look()
        await exchange.answer(described(changed, self._clock.unix_s()))

    async def revoke(self, exchange: Exchange) -> None:
        key = await self._office.revoke(exchange.tail)
        await self._look()
        await exchange.answer(described(key, self._clock.unix_s()))

    async def rotate(self, exchange: Exchange) -> None:
        wanted, _, action = exchange.tail.partition("/")
        if action != "rotate":
            raise NotFound(f"no such path: /admin/keys/{exchange.tail[:256]}")
        check_json(exchange.headers)
        body = await exchange.body(LIMITS)
        rotation = _converted(_decoded(body) if body else {}, _Rotation)
        made = await self._office.rotate(wanted, seconds(rotation.overlap, "overlap"))
        await self._answer_made(exchange, made, 200)

    def _terms(self, given: dict[str, object]) -> KeyTerms:
        said = _converted(given, _Terms)
        expires = said.expires
        return KeyTerms(
            name=said.name,
            pool=said.pool,
            owner=said.owner,
            agents=said.agents,
            models=said.models,
            pools=said.pools,
            routes=said.routes,
            admin=said.admin,
            expires_s=expiry_s(expires, self._clock.unix_s()) if isinstance(expires, str) else expires,
            limits=said.limits,
            budget=said.budget,
        )

    async def _answer_made(self, exchange: Exchange, made: MadeKey, status: int) -> None:
        await self._look()
        shown = described(made.key, self._clock.unix_s())
        await exchange.answer({**shown, "secret": made.secret}, status)


async def _body(exchange: Exchange) -> dict[str, object]:
    """Raises ClientError."""
    if b"content-type" not in exchange.headers:
        raise UnsupportedMedia("send the body as content-type: application/json")
    check_json(exchange.headers)
    return _decoded(await exchange.body(LIMITS))


def _decoded(body: bytes) -> dict[str, object]:
    try:
        return _fields.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the request body is not a JSON object", param="body") from None


def _converted(given: dict[str, object], kind: type[T]) -> T:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        found = _AT.search(str(error))
        field = found[1] if found else ""
        message = _AT.sub("", str(error))
        raise BadRequest(f"{field}: {message}" if field else message, param=field or None) from None
