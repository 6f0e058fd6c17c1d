"""Money is whole, rounded up once, and never above its bound."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from hoosh.core.events import Usage
from hoosh.policy.prices import FREE, HOUR_MS, Price, Rates, Tier, bound_micros, cost_micros, dearest

MILLION = 1_000_000
FULL = Rates(
    input=3_000_000,
    output=15_000_000,
    cached=300_000,
    cache_write=3_750_000,
    cache_write_1h=6_000_000,
    reasoning=16_000_000,
    audio_input=32_000_000,
    audio_cached=400_000,
    audio_output=64_000_000,
)

counts = st.integers(0, 10**7)
rate = st.integers(0, 10**9)
rates = st.builds(Rates, **dict.fromkeys(Rates.__struct_fields__, rate))
prices = st.builds(
    lambda base, tiers, hour, least, requests: Price(
        rates=base,
        tiers=tuple(Tier(above, tiers[above]) for above in sorted(tiers)),
        audio_micros_per_hour=hour,
        least_audio_ms=least,
        micros_per_thousand_requests=requests,
    ),
    rates,
    st.dictionaries(st.integers(0, 10**6), rates, max_size=3),
    rate,
    st.integers(0, 20_000),
    rate,
)
usages = st.builds(Usage, **{name: counts for name in Usage.__struct_fields__ if name != "source"})


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (Usage(), 0),
        (Usage(input=MILLION), 3_000_000),
        (Usage(input=MILLION, cached=MILLION), 300_000),
        (Usage(input=MILLION, cached=500_000, cache_write=400_000), 150_000 + 1_500_000 + 300_000),
        (Usage(input=MILLION, cache_write=MILLION, cache_write_1h=MILLION), 6_000_000),
        (Usage(input=MILLION, audio_input=900_000), 28_800_000 + 300_000),
        (Usage(output=MILLION, reasoning=400_000), 6_400_000 + 9_000_000),
        (Usage(output=MILLION, audio_output=500_000), 32_000_000 + 7_500_000),
    ],
)
def test_each_part_has_its_own_rate(usage: Usage, micros: int) -> None:
    assert cost_micros(Price(rates=FULL), usage) == micros


def test_sound_counts_as_cached_only_where_it_must_have_been() -> None:
    heard = Usage(input=1000, cached=800, audio_input=500)  # 200 were fresh, so 300 of the 500 were cached
    assert cost_micros(Price(rates=FULL), heard) == 200 * 32 + 150 + 120


def test_a_part_without_a_rate_costs_what_its_whole_costs() -> None:
    price = Price(rates=Rates(input=2_000_000, output=8_000_000))
    parts = Usage(
        input=9, cached=2, cache_write=3, cache_write_1h=1, audio_input=4, output=9, reasoning=4, audio_output=5
    )
    assert cost_micros(price, parts) == cost_micros(price, Usage(input=9, output=9)) == 90


def test_a_cost_is_rounded_up_once_for_the_whole_request() -> None:
    price = Price(
        rates=Rates(input=100_000, output=100_000), audio_micros_per_hour=1000, micros_per_thousand_requests=100
    )
    assert cost_micros(price, Usage(input=1)) == 1
    assert cost_micros(price, Usage(input=1, output=1), audio_ms=1) == 1  # 0.1 + 0.1 + 0.0003 + 0.1
    assert cost_micros(price, Usage(input=4, output=5)) == 1
    assert cost_micros(price, Usage(input=5, output=5)) == 2


def test_a_tier_begins_above_its_threshold_and_counts_for_the_whole_request() -> None:
    tiers = (Tier(100, Rates(input=2 * MILLION, output=20 * MILLION)), Tier(200, Rates(input=3 * MILLION)))
    price = Price(rates=Rates(input=MILLION, output=10 * MILLION), tiers=tiers)
    assert cost_micros(price, Usage(input=100, output=1)) == 110
    assert cost_micros(price, Usage(input=101, output=1)) == 222
    assert cost_micros(price, Usage(input=200, output=1)) == 420
    assert cost_micros(price, Usage(input=201, output=1)) == 603


def test_sound_is_priced_by_its_length_with_a_minimum_for_what_was_heard_at_all() -> None:
    price = Price(audio_micros_per_hour=360_000, least_audio_ms=10_000)
    assert cost_micros(price, Usage(), HOUR_MS) == 360_000
    assert cost_micros(price, Usage(), 1) == cost_micros(price, Usage(), 10_000) == 1000
    assert cost_micros(price, Usage(), 0) == 0


def test_huge_numbers_stay_exact() -> None:
    price = Price(rates=Rates(input=1, output=10**11))
    assert cost_micros(price, Usage(input=10**18 + 1, output=10**18)) == 10**12 + 10**23 + 1


@given(prices, usages, counts)
@example(Price(rates=Rates(input=1)), Usage(input=1, cached=5, cache_write=9, audio_input=7), 0)
def test_a_bound_holds_for_every_usage_within_it(price: Price, usage: Usage, audio_ms: int) -> None:
    cost = cost_micros(price, usage, audio_ms)
    assert 0 <= cost <= bound_micros(price, usage.input, usage.output, audio_ms)
    assert cost <= bound_micros(price, usage.input + 50_000, usage.output + 1, audio_ms + 1)


@given(rates, counts, counts)
def test_a_bound_is_reached(rates: Rates, input_tokens: int, output_tokens: int) -> None:
    """By a usage that is all of the dearest kind: so it is no larger than it must be."""
    whole = Usage(input=input_tokens, output=output_tokens)
    inputs: list[set[str]] = [
        set(),
        {"cached"},
        {"cache_write"},
        {"audio_input"},
        {"cache_write", "cache_write_1h"},
        {"cached", "audio_input"},
    ]
    outputs: list[set[str]] = [set(), {"reasoning"}, {"audio_output"}]
    price = Price(rates=rates)
    costs = [
        cost_micros(price, replace(whole, **dict.fromkeys(into, input_tokens), **dict.fromkeys(out, output_tokens)))
        for into in inputs
        for out in outputs
    ]
    assert max(costs) == bound_micros(price, input_tokens, output_tokens)


def test_a_bound_looks_at_no_tier_that_cannot_be_reached() -> None:
    price = Price(rates=Rates(input=MILLION), tiers=(Tier(100, Rates(input=9 * MILLION)),))
    assert bound_micros(price, 100, 0) == 100
    assert bound_micros(price, 101, 0) == 909


def test_a_bound_of_a_tier_that_is_cheaper_is_still_that_of_the_tier_below() -> None:
    price = Price(rates=Rates(input=9 * MILLION), tiers=(Tier(100, Rates(input=MILLION)),))
    assert bound_micros(price, 101, 0) >= cost_micros(price, Usage(input=100)) == 900


def test_free_is_free() -> None:
    assert cost_micros(FREE, Usage(input=10**9, output=10**9), 10**9) == bound_micros(FREE, 10**9, 10**9, 10**9) == 0


def test_the_dearest_is_found() -> None:
    cheap, dear = Price(rates=Rates(input=2, output=2)), Price(rates=Rates(input=1, output=9))
    assert dearest([cheap, dear, FREE]) == dear
    assert dearest([]) is None
