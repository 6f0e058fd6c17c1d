"""The rate limit: its law over every window, an exact promise of when to come back, and shares that add up."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.policy.limits import MINUTE_NS, Rate, cost_ns, free, rate, share, span, wait_ns

SECOND_NS = 1_000_000_000
gaps = st.lists(st.sampled_from([0, 1, 500_000_000, SECOND_NS]) | st.integers(0, 100 * SECOND_NS), max_size=60)
per_minute = st.integers(1, 1_000_000)


@given(gaps, per_minute, st.integers(1, 20), st.lists(st.integers(0, 50_000), min_size=61, max_size=61))
@settings(deadline=None)
def test_no_window_lets_more_pass_than_the_burst_and_the_rate(
    gaps: list[int], per_minute: int, part: int, asked: list[int]
) -> None:
    ours = rate(per_minute, part)
    full_at_ns, passed = 0, []
    for now_ns, units in zip(accumulate(gaps, initial=7), asked, strict=False):
        fitting = min(units, ours.burst)
        if not wait_ns(ours, max(0, full_at_ns - now_ns), fitting):
            full_at_ns = max(full_at_ns, now_ns) + cost_ns(ours, fitting)
            passed.append((now_ns, fitting))
    for first, (begin_ns, _) in enumerate(passed):
        total = 0
        for last in range(first, len(passed)):
            now_ns, units = passed[last]
            total += units
            rounding_ns = last - first + 1
            most = ours.burst * ours.period_ns + ours.units * (now_ns - begin_ns + rounding_ns)
            assert total * ours.period_ns <= most


@given(per_minute, st.integers(1, 20), st.integers(1, 8))
def test_the_wait_is_exact_and_a_whole_burst_passes_at_once(per_minute: int, part: int, processes: int) -> None:
    ours, owed_ns = rate(per_minute, part, processes), 0
    for left in range(min(ours.burst, 50), 0, -1):
        assert free(ours, owed_ns) >= left
        assert wait_ns(ours, owed_ns, 1) == 0
        owed_ns += cost_ns(ours, 1)
    owed_ns = cost_ns(ours, ours.burst)
    assert free(ours, owed_ns) == 0
    waiting_ns = wait_ns(ours, owed_ns, 1)
    assert waiting_ns == cost_ns(ours, 1)
    assert wait_ns(ours, owed_ns - waiting_ns + 1, 1) == 1
    assert wait_ns(ours, owed_ns - waiting_ns, 1) == 0


def test_what_is_larger_than_the_burst_passes_when_all_is_free() -> None:
    ours = Rate(units=60, period_ns=MINUTE_NS, burst=60)
    assert wait_ns(ours, 0, 1000) == 0
    assert wait_ns(ours, 1, 1000) == 1
    assert wait_ns(ours, cost_ns(ours, 1000), 1) == cost_ns(ours, 1000 - 60 + 1)  # and is owed whole


@given(per_minute, st.integers(1, 200))
def test_the_shares_of_all_processes_are_the_limit(per_minute: int, processes: int) -> None:
    ours = rate(per_minute, 1, processes)
    most = max(per_minute, processes)
    assert processes * ours.burst <= most
    assert ours.units * MINUTE_NS * processes <= most * ours.period_ns
    assert ours.units * MINUTE_NS >= ours.period_ns  # a unit a minute at least
    assert per_minute <= share(per_minute, processes) * processes < per_minute + processes


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (120_000_000, "120ms"),
        (999_999_999, "1s"),
        (SECOND_NS, "1s"),
        (8_640_000_000, "8.64s"),
        (59_999_999_999, "1m0s"),
        (360 * SECOND_NS, "6m0s"),
        (3_612_500_000_000, "1h0m12.5s"),
    ],
)
def test_a_span_is_written_as_openai_does(ns: int, text: str) -> None:
    assert span(ns) == text
