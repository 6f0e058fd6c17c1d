"""What the configured providers offer and how they fare: the live half of routing. Choosing is policy.choose's."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hoosh.core.call import Ticket
from hoosh.core.errors import (
    BadUpstream,
    ConnectFailed,
    HooshError,
    NoFirstEvent,
    Refused,
    Reset,
    Throttled,
    TooDear,
    UpstreamError,
)
from hoosh.engine.backend import Backend
from hoosh.policy.choose import Offer
from hoosh.policy.globs import serves
from hoosh.policy.hidden_keys import hide_key, in_our_words
from hoosh.ports import Clock, Transport

if TYPE_CHECKING:
    from hoosh.engine.vitals import Vitals

# A list of models is some kilobytes; OpenRouter's is near one megabyte.
MAX_LIST_BYTES = 16 << 20
# A provider is called down after this many failures in a row.
DOWN_AFTER = 3
# Ends of attempts that say nothing against the provider.
NO_FAULT = (Refused, Throttled, TooDear)


class Standing:
    """What is known of one backend now. Written by probes and by the engine's own attempts."""

    __slots__ = ("checked_ns", "failures", "last_error", "latency_ms", "models", "seen")

    def __init__(self) -> None:
        self.models: tuple[str, ...] = ()
        self.failures = 0
        self.last_error = ""
        self.latency_ms: float | None = None
        self.checked_ns = 0
        self.seen = False  # answered at least once

    @property
    def status(self) -> str:
        if self.failures >= DOWN_AFTER or (self.failures and not self.seen):
            return "unhealthy"
        return "healthy" if self.seen else "unknown"


class Catalog:
    """`offers` are what routing chooses from; `generation` grows whenever they change."""

    def __init__(self, backends: Sequence[Backend], transport: Transport, clock: Clock, vitals: "Vitals") -> None:
        self._transport = transport
        self._clock = clock
        self._standings: dict[str, Standing] = {}
        self.vitals = vitals
        self.backends: Mapping[str, Backend] = {}
        self.offers: tuple[Offer, ...] = ()
        self.generation = 0
        self.define(backends)

    def define(self, backends: Sequence[Backend]) -> None:
        """From now on these are all. What is known of those that stay is kept; calls that run keep theirs."""
        before, self.backends = self.backends, {backend.name: backend for backend in backends}
        for name, backend in self.backends.items():
            old = before.get(name)
            if old is None or (old.base_url, old.auths) != (backend.base_url, backend.auths):
                self._standings[name] = Standing()
                self.vitals.forget(name)
        for name in before.keys() - self.backends.keys():
            del self._standings[name]
            self.vitals.forget(name)
        self._publish()

    def standing(self, name: str) -> Standing:
        return self._standings[name]

    def answered(self, ticket: Ticket, first_event_s: float) -> None:
        """The first token of an attempt is there."""
        self.vitals.answered(ticket, first_event_s)
        standing = self._standings.get(ticket.target.provider)
        if standing is not None:
            standing.latency_ms = first_event_s * 1e3
            if standing.failures or not standing.seen:
                standing.failures, standing.last_error, standing.seen = 0, "", True

    def ended(self, ticket: Ticket, error: HooshError | None) -> None:
        """An attempt is over; `error` is how it failed, None if it did not. Only what says something of the provider
        counts: a refused request does not, nor our own limit.
        """
        self.vitals.ended(ticket, error)
        standing = self._standings.get(ticket.target.provider)
        if standing is not None and isinstance(error, UpstreamError) and not isinstance(error, NO_FAULT):
            standing.failures += 1
            standing.last_error = in_our_words(error)

    async def refresh(self, names: Sequence[str]) -> None:
        """Ask the named backends for their models, all at once. A failure is noted, not raised; the last list stays."""
        await asyncio.gather(*(self._probe(self.backends[name]) for name in names if name in self.backends))
        self._publish()

    async def _probe(self, backend: Backend) -> None:
        standing = self._standings[backend.name]
        before_ns = self._clock.monotonic_ns()
        failed: UpstreamError | None = None
        try:
            models = await list_models(self._transport, backend)
        except HooshError as error:
            hide_key(error, backend.secrets)
            failed = error if isinstance(error, UpstreamError) else BadUpstream(error.message)
            standing.failures += 1
            standing.last_error = failed.message
        else:
            standing.models = tuple(model for model in models if serves(model, backend.models))
            standing.seen, standing.failures, standing.last_error = True, 0, ""
            standing.latency_ms = (self._clock.monotonic_ns() - before_ns) / 1e6
        standing.checked_ns = self._clock.monotonic_ns()
        if self._standings.get(backend.name) is standing:  # else the provider is gone, or another one, meanwhile
            # Who answers without a list that we can read may serve all the same.
            is_down = standing.status == "unhealthy" and isinstance(failed, ConnectFailed | Reset | NoFirstEvent)
            self.vitals.looked(backend.name, failed, is_down=is_down, local=backend.local)

    def _publish(self) -> None:
        """The same offers again are no news."""
        order = sorted(self.backends.values(), key=lambda backend: backend.priority)
        offers = tuple(self._offer(backend) for backend in order)
        if offers != self.offers:
            self.offers = offers
            self.generation += 1

    def _offer(self, backend: Backend) -> Offer:
        return Offer(
            provider=backend.name,
            models=self._standings[backend.name].models,
            globs=backend.models or backend.provider.serves,
            local=backend.local,
            operations=frozenset(tongue.dialect.operation for tongue in backend.tongues),
            tier=backend.priority,
            keys=max(1, len(backend.auths)),
        )


async def list_models(transport: Transport, backend: Backend) -> tuple[str, ...]:
    """The ids a backend lists now. Raises UpstreamError."""
    dialect = backend.provider.dialect
    request = backend.signed(dialect.models_request(), 0)
    async with transport.exchange(backend.base_url, request, backend.timeouts) as reply:
        body = b""
        while piece := await reply.read():
            body += piece
            if len(body) > MAX_LIST_BYTES:
                raise BadUpstream("the provider's list of models is too long")
    if reply.status != 200:
        raise dialect.refusal(reply.status, reply.headers, body)
    return dialect.models(body)
