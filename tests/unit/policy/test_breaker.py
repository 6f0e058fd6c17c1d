"""When a breaker opens, whom it lets pass, and when it closes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.policy.breaker import Breaker, BreakerRules

RULES = BreakerRules(failures=5, percent=50, calls=20, window_s=10.0, open_s=1.0, max_open_s=8.0)
S = 1_000_000_000


def opened(now_ns: int = S) -> Breaker:
    breaker = Breaker(RULES)
    for _ in range(RULES.failures):
        breaker.fail(now_ns, "down")
    return breaker


def test_failures_in_a_row_open_it_and_it_tells_once() -> None:
    breaker = Breaker(RULES)
    assert [breaker.fail(S, "down") for _ in range(6)] == [False] * 4 + [True, False]
    assert (breaker.is_open, breaker.reason, breaker.wait_ns(S)) == (True, "down", S)


def test_a_success_between_them_begins_the_row_anew() -> None:
    breaker = Breaker(RULES)
    for _ in range(4):
        breaker.fail(S, "down")
    breaker.succeed(S)
    assert not any(breaker.fail(S, "down") for _ in range(4))


def test_more_than_half_of_twenty_in_the_window_open_it_and_less_do_not() -> None:
    less, most = Breaker(RULES), Breaker(RULES)
    for n in range(24):
        less.fail(S + n, "down") if n % 5 < 2 else less.succeed(S + n)
        most.fail(S + n, "down") if n % 3 else most.succeed(S + n)
    assert not less.is_open
    assert most.is_open


def test_failures_long_ago_do_not_count() -> None:
    breaker = Breaker(RULES)
    for n in range(40):
        breaker.fail(n * 11 * S, "down") if n % 4 else breaker.succeed(n * 11 * S)
    assert not breaker.is_open


def test_one_call_finds_out_and_its_success_closes_it() -> None:
    breaker = opened()
    assert breaker.wait_ns(2 * S) == 0
    assert breaker.claim(2 * S)
    assert breaker.wait_ns(2 * S) == S  # nobody else meanwhile
    breaker.succeed(2 * S)  # of a call from before
    breaker.fail(2 * S, "late")
    assert breaker.wait_ns(2 * S) == S
    breaker.succeed(2 * S, is_probe=True)
    assert breaker.is_pristine
    assert breaker.wait_ns(2 * S) == 0


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_the_most() -> None:
    breaker, now_ns, waits = opened(), S, []
    for _ in range(6):
        now_ns += breaker.wait_ns(now_ns)
        assert breaker.claim(now_ns)
        breaker.fail(now_ns, "down", is_probe=True)
        waits.append(breaker.wait_ns(now_ns) // S)
    assert waits == [2, 4, 8, 8, 8, 8]


def test_a_probe_that_shows_nothing_leaves_it_to_the_next() -> None:
    breaker = opened()
    assert breaker.claim(2 * S)
    breaker.leave()
    assert breaker.wait_ns(2 * S) == 0


def test_a_rest_ends_by_itself_and_for_all() -> None:
    breaker = Breaker(RULES)
    breaker.rest(S, 3.0, "rate limited")
    assert (breaker.is_resting, breaker.wait_ns(S)) == (True, 3 * S)
    breaker.refresh(4 * S)
    assert breaker.is_pristine
    assert not breaker.claim(4 * S)  # there is nothing to find out


def test_a_trip_opens_it_at_once() -> None:
    breaker = Breaker(RULES)
    assert breaker.trip(S, "it is down")
    assert not breaker.trip(S, "it is down")
    assert breaker.is_open


STEPS = st.lists(st.tuples(st.sampled_from(["call", "good", "bad", "lost"]), st.integers(0, 3 * S)), max_size=80)


@given(STEPS)
@settings(deadline=None)
def test_while_it_is_not_closed_at_most_one_call_is_on_its_way(steps: list[tuple[str, int]]) -> None:
    breaker, now_ns, probes = opened(), S, 0
    for step, later_ns in steps:
        now_ns += later_ns
        if step == "call":
            if not breaker.wait_ns(now_ns):
                probes += breaker.claim(now_ns)
        elif probes:
            probes = 0
            if step == "good":
                breaker.succeed(now_ns, is_probe=True)
                break
            breaker.fail(now_ns, "down", is_probe=True) if step == "bad" else breaker.leave()
        assert probes <= 1
        assert breaker.is_open
        assert breaker.wait_ns(now_ns) <= RULES.max_open_s * S
