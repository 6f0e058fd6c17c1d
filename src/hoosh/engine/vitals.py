"""How every target fares: what is open, what rests, how fast it answers, how much it has in hand.

Written by the engine's own attempts and by probes. A failure is held against what failed and no more: a connection
against the provider, a model's silence against the model, a wrong key against the key, a rate limit against that key
and model. While nothing is wrong with anybody, `is_well` says so and nobody has to look.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from hoosh.core.call import Ticket
from hoosh.core.errors import (
    CircuitOpen,
    ConnectFailed,
    CredentialRefused,
    HeldBack,
    HooshError,
    ModelGone,
    OutOfCredit,
    Overloaded,
    Refused,
    Reset,
    Throttled,
    TooDear,
    UpstreamError,
)
from hoosh.core.plan import Target
from hoosh.core.routing import WELL, Vital
from hoosh.policy.breaker import Breaker, BreakerRules
from hoosh.policy.hidden_keys import in_our_words
from hoosh.policy.latency import PeakEwma

if TYPE_CHECKING:
    from hoosh.ports import Clock

log = logging.getLogger("hoosh.health")

Part = tuple[str, ...]
# A provider may ask for a longer rest than anybody would wait; it is asked again after this at the latest.
MAX_REST_S = 60.0
# A key that is refused is good again only if somebody mends it, and nobody tells us.
KEY_REST_S = 300.0
CREDIT_REST_S = 60.0
GONE_REST_S = 30.0
# What runs on this machine is up again when somebody starts it, and asking costs nothing.
LOCAL_S = 2.0
# So many 429 in a row without a word on when to come again.
UNTOLD_429 = 3
# Models are named by clients where a provider takes any name: what is kept of them is bounded.
MAX_PARTS = 4096


class Vitals:
    def __init__(self, clock: "Clock", rules: BreakerRules) -> None:
        self._clock = clock
        self.set_rules(rules)
        self._breakers: dict[Part, Breaker] = {}
        self._throttled: dict[Part, int] = {}
        self._latency: dict[Part, PeakEwma] = {}
        self._in_flight: dict[Part, int] = {}

    def set_rules(self, rules: BreakerRules) -> None:
        """For what opens from now on."""
        self.rules = rules
        near_s = min(rules.max_open_s, LOCAL_S)
        self._near = msgspec.structs.replace(rules, open_s=min(rules.open_s, near_s), max_open_s=near_s)

    @property
    def is_well(self) -> bool:
        return not self._breakers

    def vital(self, target: Target) -> Vital:
        part = (target.provider, target.model)
        in_flight = self._in_flight.get(part, 0)
        latency = self._latency.get(part)
        now_ns = self._clock.monotonic_ns()
        latency_s = None if latency is None else latency.now_s(now_ns)
        worst = self._worst(target, now_ns) if self._breakers else None
        if worst is None:
            return Vital(in_flight=in_flight, latency_s=latency_s) if in_flight or latency else WELL
        breaker, wait_ns = worst
        return Vital(
            blocked=breaker.reason,
            retry_s=wait_ns / 1e9,
            is_resting=breaker.is_resting and breaker.is_limit,
            is_blamed=not any(one.is_resting for _, one in self._of(target)),
            in_flight=in_flight,
            latency_s=latency_s,
        )

    def began(self, target: Target, *, anyhow: bool = False) -> Ticket:
        """An attempt begins; `ended` must follow. Raises CircuitOpen, unless `anyhow`, where another is finding out."""
        probes: tuple[Part, ...] = ()
        if self._breakers:
            now_ns = self._clock.monotonic_ns()
            breakers = self._of(target)
            for _, breaker in breakers:
                breaker.refresh(now_ns)
                if not anyhow and (wait_ns := breaker.wait_ns(now_ns)):
                    raise CircuitOpen(f"{target}: {breaker.reason}", retry_after_s=wait_ns / 1e9)
            free = ((part, breaker) for part, breaker in breakers if not breaker.wait_ns(now_ns))
            probes = tuple(part for part, breaker in free if breaker.claim(now_ns))
        part = (target.provider, target.model)
        if part not in self._in_flight and len(self._in_flight) >= MAX_PARTS:
            self._in_flight = {one: count for one, count in self._in_flight.items() if count}
        self._in_flight[part] = self._in_flight.get(part, 0) + 1
        return Ticket(target, probes, anyhow=anyhow)

    def answered(self, ticket: Ticket, first_event_s: float) -> None:
        """Its first token is there."""
        target, now_ns = ticket.target, self._clock.monotonic_ns()
        ticket.first_event_s = first_event_s
        self._works(ticket, now_ns)
        part = (target.provider, target.model)
        latency = self._latency.get(part)
        if latency is not None:
            latency.observe(first_event_s, now_ns)
            return
        if len(self._latency) >= MAX_PARTS:
            self._latency.clear()
        self._latency[part] = PeakEwma(first_event_s, now_ns)

    def ended(self, ticket: Ticket, error: HooshError | None) -> None:
        """`error` is how it failed, None if it did not or was left."""
        target = ticket.target
        self._in_flight[target.provider, target.model] -= 1
        if isinstance(error, Refused):  # it works: it was asked for something wrong
            self._works(ticket, self._clock.monotonic_ns())
        elif isinstance(error, UpstreamError) and not isinstance(error, HeldBack | TooDear):
            self._blame(ticket, error, self._clock.monotonic_ns())
        for part in ticket.probes:
            if (breaker := self._breakers.get(part)) is not None:
                breaker.leave()

    def looked(self, provider: str, error: HooshError | None, *, is_down: bool, local: bool) -> None:
        """A probe came back. It speaks for the provider, and for no model of it."""
        now_ns = self._clock.monotonic_ns()
        part = (provider,)
        if error is None:
            breaker = self._breakers.get(part)
            if breaker is not None:
                breaker.succeed(now_ns, is_probe=True)
                self._drop_if_well(part, breaker)
        elif is_down and self.rules.enabled and self._breaker(part, local).trip(now_ns, f"it is down: {error.message}"):
            log.warning("%s: not asked for a while: it is down: %s", provider, error.message)

    def forget(self, provider: str) -> None:
        """Its address or its keys are others now."""
        for part in [part for part in self._breakers if part[0] == provider]:
            del self._breakers[part]
        for part in [part for part in self._latency if part[0] == provider]:
            del self._latency[part]

    def open_parts(self) -> Mapping[str, Vital]:
        """What is not closed now, by name: "provider", "provider/model", "provider (key 2)"."""
        now_ns = self._clock.monotonic_ns()
        return {
            _name(part): Vital(breaker.reason, breaker.wait_ns(now_ns) / 1e9, breaker.is_resting)
            for part, breaker in self._breakers.items()
            if breaker.is_open
        }

    def _works(self, ticket: Ticket, now_ns: int) -> None:
        target = ticket.target
        if self._throttled:
            self._throttled.pop((target.provider, target.model, str(target.key)), None)
        if not self._breakers:
            return
        for part, breaker in self._of(target):
            shows = ticket.anyhow or part in ticket.probes
            breaker.succeed(now_ns, is_probe=shows)
            if breaker.is_pristine:
                if shows:
                    log.info("%s: works again", _name(part))
                self._breakers.pop(part, None)
        ticket.probes = ()

    def _blame(self, ticket: Ticket, error: UpstreamError, now_ns: int) -> None:
        target = ticket.target
        if not self.rules.enabled:
            return
        provider, model, key = target.provider, target.model, str(target.key)
        told_s = error.retry_after_s
        match error:
            case Throttled():
                part = (provider, model, key)
                row = self._throttled[part] = self._throttled.get(part, 0) + 1
                if told_s is not None or row >= UNTOLD_429:
                    for_s = 2.0 ** min(row - UNTOLD_429, 8) if told_s is None else told_s
                    self._rest(part, target, min(for_s, MAX_REST_S), "rate limited", is_limit=True)
            case Overloaded() if told_s is not None:
                self._rest((provider, model, ""), target, min(told_s, MAX_REST_S), "overloaded", is_limit=True)
            case CredentialRefused():
                self._rest((provider, "", key), target, KEY_REST_S, "its key is refused")
            case OutOfCredit():
                self._rest((provider, "", key), target, min(told_s or CREDIT_REST_S, KEY_REST_S), "out of credit")
            case ModelGone():
                self._rest((provider, model, ""), target, GONE_REST_S, "it does not have the model")
            case ConnectFailed() | Reset():
                self._fail((provider,), ticket, error, now_ns)
            case _:
                self._fail((provider, model, ""), ticket, error, now_ns)

    def _fail(self, part: Part, ticket: Ticket, error: UpstreamError, now_ns: int) -> None:
        target = ticket.target
        latency = self._latency.get((target.provider, target.model))
        if latency is not None:
            latency.fail(now_ns)
        breaker = self._breaker(part, target.local)
        if breaker.fail(now_ns, in_our_words(error), is_probe=part in ticket.probes):
            log.warning("%s: not asked for a while: %s", _name(part), breaker.reason)

    def _rest(self, part: Part, target: Target, for_s: float, reason: str, *, is_limit: bool = False) -> None:
        """What is near rests shortly, unless it asks for more."""
        for_s = min(for_s, LOCAL_S) if target.local and not is_limit else for_s
        self._breaker(part, target.local).rest(self._clock.monotonic_ns(), for_s, reason, is_limit=is_limit)

    def _breaker(self, part: Part, local: bool) -> Breaker:  # noqa: FBT001 - of whom
        breaker = self._breakers.get(part)
        if breaker is None:
            if len(self._breakers) >= MAX_PARTS:
                self._breakers.clear()
            breaker = self._breakers[part] = Breaker(self._near if local else self.rules)
        return breaker

    def _of(self, target: Target) -> list[tuple[Part, Breaker]]:
        provider, model, key = target.provider, target.model, str(target.key)
        parts = ((provider,), (provider, model, ""), (provider, "", key), (provider, model, key))
        return [(part, breaker) for part in parts if (breaker := self._breakers.get(part)) is not None]

    def _worst(self, target: Target, now_ns: int) -> tuple[Breaker, int] | None:
        """The one that keeps the target shut for longest, if one does. Rests that are over go."""
        worst: tuple[Breaker, int] | None = None
        for part, breaker in self._of(target):
            breaker.refresh(now_ns)
            wait_ns = breaker.wait_ns(now_ns)
            if wait_ns and (worst is None or wait_ns > worst[1]):
                worst = (breaker, wait_ns)
            self._drop_if_well(part, breaker)
        return worst

    def _drop_if_well(self, part: Part, breaker: Breaker) -> None:
        if breaker.is_pristine:
            self._breakers.pop(part, None)


def _name(part: Part) -> str:
    if len(part) == 1:
        return part[0]
    provider, model, key = part
    return provider + (f"/{model}" if model else "") + (f" (key {int(key) + 1})" if key else "")
