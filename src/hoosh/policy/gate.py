"""One target's way in: so many calls at once, so many that wait, and who is refused when it comes.

A call has its place until its attempt is over, not only until its first token: slots of llama.cpp and places in a batch
of vLLM are taken for so long, and so are connections to remote providers.
"""

from collections.abc import Iterator
from typing import Generic, Literal

import msgspec

from hoosh.policy.concurrency import Concurrency, LimitRules
from hoosh.policy.fair_queue import Entry, FairQueue, Item

# Why a call is not served.
Reason = Literal["queue_full", "fair_share", "wait_too_long", "deadline"]


# A small server has a small limit, and bursts all the same.
LEAST_ROOM = 8


class QueueRules(msgspec.Struct, frozen=True, kw_only=True):
    """As many as `part` of the limit may wait (0 for nobody), and none longer than `max_wait_ns`."""

    part: float = 0.5
    max_wait_ns: int = 10_000_000_000

    def room(self, limit: int) -> int:
        return max(LEAST_ROOM, int(self.part * limit)) if self.part else 0


class Gate(Generic[Item]):
    """`running` have their place; `ready` gives one to those who waited longest enough."""

    def __init__(self, limit_rules: LimitRules, rules: QueueRules) -> None:
        self.concurrency = Concurrency(limit_rules)
        self.rules = rules
        self.waiting: FairQueue[Item] = FairQueue()
        self.running = 0
        self._mean_ns = 0.0  # from an attempt's begin to its end

    @property
    def is_full(self) -> bool:
        return self.running >= self.concurrency.limit or bool(len(self.waiting))

    def define(self, limit_rules: LimitRules, rules: QueueRules) -> None:
        self.concurrency.define(limit_rules)
        self.rules = rules

    def wait_ns(self, place: int) -> int:
        """How long who has this place in the queue will wait, as calls took until now."""
        return int(place * self._mean_ns / self.concurrency.limit)

    def join(self, entry: Entry[Item], left_ns: int | None) -> tuple[Reason | None, Entry[Item] | None]:
        """Let it wait, or say why not. Who had to go for it, if anybody, is told; `left_ns` is its own time."""
        wait_ns = self.wait_ns(self.waiting.place(entry))
        if left_ns is not None and wait_ns > left_ns:
            return "deadline", None
        if wait_ns > self.rules.max_wait_ns:
            return "wait_too_long", None
        gone = self.waiting.push(entry, self.rules.room(self.concurrency.limit))
        return ("queue_full", None) if gone is entry else (None, gone)

    def leave(self, began_ns: int, now_ns: int) -> None:
        """An attempt is over; then some may be `ready`."""
        self.running -= 1
        taken_ns = now_ns - began_ns
        self._mean_ns += (taken_ns - self._mean_ns) / (16 if self._mean_ns else 1)

    def ready(self) -> Iterator[Entry[Item]]:
        """Who need not wait any longer: each runs from now on."""
        while self.running < self.concurrency.limit and (entry := self.waiting.pop()) is not None:
            self.running += 1
            yield entry
