"""Which attempts may begin, which wait, and which are turned away: before anything is held for them.

An attempt has its place until it is over. One that finds its target full goes on to the next that is not; only where
all are full it waits, at the last. Nothing awaits between a place and who gives it back: a call that is cancelled while
it gets one gives it back itself.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

import msgspec

from hoosh.core.asked import ChatRequest, CompleteRequest, Request
from hoosh.core.call import Account, Call
from hoosh.core.errors import Full, HeldBack, NoFirstEvent, Overloaded, Shed, UpstreamError
from hoosh.core.plan import Target
from hoosh.engine.shedding import Shedding
from hoosh.policy.concurrency import LimitRules
from hoosh.policy.estimate import input_bound
from hoosh.policy.fair_queue import Entry
from hoosh.policy.gate import Gate, QueueRules
from hoosh.policy.limits import share
from hoosh.ports import Clock

# Models are named by clients where a provider takes any name: what is kept of them is bounded.
MAX_GATES = 4096
_WORDS = {
    "queue_full": "too many calls wait already",
    "fair_share": "others who ask for less go first",
    "wait_too_long": "it would wait for too long",
    "deadline": "it would wait for longer than the request allows",
}


class AdmissionRules(msgspec.Struct, frozen=True, kw_only=True):
    """`caps` has how many calls at once some providers take, by name; all their models share them."""

    limit: LimitRules = LimitRules()
    queue: QueueRules = QueueRules()
    caps: Mapping[str, int] = msgspec.field(default_factory=dict)


Waiter = asyncio.Future[Shed | None]


class Slot:
    """One attempt's place."""

    __slots__ = ("_clock", "_gate", "began_ns")

    def __init__(self, gate: Gate[Waiter], clock: Clock, began_ns: int) -> None:
        self._gate = gate
        self._clock = clock
        self.began_ns = began_ns

    def answered(self, request: Request) -> None:
        """It shows its first content."""
        # A whole answer shows only when all of it is there; what is no text takes as long as its input.
        is_text = isinstance(request, ChatRequest | CompleteRequest)
        kind = "stream" if request.stream else "whole" if is_text else request.operation
        gate = self._gate
        gate.concurrency.answered(kind, self.began_ns, self._clock.monotonic_ns(), gate.running)
        if gate.waiting:
            _let_in(gate)

    def failed(self, error: UpstreamError) -> None:
        if isinstance(error, Overloaded | NoFirstEvent) and not isinstance(error, HeldBack):
            self._gate.concurrency.failed(self.began_ns, self._clock.monotonic_ns())

    def leave(self) -> None:
        self._gate.leave(self.began_ns, self._clock.monotonic_ns())
        if self._gate.waiting:
            _let_in(self._gate)


def _let_in(gate: Gate[Waiter]) -> None:
    for entry in gate.ready():
        entry.item.set_result(None)


