"""The order that each strategy gives, and that it is fair."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.plan import Target
from hoosh.core.routing import Candidate, Chance, Strategy, Vital
from hoosh.policy.rank import Weighed, rank, share

STRATEGIES: tuple[Strategy, ...] = (
    "priority",
    "round_robin",
    "lowest_latency",
    "least_busy",
    "cheapest",
    "local_first",
    "direct",
)


def one(
    name: str, tier: int = 0, weight: int = 1, *, local: bool = False, vital: Vital = Vital(), price: int | None = None
) -> Weighed:
    candidate = Candidate(target=Target(name, "m", local), tier=tier, weight=weight)
    return Weighed(candidate, vital, price)


def fares(in_flight: int = 0, latency_s: float | None = None) -> Vital:
    return Vital(in_flight=in_flight, latency_s=latency_s)


def order(strategy: Strategy, group: Sequence[Weighed], chance: Chance = Chance(), session: str = "") -> str:
    return "".join(each.candidate.target.provider for each, _ in rank(strategy, group, chance, session))


def test_priority_keeps_the_order_and_direct_only_the_first() -> None:
    group = [one("a", 1), one("b", 0), one("c", 1)]
    assert order("priority", group) == "bac"
    assert order("direct", group) == "b"


def test_who_weighs_the_same_takes_turns_within_the_tier_alone() -> None:
    group = [one("a"), one("b"), one("c"), one("z", 1)]
    assert [order("round_robin", group, Chance(turn)) for turn in range(4)] == ["abcz", "bcaz", "cabz", "abcz"]


def test_who_weighs_nothing_is_only_a_way_out() -> None:
    group = [one("a", weight=0), one("b", weight=2), one("c", weight=1)]
    assert {order("round_robin", group, Chance(turn))[-1] for turn in range(50)} == {"a"}
    assert order("round_robin", [one("a", weight=0), one("b", weight=0)], Chance(1)) == "ba"


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6))
@settings(deadline=None)
def test_shares_are_within_two_percent_of_the_weights(weights: list[int]) -> None:
    turns = 5_000
    found = Counter(share(weights, turn) for turn in range(turns))
    for index, weight in enumerate(weights):
        assert abs(found[index] / turns - weight / sum(weights)) < 0.02


def test_the_faster_of_two_drawn_goes_first_and_load_counts() -> None:
    group = [one("a", vital=fares(0, 0.5)), one("b", vital=fares(0, 0.1)), one("c", vital=fares(9, 0.1))]
    assert order("lowest_latency", group, Chance(draws=(0.0, 0.0))) == "bac"  # a and b
    assert order("lowest_latency", group, Chance(draws=(0.4, 0.0))) == "bac"  # b and c
    assert order("lowest_latency", group, Chance(draws=(0.0, 0.9))) == "abc"  # a and c
    assert order("lowest_latency", [one("a")], Chance(draws=(0.9, 0.9))) == "a"


def test_the_unknown_is_explored_by_one_call_and_not_by_all() -> None:
    group = [one("a", vital=fares(0, 0.1)), one("b")]
    assert order("lowest_latency", group) == "ba"
    busy = [one("a", vital=fares(50, 0.1)), one("b", vital=fares(1))]
    assert order("lowest_latency", busy) == "ab"


def test_of_two_upstreams_the_slower_gets_less_and_not_nothing() -> None:
    draws = random.Random(7)
    group = [one("a", vital=fares(0, 0.1)), one("b", vital=fares(0, 0.2)), one("c", vital=fares(0, 0.3))]
    found = Counter(
        order("lowest_latency", group, Chance(draws=(draws.random(), draws.random())))[0] for _ in range(3000)
    )
    assert found["a"] > found["b"] > 0
    assert found["c"] == 0  # it loses against either


def test_least_busy_counts_calls_by_weight_and_turns_where_they_are_equal() -> None:
    assert order("least_busy", [one("a", vital=fares(3)), one("b", vital=fares(1))]) == "ba"
    assert order("least_busy", [one("a", weight=4, vital=fares(3)), one("b", vital=fares(1))]) == "ab"
    assert {order("least_busy", [one("a"), one("b")], Chance(turn))[0] for turn in range(2)} == {"a", "b"}


def test_an_unknown_price_is_not_a_low_one() -> None:
    assert order("cheapest", [one("a"), one("b", price=9), one("c", price=0)]) == "cba"


def test_local_first_goes_before_every_tier() -> None:
    group = [one("a", 0), one("b", 1, local=True), one("c", 2, local=True)]
    assert order("local_first", group) == "bca"


@given(st.text(min_size=1), st.integers(2, 6))
@settings(deadline=None)
def test_a_session_keeps_its_place_when_others_leave_and_come(session: str, count: int) -> None:
    group = [one(chr(97 + n)) for n in range(count)]
    whole = order("round_robin", group, Chance(3), session)
    for gone in group:
        left = [each for each in group if each is not gone]
        assert order("round_robin", left, Chance(9), session) == whole.replace(gone.candidate.target.provider, "")


def test_sessions_are_spread_by_weight() -> None:
    group = [one("a", weight=3), one("b", weight=1)]
    found = Counter(order("round_robin", group, Chance(), f"session {n}")[0] for n in range(4000))
    assert abs(found["a"] / 4000 - 0.75) < 0.02


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_every_strategy_ranks_all_once_and_no_tier_before_its_turn(strategy: Strategy, data: st.DataObject) -> None:
    group = [
        one(
            f"p{n}",
            data.draw(st.integers(0, 2)),
            data.draw(st.integers(0, 5)),
            local=data.draw(st.booleans()),
            vital=fares(data.draw(st.integers(0, 9)), data.draw(st.none() | st.floats(0, 9))),
            price=data.draw(st.none() | st.integers(0, 9)),
        )
        for n in range(data.draw(st.integers(0, 6)))
    ]
    draws = (data.draw(st.floats(0, 0.999)), data.draw(st.floats(0, 0.999)))
    session = data.draw(st.sampled_from(["", "s"]))
    ranked = [each for each, _ in rank(strategy, group, Chance(data.draw(st.integers(0, 99)), draws), session)]
    if strategy == "direct":
        assert len(ranked) == min(1, len(group))
        return
    assert Counter(map(id, ranked)) == Counter(map(id, group))
    if strategy != "local_first":
        tiers = [each.candidate.tier for each in ranked]
        assert tiers == sorted(tiers)
