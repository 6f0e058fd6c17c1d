"""What the configured providers offer and how they fare: the live half of routing. Choosing is policy.choose's."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from hoosh.core.asked import Operation
from hoosh.core.call import Wishes
from hoosh.core.errors import (
    BadUpstream,
    ConnectFailed,
    EmptyStream,
    HeldBack,
    HooshError,
    Idle,
    NoFirstEvent,
    Reset,
    Truncated,
    UpstreamError,
)
from hoosh.core.plan import Plan, Target
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.engine.backend import Backend
from hoosh.policy.choose import Offer, Wanted, choose
from hoosh.policy.globs import serves
from hoosh.policy.hidden_keys import hide_key
from hoosh.policy.scopes import within
from hoosh.ports import Clock, Transport

# A list of models is some kilobytes; OpenRouter's is near one megabyte.
MAX_LIST_BYTES = 16 << 20
# A provider is called down after this many failures in a row.
DOWN_AFTER = 3
MAX_PLANS = 1024
# What calls end in that is worded here. A provider's words may repeat the prompt, and others read the health page.
OWN_WORDS = (ConnectFailed, EmptyStream, Idle, NoFirstEvent, Reset, Truncated)


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


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The part of routing that the configuration fixes. `default_models` answer to the names that clients send when
    nobody told them a model. `plan` gives tries and delays; its targets are replaced.
    """

    aliases: Mapping[str, str]
    default_models: Mapping[Operation, str] = MappingProxyType({})
    plan: Plan = Plan(targets=())


class Catalog:
    def __init__(self, backends: Sequence[Backend], rules: Rules, transport: Transport, clock: Clock) -> None:
        self._rules = rules
        self._transport = transport
        self._clock = clock
        self._standings: dict[str, Standing] = {}
        self.backends: dict[str, Backend] = {}
        self._offers: tuple[Offer, ...] = ()
        self._plans: dict[tuple[str, Operation, str, bool], Plan] = {}  # for as long as the offers stand
        for backend in backends:
            self.backends[backend.name] = backend
            self._standings[backend.name] = Standing()
        self._publish()

    def standing(self, name: str) -> Standing:
        return self._standings[name]

    def route(
        self, model: str, wishes: Wishes, operation: Operation = "chat", principal: Principal = ANONYMOUS
    ) -> Plan:
        """Raises UnknownModel, NoProvider, BadRequest, Forbidden."""
        asked = (model, operation, wishes.provider, wishes.local_only)
        plan = self._plans.get(asked)
        if plan is None:
            rules = self._rules
            wanted = Wanted(model=model, operation=operation, wishes=wishes)
            targets = choose(wanted, self._offers, rules.aliases, rules.default_models.get(operation, ""))
            plan = msgspec.structs.replace(rules.plan, targets=targets)
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[asked] = plan
        return within(principal, model, plan) if principal.models else plan

    @property
    def aliases(self) -> Mapping[str, str]:
        return self._rules.aliases

    def default_model(self, operation: Operation) -> str:
        return self._rules.default_models.get(operation, "")

    def succeeded(self, target: Target, first_event_s: float) -> None:
        standing = self._standings[target.provider]
        standing.latency_ms = first_event_s * 1e3
        if standing.failures or not standing.seen:
            standing.failures, standing.last_error, standing.seen = 0, "", True
            self._publish()

    def failed(self, target: Target, error: HooshError) -> None:
        """Only what says something of the provider counts; a refused request does not, nor our own limit."""
        if isinstance(error, UpstreamError) and error.verdict != "stop" and not isinstance(error, HeldBack):
            own = isinstance(error, OWN_WORDS)
            told = error.message if own else f"{error.code} (the provider answered {error.upstream_status or 'so'})"
            self._note_failure(self._standings[target.provider], told)

    async def refresh(self, names: Sequence[str]) -> None:
        """Ask the named backends for their models, all at once. A failure is noted, not raised; the last list stays."""
        await asyncio.gather(*(self._probe(self.backends[name]) for name in names))
        self._publish()

    def _note_failure(self, standing: Standing, told: str) -> None:
        before = standing.status
        standing.failures += 1
        standing.last_error = told
        if standing.status != before:
            self._publish()

    async def _probe(self, backend: Backend) -> None:
        standing = self._standings[backend.name]
        before_ns = self._clock.monotonic_ns()
        try:
            models = await list_models(self._transport, backend)
        except HooshError as error:
            hide_key(error, backend.auth)
            self._note_failure(standing, error.message)
        else:
            standing.models = tuple(model for model in models if serves(model, backend.models))
            standing.seen, standing.failures, standing.last_error = True, 0, ""
            standing.latency_ms = (self._clock.monotonic_ns() - before_ns) / 1e6
        standing.checked_ns = self._clock.monotonic_ns()

    def _publish(self) -> None:
        order = sorted(self.backends.values(), key=lambda backend: backend.priority)
        self._offers = tuple(self._offer(backend) for backend in order)
        self._plans.clear()

    def _offer(self, backend: Backend) -> Offer:
        standing = self._standings[backend.name]
        return Offer(
            provider=backend.name,
            models=standing.models,
            globs=backend.models or backend.provider.serves,
            local=backend.local,
            operations=frozenset(tongue.dialect.operation for tongue in backend.tongues),
            up=standing.status != "unhealthy",
        )


async def list_models(transport: Transport, backend: Backend) -> tuple[str, ...]:
    """The ids a backend lists now. Raises UpstreamError."""
    dialect = backend.provider.dialect
    request = backend.signed(dialect.models_request())
    async with transport.exchange(backend.base_url, request, backend.timeouts) as reply:
        body = b""
        while piece := await reply.read():
            body += piece
            if len(body) > MAX_LIST_BYTES:
                raise BadUpstream("the provider's list of models is too long")
    if reply.status != 200:
        raise dialect.refusal(reply.status, reply.headers, body)
    return dialect.models(body)
