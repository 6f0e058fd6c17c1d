"""The rate limit: its law over every window, and an exact promise of when to come back."""

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.policy.limits import gcra

# Far above what rounding adds up to here, far below one request.
ROUNDING = 1e-6
gaps = st.lists(st.sampled_from([0.0, 0.01, 0.5, 1.0, 7.0]) | st.floats(0, 100), max_size=80)
rates = st.integers(1, 6000)


@given(gaps, rates, st.integers(1, 20), st.floats(0, 1e6))
@settings(deadline=None)
def test_no_window_lets_more_pass_than_the_burst_and_the_rate(
    gaps: list[float], per_minute: int, burst: int, start_s: float
) -> None:
    full_at_s, passed = 0.0, []
    for now_s in accumulate(gaps, initial=start_s):
        verdict = gcra(full_at_s, now_s, per_minute, burst)
        full_at_s = verdict.full_at_s
        if not verdict.wait_s:
            passed.append(now_s)
    for first, begin_s in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = burst + (passed[last] - begin_s) * per_minute / 60
            assert last - first + 1 <= allowed + ROUNDING * 100


@given(st.floats(0, 1e5), rates, st.integers(1, 20), st.integers(0, 19))
@settings(deadline=None)
def test_the_wait_is_exact(now_s: float, per_minute: int, burst: int, more: int) -> None:
    full_at_s = 0.0
    for _ in range(burst):
        verdict = gcra(full_at_s, now_s, per_minute, burst)
        assert verdict.wait_s == 0
        full_at_s = verdict.full_at_s
    refused = gcra(full_at_s, now_s, per_minute, burst)
    assert abs(refused.wait_s - 60 / per_minute) < ROUNDING
    assert refused.full_at_s == full_at_s  # a refusal costs nothing
    assert gcra(full_at_s, now_s + refused.wait_s - 1e-4, per_minute, burst).wait_s > 0
    assert gcra(full_at_s, now_s + refused.wait_s + ROUNDING, per_minute, burst).wait_s == 0


def test_an_idle_limit_saves_up_no_more_than_its_burst() -> None:
    full_at_s = gcra(0.0, 0.0, 60, 2).full_at_s
    passed = 0
    for _ in range(5):
        verdict = gcra(full_at_s, 1e6, 60, 2)
        full_at_s = verdict.full_at_s
        passed += not verdict.wait_s
    assert passed == 2
