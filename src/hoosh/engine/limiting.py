"""Which rate limits a call is under: its caller's, once, and those of whom it is sent to, for each attempt.

The caller's are the caller's fault (429, no other attempt); a provider's or a model's are a reason to ask another.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import msgspec

from hoosh.core.asked import Request
from hoosh.core.call import Account, Call
from hoosh.core.errors import HeldBack, RateLimited
from hoosh.core.limit import Gauge, Limit, Refusal, Resource
from hoosh.core.principal import UNLIMITED_KEY, Principal
from hoosh.engine.backend import Backend
from hoosh.policy.estimate import bound, usage_of
from hoosh.policy.globs import serves
from hoosh.policy.limits import span
from hoosh.ports import Limits, Permit

_UNIT: Mapping[Resource, str] = {
    "requests": "requests per minute (RPM)",
    "tokens": "tokens per minute (TPM)",
    "calls": "calls at once (concurrency)",
}


class ModelLimit(msgspec.Struct, frozen=True):
    """All calls to models that match `model`, at `provider` ("" for every one), share one limit."""

    model: str
    provider: str
    limit: Limit


class Limiting:
    """`pools` has what limits the calls of a pool, its own and those above it; `agents` what limits an agent's."""

    def __init__(
        self,
        limits: Limits,
        *,
        pools: Mapping[str, tuple[Limit, ...]],
        agents: Mapping[str, tuple[Limit, ...]],
        models: Sequence[ModelLimit],
    ) -> None:
        self._limits = limits
        self._pools = pools
        self._agents = agents
        self._models = models

    def of_caller(self, principal: Principal, pool: str, agent: str) -> tuple[Limit, ...]:
        """`pool` is the one asked for, "" for the caller's own. () for who may call as often as it likes."""
        found = self._pools.get(pool or principal.pool, ()) if self._pools else ()
        if self._agents and agent in self._agents:
            found = tuple(dict.fromkeys(found + self._agents[agent]))
        key = principal.limits
        if key == UNLIMITED_KEY:
            return found
        return (Limit("key", principal.key_id, key.rpm, key.tpm, key.concurrency), *found)

    def gauges(self, limits: Sequence[Limit]) -> Sequence[Gauge]:
        return self._limits.gauges(limits)

    def admit(self, call: Call) -> Permit | None:
        """Raises RateLimited."""
        limits = self.of_caller(call.principal, call.wishes.pool, call.wishes.agent)
        if not limits:
            return None
        answer = self._limits.take(limits, _tokens(limits, call.request))
        if isinstance(answer, Refusal):
            raise RateLimited(_words(answer), retry_after_s=answer.wait_ns / 1e9)
        return answer

    def attempt(self, account: Account, backend: Backend, model: str, held: AsyncExitStack) -> None:
        """Take for one attempt what is given back when `held` closes. Raises HeldBack."""
        limits = self._of_target(backend, model)
        if not limits:
            return
        answer = self._limits.take(limits, _tokens(limits, account.call.request))
        if isinstance(answer, Refusal):
            raise HeldBack(_words(answer), retry_after_s=answer.wait_ns / 1e9)
        permit = answer
        held.callback(lambda: permit.give_back(usage_of(account).total))

    def _of_target(self, backend: Backend, model: str) -> tuple[Limit, ...]:
        own = () if backend.limit is None else (backend.limit,)
        if not self._models:
            return own
        return own + tuple(
            row.limit for row in self._models if row.provider in ("", backend.name) and serves(model, (row.model,))
        )


def _tokens(limits: Sequence[Limit], request: Request) -> int:
    """An upper bound, looked for only where somebody asks. Counting takes none."""
    return bound(request) if any(limit.tpm is not None for limit in limits) else 0


def _words(refusal: Refusal) -> str:
    gauge, limit = refusal.gauge, refusal.gauge.limit
    at_once = "" if gauge.burst == gauge.units else f", {gauge.burst} at once"
    unit, used = _UNIT[gauge.resource], gauge.burst - gauge.free
    return (
        f"Rate limit reached for {limit.scope} '{limit.name}' on {unit}: limit {gauge.units}{at_once}, "
        f"used {used}, requested {refusal.needed}. Please try again in {span(refusal.wait_ns)}."
    )