class Admission:
    def __init__(self, rules: AdmissionRules, clock: Clock) -> None:
        self._clock = clock
        self._rules = rules
        self._processes = 1
        self._gates: dict[tuple[str, str], Gate[Waiter]] = {}
        self.shedding = Shedding()

    def define(self, rules: AdmissionRules) -> None:
        """By these from now on. What is known of the targets stays."""
        self._rules = rules
        for (provider, model), gate in list(self._gates.items()):
            if bool(model) == (provider in rules.caps):  # its models share it, or do not any longer
                del self._gates[provider, model]  # those who run or wait there have it still
            gate.define(self._limit_rules(provider), rules.queue)
            _let_in(gate)

    def share(self, processes: int) -> None:
        """So many processes share each provider from now on."""
        self._processes = max(1, processes)
        self.define(self._rules)

    def enter(self, target: Target, now_ns: int, held: AsyncExitStack) -> Slot | None:
        """A place until `held` closes, if there is one now."""
        gate = self._gates.get((target.provider, target.model)) or self._gate(target)
        if gate.running >= gate.concurrency.limit or gate.waiting:
            return None
        gate.running += 1
        slot = Slot(gate, self._clock, now_ns)
        held.callback(slot.leave)
        return slot

    async def wait(self, account: Account, target: Target, held: AsyncExitStack) -> Slot:
        """A place until `held` closes, in turn. Raises Full where another target is left to ask, Shed."""
        plan, attempt = account.plan, account.attempt
        if target != plan.end and (attempt is None or attempt.n < plan.attempts):
            raise Full(f"{target} has all the calls that it can take")
        gate = self._gate(target)
        entry, left_ns = self._join(gate, account.call, target)
        waiter = entry.item
        max_wait_ns = gate.rules.max_wait_ns if left_ns is None else min(left_ns, gate.rules.max_wait_ns)
        reason = "wait_too_long" if max_wait_ns == gate.rules.max_wait_ns else "deadline"
        timer = waiter.get_loop().call_later(max_wait_ns / 1e9, self._give_up, gate, entry, target, reason)
        try:
            shed = await waiter
        except asyncio.CancelledError:
            if not gate.waiting.remove(entry) and waiter.done() and not waiter.cancelled() and waiter.result() is None:
                Slot(gate, self._clock, self._clock.monotonic_ns()).leave()
            raise
        finally:
            timer.cancel()
        if shed is not None:
            raise shed
        slot = Slot(gate, self._clock, self._clock.monotonic_ns())
        held.callback(slot.leave)
        return slot

    def standing(self, target: Target) -> tuple[int, int] | None:
        """Its limit and how many wait, if anybody has asked it."""
        gate = self._gates.get(self._key(target))
        return None if gate is None else (gate.concurrency.limit, len(gate.waiting))

    def by_provider(self) -> Mapping[str, tuple[int, int]]:
        """The limits of all its models together, and how many wait."""
        found: dict[str, tuple[int, int]] = {}
        for (provider, _), gate in self._gates.items():
            limit, waiting = found.get(provider, (0, 0))
            found[provider] = (limit + gate.concurrency.limit, waiting + len(gate.waiting))
        return found

    def _join(self, gate: Gate[Waiter], call: Call, target: Target) -> tuple[Entry[Waiter], int | None]:
        left_ns = max(0, call.deadline_ns - self._clock.monotonic_ns()) if call.deadline_ns else None
        waiter: Waiter = asyncio.get_running_loop().create_future()
        cost = input_bound(call.request)
        entry = Entry(waiter, call.principal.key_id, cost, is_batch=bool(call.backing))
        reason, gone = gate.join(entry, left_ns)
        if reason is not None:
            raise self._shed(reason, gate, target)
        if gone is not None:
            gone.item.set_result(self._shed("fair_share", gate, target))
        return entry, left_ns

    def _give_up(self, gate: Gate[Waiter], entry: Entry[Waiter], target: Target, reason: str) -> None:
        if gate.waiting.remove(entry):
            entry.item.set_result(self._shed(reason, gate, target))

    def _shed(self, reason: str, gate: Gate[Waiter], target: Target) -> Shed:
        message = f"{target} has all the calls that it can take, and {_WORDS[reason]}"
        return self.shedding.shed(reason, message, gate.wait_ns(len(gate.waiting)) / 1e9)

    def _key(self, target: Target) -> tuple[str, str]:
        return (target.provider, "" if target.provider in self._rules.caps else target.model)

    def _gate(self, target: Target) -> Gate[Waiter]:
        key = self._key(target)
        gate = self._gates.get(key)
        if gate is None:
            if len(self._gates) >= MAX_GATES:
                self._gates = {one: gate for one, gate in self._gates.items() if gate.running or gate.waiting}
            gate = self._gates[key] = Gate(self._limit_rules(target.provider), self._rules.queue)
        return gate

    def _limit_rules(self, provider: str) -> LimitRules:
        rules, cap = self._rules.limit, self._rules.caps.get(provider, 0)
        return msgspec.structs.replace(rules, cap=share(cap, self._processes)) if cap else rules
