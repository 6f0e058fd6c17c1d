"""A gate before a provider of N slots that each take the same time, in virtual time: what load does to it."""

import heapq
import random
from collections import deque
from typing import NamedTuple

import pytest

from hoosh.policy.concurrency import LimitRules
from hoosh.policy.fair_queue import Entry
from hoosh.policy.gate import Gate, QueueRules

S = 1_000_000_000


class Result(NamedTuple):
    per_s: float
    p99_s: float
    refused_part: dict[str, float]
    limit: int


class Request:
    def __init__(self, tenant: str, at_ns: int) -> None:
        self.tenant = tenant
        self.at_ns = at_ns
        self.began_ns = 0


class World:
    """`first_part` of the service time passes before the first token shows."""

    def __init__(self, slots: int, service_ns: int, first_part: float = 1.0, seed: int = 1) -> None:
        self.slots = slots
        self.service_ns = service_ns
        self.first_part = first_part
        self.dice = random.Random(seed)
        self.gate: Gate[Request] = Gate(LimitRules(), QueueRules())
        self.events: list[tuple[int, int, str, Request]] = []
        self.busy = 0
        self.upstream: deque[Request] = deque()
        self.done: list[tuple[str, int]] = []  # tenant, how long from arrival to end
        self.came: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.n = 0
        self.now_ns = 0

    def later(self, at_ns: int, what: str, request: Request) -> None:
        self.n += 1
        heapq.heappush(self.events, (at_ns, self.n, what, request))

    def run(self, rates: dict[str, float], for_s: float, warm_s: float = 0.0) -> Result:
        """Arrivals by chance at these rates; what came in the first `warm_s` is not counted."""
        begin_ns, end_ns = self.now_ns, self.now_ns + int(for_s * S)
        for tenant, rate in rates.items():
            at_ns = begin_ns
            while (at_ns := at_ns + int(self.dice.expovariate(rate) * S)) < end_ns:
                self.later(at_ns, "come", Request(tenant, at_ns))
        from_ns = begin_ns + int(warm_s * S)
        self.done, self.came, self.refused = [], {}, {}
        while self.events and self.events[0][0] < end_ns:
            self.now_ns, _, what, request = heapq.heappop(self.events)
            if what == "come" and self.now_ns >= from_ns:
                self.came[request.tenant] = self.came.get(request.tenant, 0) + 1
            getattr(self, what)(request, self.now_ns >= from_ns)
        self.now_ns = end_ns
        taken = sorted(ns for _, ns in self.done)
        return Result(
            len(taken) / (for_s - warm_s),
            taken[int(len(taken) * 0.99)] / S,
            {tenant: self.refused.get(tenant, 0) / count for tenant, count in self.came.items()},
            self.gate.concurrency.limit,
        )

    def come(self, request: Request, counts: bool) -> None:
        gate = self.gate
        if not gate.is_full:
            gate.running += 1
            self.begin(request)
            return
        reason, gone = gate.join(Entry(request, request.tenant), None)
        for tenant in ([request.tenant] if reason else []) + ([gone.tenant] if gone else []):
            self.refused[tenant] = self.refused.get(tenant, 0) + counts

    def begin(self, request: Request) -> None:
        request.began_ns = self.now_ns
        if self.busy < self.slots:
            self.serve(request)
        else:
            self.upstream.append(request)

    def serve(self, request: Request) -> None:
        self.busy += 1
        self.later(self.now_ns + int(self.service_ns * self.first_part), "first", request)
        self.later(self.now_ns + self.service_ns, "end", request)

    def first(self, request: Request, counts: bool) -> None:
        self.gate.concurrency.answered("stream", request.began_ns, self.now_ns, self.gate.running)

    def end(self, request: Request, counts: bool) -> None:
        self.busy -= 1
        if self.upstream and self.busy < self.slots:
            self.serve(self.upstream.popleft())
        if counts:
            self.done.append((request.tenant, self.now_ns - request.at_ns))
        self.gate.leave(request.began_ns, self.now_ns)
        for entry in list(self.gate.ready()):
            self.begin(entry.item)


SHAPES = [(8, 0.1, 1.0), (16, 0.1, 1.0), (64, 0.25, 1.0), (32, 0.5, 0.2), (200, 0.05, 1.0)]


@pytest.mark.parametrize(("slots", "service_s", "first_part"), SHAPES)
@pytest.mark.parametrize("seed", [1, 2])
def test_goodput_and_latency_hold_under_overload(slots: int, service_s: float, first_part: float, seed: int) -> None:
    capacity = slots / service_s
    calm = World(slots, int(service_s * S), first_part, seed).run({"a": 0.8 * capacity}, 60, 20)
    for times, least in ((2, 0.95), (10, 0.90)):
        world = World(slots, int(service_s * S), first_part, seed)
        told = world.run({"a": times * capacity}, 60, 20)
        print(slots, service_s, first_part, times, told, calm)
        assert told.per_s >= least * capacity
        assert told.p99_s <= 2 * calm.p99_s
        assert slots * 0.9 <= told.limit <= slots * 1.4
        back = world.run({"a": 0.5 * capacity}, 20, 5)
        assert back.refused_part["a"] < 0.01
        assert back.p99_s <= 1.25 * calm.p99_s


def test_a_tenant_at_twenty_times_its_share_turns_away_itself() -> None:
    world = World(16, S // 10)
    share = 160 / 4
    quiet = {"b": share / 2, "c": share / 2, "d": share / 2}
    told = world.run({"loud": 20 * share, **quiet}, 60, 5)
    assert told.refused_part["loud"] > 0.8
    for tenant in quiet:
        assert told.refused_part[tenant] < 0.01
    assert told.per_s >= 0.95 * 160


def test_a_server_that_becomes_slower_is_learnt_anew() -> None:
    world = World(16, S // 10)
    world.run({"a": 320}, 30)
    world.service_ns = S // 4
    world.run({"a": 320}, 120)
    told = world.run({"a": 320}, 60)
    assert told.per_s >= 0.95 * 64
    assert told.limit <= 16 * 1.4


def test_a_server_that_loses_slots_is_given_fewer() -> None:
    world = World(64, S // 10)
    world.run({"a": 1280}, 30)
    world.slots = 16
    world.run({"a": 1280}, 10)
    assert world.run({"a": 1280}, 20).limit <= 16 * 1.4
