from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from hoosh.policy.concurrency import LimitRules
from hoosh.policy.fair_queue import MORE, QUANTUM, Entry, FairQueue
from hoosh.policy.gate import LEAST_ROOM, Gate, QueueRules

ROOM = 12


def entry(tenant: str, cost: int = 1, *, is_batch: bool = False) -> Entry[int]:
    return Entry(0, tenant, cost, is_batch=is_batch)


def popped(queue: FairQueue[int]) -> list[str]:
    found = []
    while (one := queue.pop()) is not None:
        found.append(one.tenant)
    return found


def test_tenants_take_turns_by_cost() -> None:
    queue: FairQueue[int] = FairQueue()
    for tenant, cost in [("a", 2 * QUANTUM)] * 3 + [("b", QUANTUM)] * 6:
        queue.push(entry(tenant, cost), 99)
    assert popped(queue) == ["b", "a", "b"] * 3


def test_one_large_call_does_not_keep_the_others_from_their_turn_nor_wait_for_ever() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.push(entry("a", 4 * QUANTUM), 99)
    for _ in range(9):
        queue.push(entry("b", QUANTUM), 99)
    order = popped(queue)
    assert order.index("a") == 3


def test_a_batch_waits_for_all_others_and_goes_first_when_it_is_full() -> None:
    queue: FairQueue[int] = FairQueue()
    line = entry("a", is_batch=True)
    queue.push(line, 2)
    queue.push(entry("a"), 2)
    assert queue.place(entry("b", is_batch=True)) == 3
    assert queue.push(entry("b"), 2) is line
    late = entry("c", is_batch=True)
    assert queue.push(late, 2) is late
    assert popped(queue) == ["a", "b"]


def test_the_newest_of_the_heaviest_goes() -> None:
    queue: FairQueue[int] = FairQueue()
    of_a = [entry("a") for _ in range(4)]
    for one in of_a:
        assert queue.push(one, 4) is None
    more = entry("a")
    assert queue.push(more, 4) is more
    assert queue.push(entry("b"), 4) is of_a[3]
    assert queue.push(entry("b"), 4) is of_a[2]
    assert popped(queue) == ["a", "b", "a", "b"]


def test_who_asks_for_little_has_more_room() -> None:
    queue: FairQueue[int] = FairQueue()
    for _ in range(20):
        queue.push(entry("a"), 4)
        queue.push(entry("b"), 4)
    for _ in range(3):
        queue.push(entry("c"), 4)
    assert sum(one.tenant == "c" for one in queue) == 3
    for tenant in "ab":
        more = entry(tenant)
        assert queue.push(more, 4) is more


Step = tuple[str, str, int, bool]
steps = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "pop", "remove"]), st.sampled_from("abcd"), st.integers(1, 2000), st.booleans()
    )
)


@given(steps)
def test_nobody_is_lost_and_each_tenant_keeps_its_order(script: list[Step]) -> None:
    queue: FairQueue[int] = FairQueue()
    here: list[Entry[int]] = []
    for what, tenant, cost, is_batch in script:
        if what == "push":
            new = entry(tenant, cost, is_batch=is_batch)
            before = Counter(one.tenant for one in here)
            here.append(new)
            gone = queue.push(new, ROOM)
            if gone is not None:
                here.remove(gone)
                if gone.tenant != tenant and not gone.is_batch:
                    assert before[gone.tenant] > before[tenant]
        elif what == "pop":
            one = queue.pop()
            assert (one is None) == (not here)
            if one is not None:
                same = [other for other in here if (other.tenant, other.is_batch) == (one.tenant, one.is_batch)]
                assert one is same[0]
                assert not one.is_batch or all(other.is_batch for other in here)
                here.remove(one)
        elif here:
            one = here.pop(cost % len(here))
            assert queue.remove(one)
            assert not queue.remove(one)
        assert len(queue) == len(here) <= MORE * ROOM
        assert set(queue) == set(here)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3 * QUANTUM)), min_size=40, max_size=80))
def test_while_all_wait_nobody_gets_far_more_than_another(calls: list[tuple[str, int]]) -> None:
    """The bound of Shreedhar and Varghese: of two that wait all the time, at most a quantum and two of the largest apart."""
    queue: FairQueue[int] = FairQueue()
    for tenant, cost in calls:
        queue.push(entry(tenant, cost), 999)
    left = Counter(tenant for tenant, _ in calls)
    served: Counter[str] = Counter()
    while all(left[tenant] for tenant in "abc"):
        one = queue.pop()
        assert one is not None
        left[one.tenant] -= 1
        served[one.tenant] += one.cost
    spent = [served[tenant] for tenant in "abc"]
    assert max(spent) - min(spent) <= QUANTUM + 2 * 3 * QUANTUM


def test_who_would_wait_too_long_is_refused_when_it_comes() -> None:
    gate: Gate[int] = Gate(LimitRules(cap=1), QueueRules(part=100, max_wait_ns=3_500))
    gate.running = 1
    assert gate.join(entry("a"), None) == (None, None)  # nobody knows yet how long that takes
    gate.leave(0, 1_000)
    assert len(list(gate.ready())) == 1
    for _ in range(3):
        assert gate.join(entry("a"), None) == (None, None)
    assert gate.join(entry("a"), None) == ("wait_too_long", None)
    assert gate.join(entry("b"), 1_900) == ("deadline", None)
    assert gate.join(entry("b"), 2_100) == (None, None)


def test_room_is_a_part_of_the_limit() -> None:
    assert QueueRules(part=2.0).room(50) == 100
    assert QueueRules(part=0.5).room(4) == LEAST_ROOM
    assert QueueRules(part=0).room(50) == 0
