"""`/v1/route/explain` and `/v1/route/decisions/{id}`: where a call would go, where one went, and why.

The first asks the same router as a call does, which then does not count it as one. What is asked is the very request
that would be sent: its body, its headers, and `?for=/v1/messages` for another path than chat.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qs

import msgspec

from hoosh.core.call import Call, Failure, Receipt
from hoosh.core.errors import BadRequest, NotFound
from hoosh.core.plan import Target
from hoosh.core.pool import Terms
from hoosh.core.principal import Principal
from hoosh.core.routing import Considered, Decision
from hoosh.dialects import ClientDialect
from hoosh.engine.decisions import Decisions
from hoosh.engine.engine import Engine
from hoosh.engine.router import WhatIf
from hoosh.http.exchange import Exchange
from hoosh.policy.estimate import bound
from hoosh.policy.scopes import may_use

CHAT = "/v1/chat/completions"
MOST = 1_000_000_000


class Inference(Protocol):
    """What is needed of http.inference.Inference."""

    async def read(self, exchange: Exchange, /) -> tuple[Call, ClientDialect]: ...


class Explaining:
    """`asked_at` has what is served where. `hardware` tells what this machine has for local models."""

    def __init__(
        self,
        engine: Engine,
        decisions: Decisions,
        asked_at: Mapping[str, Inference],
        hardware: Callable[[], Mapping[str, object]],
    ) -> None:
        self._engine = engine
        self._decisions = decisions
        self._asked_at = asked_at
        self._hardware = hardware

    async def explain(self, exchange: Exchange) -> None:
        asked = {name: values[-1] for name, values in parse_qs(exchange.query.decode("latin-1")).items()}
        path = asked.get("for", CHAT)
        inference = self._asked_at.get(path)
        if inference is None:
            raise BadRequest(f"for: expected one of {', '.join(sorted(self._asked_at))}", param="for")
        exchange.query = b""
        call = _taken((await inference.read(exchange))[0], asked)
        world = self._engine.world
        terms = world.cashier.terms(call)
        what_if = WhatIf(
            input_tokens=_number(asked, "input_tokens"), budget_percent=_number(asked, "budget_used_percent")
        )
        decision = world.router.explain(call, terms, what_if)
        told = self._told(decision, call)
        told["budget"] = self._budget(call, terms)
        told["hardware"] = self._hardware()
        await exchange.answer(told)

    async def decision(self, exchange: Exchange) -> None:
        receipt = self._decisions.find(exchange.tail, exchange.principal.key_id)
        if receipt is None or receipt.decision is None:
            raise NotFound("no decision of that id: it is not yours, too old, or was made by another worker")
        await exchange.answer(_past(receipt, receipt.decision))

    def _told(self, decision: Decision, call: Call) -> dict[str, object]:
        told = described(decision, call.principal)
        told["model"] = call.request.model
        router = self._engine.world.router
        rows = []
        for one in _shown(decision, call.principal):
            price_micros = router.price_micros(call, one.candidate.target)
            rows.append({**_candidate(one), "price_micro_usd": price_micros, **self._load(one.candidate.target)})
        told["candidates"] = rows
        return told

    def _load(self, target: Target) -> dict[str, object]:
        admission = self._engine.world.admission
        limit, waiting = (admission.standing(target) if admission else None) or (None, None)
        return {"limit": limit, "waiting": waiting}

    def _budget(self, call: Call, terms: Terms) -> dict[str, object]:
        return {
            "pools": list(terms.pools),
            "percent_used": self._engine.world.router.percent_used(terms),
            "has_limit": terms.is_capped,
            "tokens_held": bound(call.request),
        }


def _taken(call: Call, asked: Mapping[str, str]) -> Call:
    """Headers may be said in the query, too."""
    wishes = call.wishes
    if "tags" in asked:
        wishes = msgspec.structs.replace(wishes, tags=tuple(asked["tags"].split(",")))
    if "session" in asked:
        wishes = msgspec.structs.replace(wishes, session=asked["session"])
    return call if wishes is call.wishes else msgspec.structs.replace(call, wishes=wishes)


def described(decision: Decision, principal: Principal) -> dict[str, object]:
    return {
        "object": "route.decision",
        "route": decision.route or "default",
        "strategy": decision.strategy,
        "session": decision.session or None,
        "targets": [_target(target) for target in decision.plan.targets],
        "candidates": [_candidate(one) for one in _shown(decision, principal)],
        "routes_passed": [{"route": name, "failed": flaw} for name, flaw in decision.passed],
        "turn": decision.chance.turn,
        "draws": list(decision.chance.draws),
    }


def _shown(decision: Decision, principal: Principal) -> Sequence[Considered]:
    """A key that is held to models learns of no others."""
    return [
        one
        for one in decision.considered
        if may_use(principal, one.candidate.target.provider, one.candidate.target.model)
    ]


def _past(receipt: Receipt, decision: Decision) -> dict[str, object]:
    return {
        **described(decision, receipt.principal),
        "id": receipt.call_id,
        "request_id": receipt.request_id,
        "model": receipt.model,
        "outcome": receipt.outcome.value,
        "status": receipt.status,
        "served_by": _target(receipt.target) if receipt.target is not None and receipt.outcome.value == "ok" else None,
        "attempts": receipt.attempts,
        "failed": [{**_target(failure.target), "error": _error(failure)} for failure in receipt.tried],
        "first_event_ms": round(receipt.first_event_ns / 1e6, 1),
        "total_ms": round(receipt.total_ns / 1e6, 1),
    }


def _candidate(one: Considered) -> dict[str, object]:
    vital, candidate = one.vital, one.candidate
    return {
        **_target(candidate.target),
        "local": candidate.target.local,
        "tier": candidate.tier,
        "weight": candidate.weight,
        "keys": candidate.keys,
        "place": one.place or None,
        "skipped": one.skipped or None,
        "retry_in_s": round(vital.retry_s, 3) if vital.blocked else None,
        "score": one.score if one.score is not None and one.score != float("inf") else None,
        "first_token_ms": None if vital.latency_s is None else round(vital.latency_s * 1e3, 1),
        "in_flight": vital.in_flight,
        "price_micro_usd": one.price_micros,
    }


def _target(target: Target) -> dict[str, object]:
    told: dict[str, object] = {"provider": target.provider, "model": target.model}
    if target.key:
        told["key"] = target.key + 1
    return told


def _error(failure: Failure) -> dict[str, object]:
    return {"code": failure.code, "status": failure.status, "message": failure.message}


def _number(asked: Mapping[str, str], name: str) -> int | None:
    said = asked.get(name)
    if said is None:
        return None
    if not said.isascii() or not said.isdigit() or len(said) > 10 or int(said) > MOST:
        raise BadRequest(f"{name}: expected a number from 0 to {MOST}", param=name)
    return int(said)
