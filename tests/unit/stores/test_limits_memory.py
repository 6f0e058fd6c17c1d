"""Limits in one process: what they let pass, whatever is given back and when; places at once; many limits as one."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.limit import Limit, Refusal
from hoosh.policy.limits import cost_ns, rate, wait_ns
from hoosh.stores.limits_memory import MIN_SWEEP, Bucket, MemoryLimits, MemoryPermit

SECOND_NS = 1_000_000_000
KEY = Limit("key", "laptop", rpm=60, tpm=6000, concurrency=3)
POOL = Limit("pool", "team", rpm=600, concurrency=2)


class SetClock:
    def __init__(self) -> None:
        self.now_ns = 5 * SECOND_NS

    def monotonic_ns(self) -> int:
        return self.now_ns

    def unix_s(self) -> int:
        return 0


class World:
    def __init__(self) -> None:
        self.clock = SetClock()
        self.limits = MemoryLimits(self.clock)

    def take(self, *limits: Limit, tokens: int = 0) -> MemoryPermit:
        answer = self.limits.take(limits, tokens)
        assert not isinstance(answer, Refusal)
        return answer

    def refusal(self, *limits: Limit, tokens: int = 0) -> Refusal:
        answer = self.limits.take(limits, tokens)
        assert isinstance(answer, Refusal)
        return answer

    def free(self, limit: Limit) -> dict[str, int]:
        return {gauge.resource: gauge.free for gauge in self.limits.gauges([limit])}


# (time since the last step, tokens asked for, which of the open ones is settled, tokens it had used)
steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, SECOND_NS, 60 * SECOND_NS]) | st.integers(0, 30 * SECOND_NS),
        st.integers(0, 3000) | st.none(),
        st.integers(0, 7),
        st.integers(0, 3000),
    ),
    max_size=60,
)
OURS = rate(3000)


@given(steps)
@settings(deadline=None, max_examples=300)
def test_what_was_not_used_is_as_if_it_had_never_been_taken(steps: list[tuple[int, int | None, int, int]]) -> None:
    """Beside a history that is reckoned anew from its beginning at each step; and no window lets more pass."""
    bucket, now_ns = Bucket(), 0
    taken: list[tuple[int, int]] = []  # when, and what it is known to cost by now
    still_open: list[tuple[int, int]] = []  # ticket, place in `taken`
    for gap_ns, asked, which, used in steps:
        now_ns += gap_ns
        if asked is not None and not wait_ns(OURS, bucket.owed_ns(now_ns), asked):
            still_open.append((bucket.hold(now_ns, cost_ns(OURS, asked)), len(taken)))
            taken.append((now_ns, cost_ns(OURS, asked)))
        elif still_open:
            ticket, place = still_open.pop(which % len(still_open))
            began_ns, held_ns = taken[place]
            used_ns = cost_ns(OURS, used)
            bucket.settle(ticket, max(0, held_ns - used_ns))
            taken[place] = (began_ns, min(held_ns, used_ns))
            if used_ns > held_ns:
                bucket.take(now_ns, used_ns - held_ns)
                taken.append((now_ns, used_ns - held_ns))
        full_at_ns = 0
        for began_ns, spent_ns in taken:
            full_at_ns = max(full_at_ns, began_ns) + spent_ns
        assert bucket.owed_ns(now_ns) == max(0, full_at_ns - now_ns)
    assert len(bucket._peaks_ns) == 1 + len(still_open)  # what can change no more takes no room


@given(steps)
@settings(deadline=None)
def test_no_window_lets_more_be_used_than_the_burst_and_the_rate(steps: list[tuple[int, int | None, int, int]]) -> None:
    world, limit = World(), Limit("key", "k", tpm=3000)
    used: list[list[int]] = []  # when it was let in, what it used
    still_open: list[tuple[MemoryPermit, int, int]] = []
    for gap_ns, asked, which, spent in steps:
        world.clock.now_ns += gap_ns
        answer = world.limits.take([limit], asked or 0)
        if isinstance(answer, MemoryPermit):
            still_open.append((answer, len(used), asked or 0))
            used.append([world.clock.now_ns, asked or 0])
        if still_open and which < 5:
            permit, place, held = still_open.pop(which % len(still_open))
            permit.give_back(min(spent, held))
            used[place][1] = min(spent, held)
    for first, (begin_ns, _) in enumerate(used):
        total = 0
        for last in range(first, len(used)):
            total += used[last][1]
            window_ns = used[last][0] - begin_ns + 2 * (last - first + 1)
            assert total <= 3000 + 3000 * window_ns / (60 * SECOND_NS) + 1e-6


def test_more_than_was_held_is_owed_below_empty() -> None:
    world, limit = World(), Limit("key", "k", tpm=6000)
    permit = world.take(limit, tokens=1000)
    assert world.free(limit) == {"tokens": 5000}
    permit.give_back(12_000)
    assert world.free(limit) == {"tokens": 0}
    refusal = world.refusal(limit, tokens=1000)
    assert refusal.wait_ns == 70 * SECOND_NS  # 7000 tokens at 100 a second
    world.clock.now_ns += refusal.wait_ns
    world.take(limit, tokens=1000)


def test_the_rest_is_given_back_once() -> None:
    world, limit = World(), Limit("key", "k", tpm=6000, concurrency=2)
    first = world.take(limit, tokens=4000)
    world.take(limit, tokens=2000)
    for _ in range(3):
        first.give_back(1000)
        assert world.free(limit) == {"tokens": 3000}
    world.take(limit, tokens=1)
    assert world.refusal(limit, tokens=1).gauge.resource == "calls"


def test_a_request_that_no_burst_holds_passes_when_all_is_free() -> None:
    world, limit = World(), Limit("key", "k", tpm=600)
    world.take(limit, tokens=1).give_back(1)
    refusal = world.refusal(limit, tokens=100_000)
    world.clock.now_ns += refusal.wait_ns
    world.take(limit, tokens=100_000).give_back(700)
    assert world.refusal(limit, tokens=100_000).wait_ns == 70 * SECOND_NS


def test_a_refusal_leaves_no_trace_in_any_limit() -> None:
    world = World()
    open_calls = [world.take(KEY, POOL, tokens=100) for _ in range(2)]
    before = world.free(KEY), world.free(POOL)
    for _ in range(5):
        refusal = world.refusal(KEY, POOL, tokens=100)  # the pool's two places are taken
        assert (refusal.gauge.limit, refusal.gauge.resource) == (POOL, "calls")
    assert (world.free(KEY), world.free(POOL)) == before
    world.take(KEY, tokens=100)  # the key has a third
    assert world.refusal(KEY, tokens=100).gauge.limit is KEY
    open_calls[0].give_back(0)
    world.take(KEY, POOL, tokens=100)


def test_of_several_refusals_the_longest_wait_is_told() -> None:
    world = World()
    slow, slower = Limit("key", "a", rpm=30, burst_part=30), Limit("pool", "b", rpm=6, burst_part=6)
    world.take(slow, slower)
    for limits in ((slow, slower), (slower, slow)):
        refusal = world.refusal(*limits)
        assert (refusal.gauge.limit, refusal.wait_ns) == (slower, 10 * SECOND_NS)
    world.clock.now_ns += 10 * SECOND_NS - 1
    assert world.refusal(slow, slower).wait_ns == 1
    world.clock.now_ns += 1
    world.take(slow, slower)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 6)), max_size=200))
def test_places_are_conserved(steps: list[tuple[bool, int, int]]) -> None:
    """Also while the number of processes changes what a place is."""
    world, limit = World(), Limit("provider", "p", concurrency=5)
    running: list[MemoryPermit] = []
    for enters, which, processes in steps:
        world.limits.share(processes)
        if enters:
            answer = world.limits.take([limit], 0)
            assert isinstance(answer, MemoryPermit) == (len(running) < -(-5 // processes))
            running += [answer] if isinstance(answer, MemoryPermit) else []
        elif running:
            running.pop(which % len(running)).give_back(0)
    for permit in running:
        permit.give_back(0)
    world.limits.share(1)
    assert len([world.take(limit) for _ in range(5)]) == 5
    world.refusal(limit)


def test_one_key_does_not_take_anothers_share() -> None:
    """Twenty times too fast beside one that stays within its limit: of that one, nothing is refused."""
    world, passed = World(), Counter[str]()
    greedy, modest = Limit("key", "greedy", rpm=60, burst_part=60), Limit("key", "modest", rpm=60, burst_part=60)
    for tick in range(20 * 60):
        for limit in (greedy, modest) if tick % 20 == 0 else (greedy,):
            answer = world.limits.take([limit], 0)
            passed[limit.name] += isinstance(answer, MemoryPermit)
        world.clock.now_ns += SECOND_NS // 20
    assert passed == {"greedy": 60, "modest": 60}


def test_who_comes_back_when_told_is_let_in() -> None:
    """Each of them, however small the limit and however large the request."""
    world, limit = World(), Limit("key", "k", rpm=7, tpm=700, concurrency=1)
    for tokens in (1, 600, 650, 5000, 3, 699, 12_345, 1):
        answer = world.limits.take([limit], tokens)
        if isinstance(answer, Refusal):
            world.clock.now_ns += answer.wait_ns
            answer = world.limits.take([limit], tokens)
        assert isinstance(answer, MemoryPermit)
        answer.give_back(tokens)


def test_each_process_has_its_part() -> None:
    world, limit = World(), Limit("key", "k", rpm=8, concurrency=100)
    world.limits.share(4)
    for _ in range(2):
        world.take(limit)
    refusal = world.refusal(limit)
    assert (refusal.gauge.units, refusal.gauge.burst, refusal.wait_ns) == (8, 2, 30 * SECOND_NS)
    world.limits.share(1)  # the others are gone, but may have let as much pass
    assert world.refusal(limit).wait_ns == 7.5 * SECOND_NS


def test_numbers_that_change_while_a_call_runs() -> None:
    world = World()
    permit = world.take(Limit("key", "k", tpm=6000), tokens=3000)
    halved = Limit("key", "k", tpm=3000)
    assert world.free(halved) == {"tokens": 1500}  # half a minute is owed
    permit.give_back(0)
    assert world.free(halved) == {"tokens": 3000}
    world.take(Limit("key", "k"), tokens=10**9).give_back(10**9)  # no limit, no debt
    assert world.free(halved) == {"tokens": 3000}


@pytest.mark.parametrize("busy", [Limit("key", "busy", concurrency=1), Limit("key", "busy", rpm=1), KEY])
def test_meters_at_rest_go_and_others_stay(busy: Limit) -> None:
    world = World()
    permit = world.take(busy, tokens=6000)
    before = world.limits.take([busy], 6000)
    for n in range(5 * MIN_SWEEP):
        world.clock.now_ns += 1
        world.take(Limit("key", str(n), concurrency=1)).give_back(0)
    assert len(world.limits._meters) <= MIN_SWEEP + 1
    assert isinstance(before, Refusal)
    assert isinstance(world.limits.take([busy], 6000), Refusal)
    permit.give_back(6000)
