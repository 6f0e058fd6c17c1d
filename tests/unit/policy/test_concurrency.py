import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.policy.concurrency import LEAST_WINDOW, MS, PROBE_NS, START, Concurrency, LimitRules


def rounds(limit: Concurrency, sample_ms: int, *, begin_ns: int = 0, rounds: int = 1, part: float = 1.0) -> int:
    """So many rounds of calls that all take the same, `part` of the limit at once."""
    now_ns = begin_ns
    for _ in range(rounds):
        running = int(limit.limit * part)
        for _ in range(max(running, LEAST_WINDOW)):
            limit.answered("stream", now_ns, now_ns + sample_ms * MS, running)
        now_ns += sample_ms * MS + 1
    return now_ns


def test_it_doubles_while_all_of_it_is_used_and_answers_come_as_fast() -> None:
    limit = Concurrency(LimitRules())
    rounds(limit, 100, rounds=12)
    assert limit.limit == 1000


def test_it_does_not_grow_while_it_is_not_used() -> None:
    limit = Concurrency(LimitRules())
    rounds(limit, 100, rounds=20, part=0.9)
    assert limit.limit == START


def test_it_shrinks_by_as_much_as_answers_are_late() -> None:
    limit = Concurrency(LimitRules())
    now_ns = rounds(limit, 100)
    rounds(limit, 125, begin_ns=now_ns)
    assert limit.limit == int(200 * (105 + 1) / 125)


def test_calls_from_before_a_change_say_nothing_of_what_is_now() -> None:
    limit = Concurrency(LimitRules())
    now_ns = rounds(limit, 100)
    limit.failed(now_ns, now_ns)
    shrunk = limit.limit
    for _ in range(1000):
        limit.answered("stream", now_ns - 1, now_ns + 900 * MS, shrunk)
        limit.failed(now_ns - 1, now_ns + 900 * MS)
    assert limit.limit == shrunk == 160


def test_one_long_prompt_is_no_load() -> None:
    limit = Concurrency(LimitRules())
    now_ns = rounds(limit, 100)
    before = limit.limit
    for n in range(before):
        limit.answered("stream", now_ns, now_ns + (60_000 if n % 50 == 0 else 100) * MS, 10)
    assert limit.limit >= before


def test_streams_and_whole_answers_are_not_measured_by_each_other() -> None:
    limit = Concurrency(LimitRules())
    now_ns = rounds(limit, 100)
    before = limit.limit
    for _ in range(3 * before):
        limit.answered("whole", now_ns, now_ns + 9000 * MS, 10)
    assert limit.limit == before


def test_what_it_takes_without_load_is_asked_again() -> None:
    limit = Concurrency(LimitRules(most=64))
    now_ns = rounds(limit, 100)
    now_ns = rounds(limit, 103, begin_ns=now_ns + PROBE_NS * 2, rounds=3)
    assert limit.limit == 64
    # It takes longer now, whatever the load: the limit falls, until a probe finds out.
    for _ in range(40):
        now_ns = rounds(limit, 300, begin_ns=now_ns + 2000 * MS)
    assert limit.no_load_ns == pytest.approx(300 * MS, rel=0.05)
    rounds(limit, 300, begin_ns=now_ns, rounds=60)
    assert limit.limit == 64


def test_a_fixed_limit_stays() -> None:
    limit = Concurrency(LimitRules(adapts=False, most=70))
    now_ns = rounds(limit, 100, rounds=3)
    limit.failed(now_ns, now_ns)
    rounds(limit, 900, begin_ns=now_ns, rounds=3)
    assert limit.limit == 70
    limit.define(LimitRules(adapts=False, cap=9))
    assert limit.limit == 9


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 100_000), st.integers(0, 2000), st.integers(0, 60_000))),
    st.integers(1, 50),
    st.integers(50, 2000),
    st.integers(0, 80),
)
def test_it_stays_within_its_bounds(events: list[tuple[bool, int, int, int]], least: int, most: int, cap: int) -> None:
    rules = LimitRules(least=least, most=most, cap=cap)
    limit, now_ns = Concurrency(rules), 0
    top = min(most, cap) if cap else most
    for failed, sample_ms, running, pause_ms in events:
        now_ns += pause_ms * MS
        for _ in range(40):
            if failed:
                limit.failed(now_ns, now_ns)
            else:
                limit.answered("stream", now_ns - sample_ms * MS, now_ns, running)
            assert min(least, top) <= limit.limit <= top


@given(st.integers(1, 10_000), st.integers(1, 20))
def test_answers_that_are_always_as_fast_never_shrink_it(sample_ms: int, count: int) -> None:
    limit, last, now_ns = Concurrency(LimitRules()), 0, 0
    for _ in range(count):
        now_ns = rounds(limit, sample_ms, begin_ns=now_ns)
        assert limit.limit >= last
        last = limit.limit
