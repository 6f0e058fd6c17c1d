"""The plan of attempts: what holds for every plan and every row of failures."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.errors import (
    BadUpstream,
    CircuitOpen,
    ConnectFailed,
    ContentRefused,
    ContextTooLong,
    Refused,
    Throttled,
    UpstreamError,
)
from hoosh.core.plan import Attempt, Plan, Target
from hoosh.policy.attempts import attempts

TARGETS = tuple(Target(f"p{n}", "m") for n in range(4))
plans = st.builds(
    Plan,
    targets=st.integers(1, 4).map(lambda n: TARGETS[:n]),
    tries=st.integers(1, 5),
    attempts=st.integers(1, 12),
    base_s=st.floats(0, 3),
    max_s=st.floats(0, 10),
)
retries = st.builds(Throttled, st.just("slow"), retry_after_s=st.none() | st.floats(0, 20))
failures = retries | st.just(ConnectFailed("no")) | st.just(BadUpstream("bad")) | st.just(Refused("wrong"))
EVEN = Plan(targets=TARGETS[:2], tries=4, attempts=20, base_s=1.0, max_s=3.0)


def drive(plan: Plan, errors: Iterable[UpstreamError]) -> list[tuple[Attempt, UpstreamError]]:
    """What was tried and how it failed; the last of `errors` is never reached if the plan ends before."""
    running = attempts(plan, lambda: 1.0)
    rows = []
    attempt = next(running)
    for error in errors:
        rows.append((attempt, error))
        try:
            attempt = running.send(error)
        except StopIteration:
            return rows
    raise AssertionError("the plan goes on after all its attempts")


@given(plans, st.lists(failures, min_size=21, max_size=21))
@settings(deadline=None)
def test_every_plan_ends_within_its_bounds(plan: Plan, errors: list[UpstreamError]) -> None:
    rows = drive(plan, errors)
    tried = [attempt.target for attempt, _ in rows]
    assert [attempt.n for attempt, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) <= plan.attempts
    assert all(tried.count(target) <= plan.tries for target in plan.targets)
    assert list(dict.fromkeys(tried)) == list(plan.targets[: len(set(tried))])
    assert tried == sorted(tried, key=plan.targets.index)


@given(plans, st.lists(failures, min_size=21, max_size=21))
@settings(deadline=None)
def test_each_verdict_is_obeyed(plan: Plan, errors: list[UpstreamError]) -> None:
    rows = drive(plan, errors)
    assert rows[0][0].delay_s == 0
    for (before, error), (after, _) in pairwise(rows):
        assert error.verdict != "stop"
        if before.target != after.target:
            assert after.delay_s == 0
            continue
        assert error.verdict == "retry"
        assert (error.retry_after_s or 0) <= after.delay_s <= plan.max_s
    last, error = rows[-1]
    if error.verdict == "next":
        assert last.target == plan.targets[-1] or last.n == plan.attempts


@given(plans)
def test_failures_that_leave_the_target_visit_each_once(plan: Plan) -> None:
    rows = drive(plan, [BadUpstream("bad")] * 21)
    assert [attempt.target for attempt, _ in rows] == list(plan.targets[: plan.attempts])


def test_the_wait_doubles_up_to_its_limit_and_begins_anew_at_the_next_target() -> None:
    rows = drive(EVEN, [ConnectFailed("no")] * 9)
    assert [attempt.delay_s for attempt, _ in rows] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_provider_is_not_asked_sooner_than_it_wants() -> None:
    alone = Plan(targets=TARGETS[:1], tries=4, attempts=20, base_s=1.0, max_s=3.0)
    rows = drive(alone, [Throttled("slow", retry_after_s=2.5), Refused("wrong")])
    assert [attempt.delay_s for attempt, _ in rows] == [0, 2.5]


def test_nobody_waits_long_for_one_while_another_could_answer() -> None:
    rows = drive(EVEN, [Throttled("slow", retry_after_s=1.5), Refused("wrong")])
    assert [(str(attempt.target), attempt.delay_s) for attempt, _ in rows] == [("p0/m", 0), ("p1/m", 0)]
    rows = drive(EVEN, [Throttled("slow", retry_after_s=0.5), Refused("wrong")])
    assert [(str(attempt.target), attempt.delay_s) for attempt, _ in rows] == [("p0/m", 0), ("p0/m", 1)]


def test_a_provider_that_wants_too_long_a_wait_is_left() -> None:
    rows = drive(EVEN, [Throttled("slow", retry_after_s=3.1), Refused("wrong")])
    assert [(str(attempt.target), attempt.delay_s) for attempt, _ in rows] == [("p0/m", 0), ("p1/m", 0)]


def test_half_of_each_wait_is_by_chance() -> None:
    def waits(draw: float) -> list[float]:
        running = attempts(EVEN, lambda: draw)
        next(running)
        return [running.send(ConnectFailed("no")).delay_s for _ in range(3)]

    assert waits(0.0) == [0.5, 1.0, 1.5]
    assert waits(0.5) == [0.75, 1.5, 2.25]


def test_too_long_a_prompt_goes_only_to_who_reads_more() -> None:
    small, same, big = TARGETS[:3]
    plan = Plan(targets=(small, same, big), wider=(big,))
    assert [attempt.target for attempt, _ in drive(plan, [ContextTooLong("long")] * 3)] == [small, big]
    assert [attempt.target for attempt, _ in drive(Plan(targets=(small, big)), [ContextTooLong("long")] * 3)] == [small]
    after = drive(plan, [BadUpstream("bad"), ContextTooLong("long"), BadUpstream("bad")])
    assert [attempt.target for attempt, _ in after] == [small, same, big]


def test_refused_content_goes_to_others_only_where_the_route_says_so() -> None:
    plan = Plan(targets=TARGETS[:2], on_content=True)
    assert len(drive(plan, [ContentRefused("no")] * 3)) == 2
    assert len(drive(Plan(targets=TARGETS[:2]), [ContentRefused("no")] * 3)) == 1


def test_whoever_is_left_alone_is_asked_in_the_end_and_once() -> None:
    first, second, third, _ = TARGETS
    plan = Plan(targets=(first, second), last=(third,), tries=2)
    failed = [CircuitOpen("finding out"), BadUpstream("bad"), ConnectFailed("no"), ConnectFailed("no")]
    rows = [(attempt.target, attempt.anyhow) for attempt, _ in drive(plan, failed)]
    assert rows == [(first, False), (second, False), (third, True), (first, True)]


def test_who_is_alone_and_left_alone_comes_to_itself() -> None:
    assert len(drive(Plan(targets=TARGETS[:1]), [CircuitOpen("finding out")])) == 1


def test_where_all_are_left_alone_one_that_asks_for_a_wait_ends_the_walk_without_a_crash() -> None:
    plan = Plan(targets=(), last=TARGETS[:2])
    rows = drive(plan, [Throttled("slow", retry_after_s=1.5)] * 2)
    assert [str(attempt.target) for attempt, _ in rows] == ["p0/m", "p1/m"]
