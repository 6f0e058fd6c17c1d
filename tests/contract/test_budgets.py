"""The contract of ports.Budgets, seen through the port alone: what is left of a pool is read from a refusal."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hoosh.core.call import Hold, Settlement
from hoosh.core.errors import BadRequest, BudgetExceeded
from hoosh.core.plan import Target
from hoosh.core.usage import Usage
from hoosh.ports import Budgets
from hoosh.stores.memory import MemoryBudgets

Make = Callable[[Mapping[str, int | None]], Budgets]
IMPLEMENTATIONS = [pytest.param(MemoryBudgets, id="memory")]
CAPACITY = 100
TOO_MUCH = 10**15
REFUSAL = re.compile(r"Token budget exceeded: pool '(.+)' has (\d+) tokens remaining, requested (\d+)")


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def hold(name: str, tokens: int, pool: str = "small") -> Hold:
    return Hold(id=name, pool=pool, tokens=tokens)


def used(name: str, tokens: int, pool: str = "small") -> Settlement:
    usage = Usage(input=tokens // 2, output=tokens - tokens // 2)
    return Settlement(id=name, pool=pool, usage=usage, target=Target("one", "m"))


async def left(budgets: Budgets, pool: str = "small") -> int:
    with pytest.raises(BudgetExceeded) as told:
        await budgets.reserve(Hold(id="probe", pool=pool, tokens=TOO_MUCH))
    found = REFUSAL.fullmatch(told.value.message)
    assert found, told.value.message
    assert (found[1], found[3]) == (pool, str(TOO_MUCH))
    return int(found[2])


def play(make: Make, scene: Callable[[Budgets], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene(make({"small": CAPACITY, "other": 50, "open": None}))

    asyncio.run(main())


def test_a_hold_sets_aside_and_a_settlement_puts_back_what_was_not_used(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        assert await left(budgets) == CAPACITY
        await budgets.reserve(hold("a", 60))
        assert await left(budgets) == 40
        await budgets.settle([used("a", 25)])
        assert await left(budgets) == 75
        assert await left(budgets, "other") == 50

    play(make, scene)


def test_a_hold_of_nothing_is_never_too_much(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        await budgets.settle([used("late", CAPACITY + 1)])  # more than there was
        await budgets.reserve(hold("a", 0))
        with pytest.raises(BudgetExceeded):
            await budgets.reserve(hold("b", 1))

    play(make, scene)


def test_the_same_hold_again_changes_nothing(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        for _ in range(3):
            await budgets.reserve(hold("a", 60))  # twice would not fit
        assert await left(budgets) == 40
        await budgets.settle([used("a", 10)])
        await budgets.reserve(hold("a", 60))  # late: it is settled already
        assert await left(budgets) == 90

    play(make, scene)


def test_the_same_settlement_again_changes_nothing(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        await budgets.reserve(hold("a", 60))
        await budgets.settle([used("a", 10), used("a", 10)])
        await budgets.settle([used("a", 10)])
        await budgets.settle([used("a", 99)])
        assert await left(budgets) == 90

    play(make, scene)


def test_a_hold_is_all_or_nothing(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        await budgets.reserve(hold("a", 60))
        with pytest.raises(BudgetExceeded) as told:
            await budgets.reserve(hold("b", 41))
        assert told.value.message == "Token budget exceeded: pool 'small' has 40 tokens remaining, requested 41"
        assert (told.value.status, told.value.code) == (429, "budget_exceeded")
        assert await left(budgets) == 40
        await budgets.reserve(hold("b", 40))  # a refused id may come again, and the last token may be taken
        assert await left(budgets) == 0

    play(make, scene)


def test_a_pool_that_does_not_exist_is_the_callers_mistake(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        with pytest.raises(BadRequest, match="Token pool 'none' does not exist") as told:
            await budgets.reserve(hold("a", 1, "none"))
        assert told.value.param == "pool"
        await budgets.settle([used("a", 1, "none"), used("b", 5)])  # does not stop what comes with it
        assert await left(budgets) == 95

    play(make, scene)


def test_what_was_never_reserved_is_booked_all_the_same(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        await budgets.settle([used("a", 30)])
        assert await left(budgets) == 70

    play(make, scene)


def test_more_than_was_held_is_booked_and_nothing_is_ever_left_below_zero(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        await budgets.reserve(hold("a", 10))
        await budgets.settle([used("a", 130)])
        assert await left(budgets) == 0
        with pytest.raises(BudgetExceeded):
            await budgets.reserve(hold("b", 1))

    play(make, scene)


def test_a_pool_without_a_capacity_only_counts(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        await budgets.reserve(hold("a", TOO_MUCH, "open"))
        await budgets.settle([used("a", TOO_MUCH, "open")])
        await budgets.reserve(hold("b", TOO_MUCH, "open"))

    play(make, scene)


def test_many_at_once_never_get_more_than_there_is(make: Make) -> None:
    async def scene(budgets: Budgets) -> None:
        answers = await asyncio.gather(*(budgets.reserve(hold(str(n), 30)) for n in range(20)), return_exceptions=True)
        assert [answer for answer in answers if answer is None] == [None] * 3
        assert all(answer is None or isinstance(answer, BudgetExceeded) for answer in answers)
        assert await left(budgets) == 10

    play(make, scene)


NAMES = st.sampled_from("abcdefgh")
LINES = st.lists(st.tuples(NAMES, st.integers(0, 60)), min_size=1, max_size=4)


class Books(RuleBasedStateMachine):
    """Any order of deliveries, each any number of times, against the plainest bookkeeping."""

    def __init__(self, make: Make) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.budgets = make({"small": CAPACITY})
        self.held: dict[str, int] = {}
        self.settled: dict[str, int] = {}
        self.delivered: list[Settlement] = []
        self.over = 0  # what settlements reported beyond their holds

    @rule(name=NAMES, tokens=st.integers(0, 60))
    def reserve(self, name: str, tokens: int) -> None:
        known = name in self.held or name in self.settled
        fits = known or not tokens or sum(self.settled.values()) + sum(self.held.values()) + tokens <= CAPACITY
        try:
            self.runner.run(self.budgets.reserve(hold(name, tokens)))
        except BudgetExceeded:
            assert not fits
        else:
            assert fits
            if not known:
                self.held[name] = tokens

    @rule(lines=LINES)
    def settle(self, lines: list[tuple[str, int]]) -> None:
        batch = [used(name, tokens) for name, tokens in lines]
        self.runner.run(self.budgets.settle(batch))
        self.delivered += batch
        for name, tokens in lines:
            if name not in self.settled:
                self.settled[name] = tokens
                self.over += max(0, tokens - self.held.pop(name, 0))

    @rule(chance=st.randoms(use_true_random=False))
    def deliver_all_again_in_another_order(self, chance: Random) -> None:
        again = list(self.delivered)
        chance.shuffle(again)
        self.runner.run(self.budgets.settle(again))

    @invariant()
    def nothing_is_lost_and_nothing_made(self) -> None:
        taken = sum(self.settled.values()) + sum(self.held.values())
        assert taken <= CAPACITY + self.over
        assert self.runner.run(left(self.budgets)) == max(0, CAPACITY - taken)

    def teardown(self) -> None:
        self.runner.close()


def test_conservation(make: Make) -> None:
    class Made(Books):
        def __init__(self) -> None:
            super().__init__(make)

    run_state_machine_as_test(Made, settings=settings(deadline=None, max_examples=60, stateful_step_count=30))
