"""Further attempts stay a part of the calls."""

from hoosh.policy.retry_budget import RetryBudget

S = 1_000_000_000


def test_when_everything_fails_attempts_stay_within_a_tenth_and_the_floor() -> None:
    budget = RetryBudget(part=0.1, floor_per_s=3.0, most=10.0)
    calls, further, seconds = 10_000, 0, 10
    for n in range(calls):
        budget.call()
        further += budget.take(S + n * seconds * S // calls)
    assert further <= 0.1 * calls + 3 * seconds + 10
    assert further >= 0.1 * calls


def test_a_few_are_free_and_come_back_with_time() -> None:
    budget = RetryBudget(part=0.0, floor_per_s=2.0, most=2.0)
    assert [budget.take(S) for _ in range(3)] == [True, True, False]
    assert [budget.take(2 * S) for _ in range(3)] == [True, True, False]


def test_a_clock_set_back_gives_nothing() -> None:
    budget = RetryBudget(part=0.0, floor_per_s=1.0, most=1.0)
    assert budget.take(100 * S)
    assert not budget.take(S)
