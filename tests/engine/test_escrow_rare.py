"""What gateways met in the simulator (tests/simulation), each by itself: windows that end meanwhile, pools that go and
come, answers that are lost, calls that are told of twice.
"""

import asyncio
import time
from zoneinfo import ZoneInfo

import pytest

from engine.test_escrow import Clock, Slow, Turning, gateways, hold, pools, standing, used
from hoosh.core.errors import BudgetExceeded, StoreFailed
from hoosh.core.ledger import NOTHING, UNLIMITED, Amount, Lease, Standing
from hoosh.core.pool import Pool
from hoosh.engine.courier import Courier, Manner
from hoosh.engine.desk import Desk
from hoosh.engine.escrow import Escrow
from hoosh.engine.pools import Pools, PoolState

HUNDRED = Amount(100, UNLIMITED, UNLIMITED)
MINUTE = Pool(name="minute", ceiling=HUNDRED, period_s=60)
DEFAULT = Pool(name="default")


def test_a_clock_that_is_set_right_does_not_lend_a_window_twice() -> None:
    state = PoolState(MINUTE, ZoneInfo("UTC"))
    state.at(119)
    before = state.desk
    before.take((40, 0, 0), 0)
    state.at(120)
    assert state.desk is not before
    state.at(119)
    assert state.desk is before
    assert before not in state.past()


def test_a_pool_that_goes_and_comes_while_a_call_holds_some_of_it_is_not_lent_twice() -> None:
    known = Pools([MINUTE, DEFAULT], ZoneInfo)
    known["minute"].at(60)
    desk = known["minute"].desk
    desk.take((40, 0, 0), 0)
    known.define({"default": DEFAULT})
    known.define({"minute": MINUTE, "default": DEFAULT})
    assert [each for each, _ in known.desks() if each.pool == "minute"] == [desk]


def test_a_call_that_waited_while_its_window_ended_is_charged_where_it_has_a_lease() -> None:
    async def main() -> None:
        clock = Turning(1_700_000_040 - 1)
        ledger = Slow(clock)
        async with gateways(1, [MINUTE, DEFAULT], ledger) as (_, (budgets,)):
            waiting = asyncio.create_task(budgets.reserve(hold("a", 90, "minute")))
            await asyncio.sleep(0)
            clock.now_ms += 2000
            await waiting
            budgets.settle(used("a", 90, "minute"))
            await budgets.flush()
            line = await ledger.line("a")
            assert line is not None
            (scope,) = line.scopes
            assert scope.bucket_s == line.reserved_ms // 60_000 * 60

    asyncio.run(main())


def test_a_lease_whose_answer_was_lost_is_given_back() -> None:
    desk = Desk("p", 60)
    desk.cap(HUNDRED, 60)
    desk.waiting[0] = 50
    desk.wish(1, keep_free=False, urgent=True)
    desk.waiting[0] = 0  # its call has given up
    assert not desk.is_empty
    desk.wish(1, keep_free=False, urgent=False)
    desk.granted_by(Lease("p", 60, NOTHING, HUNDRED))
    assert desk.is_empty


def test_a_lease_that_was_ceded_while_its_answer_was_on_its_way_is_given_back() -> None:
    desk = Desk("p", 60)
    desk.cap(HUNDRED, 60)
    desk.granted[0] = 50
    desk.take((50, 0, 0), 0)
    desk.wish(1, keep_free=False, urgent=False)
    desk.cede((50, 0, 0))
    desk.granted_by(Lease("p", 60, Amount(50), Amount(50, UNLIMITED, UNLIMITED)))
    assert desk.granted[0] == 0
    assert not desk.is_empty  # the store still has 50 down for us


def test_a_call_whose_pool_was_removed_can_still_hold_more_and_settle() -> None:
    async def main() -> None:
        async with gateways(1, [MINUTE, *pools()]) as (ledger, (budgets,)):
            await budgets.reserve(hold("a", 10))
            budgets.pools.define({"default": DEFAULT})
            await budgets.extend("a", Amount(500))
            with pytest.raises(BudgetExceeded):
                await budgets.extend("a", Amount(491))
            budgets.settle(used("a", 400))
        assert await standing(ledger) == Standing(committed=Amount(400))

    asyncio.run(main())


def test_a_call_settled_twice_at_once_is_booked_with_what_it_held() -> None:
    async def main() -> None:
        ledger = Slow(lambda: time.time_ns() // 1_000_000)
        async with gateways(1, pools(), ledger) as (_, (budgets,)):
            await budgets.reserve(hold("a", 100))
            for _ in range(2):
                budgets.settle(used("a", 70))
            await budgets.flush()
            line = await ledger.line("a")
            assert line is not None
            assert (line.held, line.used) == (Amount(100), Amount(70))
            (books,) = (await ledger.audit()).books
            assert (books.committed, books.overrun) == (Amount(70), NOTHING)

    asyncio.run(main())


def test_a_durable_extension_is_in_the_store_before_it_counts_or_is_taken_back() -> None:
    async def main() -> None:
        ledger = Slow(lambda: time.time_ns() // 1_000_000)
        async with gateways(1, pools(), ledger, durable=True) as (_, (budgets,)):
            await budgets.reserve(hold("a", 100))
            await budgets.extend("a", Amount(50))
            assert (await standing(ledger)).held == Amount(150)
            ledger.is_away = True
            with pytest.raises(StoreFailed):
                await budgets.extend("a", Amount(50))
            ledger.is_away = False
            await budgets.reserve(hold("b", 850))
            for name in ("a", "b"):
                budgets.settle(used(name, 0))
        assert await standing(ledger) == Standing()

    asyncio.run(main())


class Full:
    """ports.Spool with no room."""

    def put(self, record: bytes) -> None:
        raise StoreFailed("full", code="storage_full")

    def mark(self) -> int:
        return 0

    def forget(self, mark: int) -> None:
        """Nothing is here."""


def test_an_extension_that_cannot_be_journalled_holds_nothing_more() -> None:
    async def main() -> None:
        ledger = Slow(lambda: time.time_ns() // 1_000_000)
        known = Pools(pools(), ZoneInfo)
        courier = Courier(ledger, known, Clock(), "g", spool=None, manner=Manner())
        await courier.open()
        budgets = Escrow(ledger, known, courier)
        await budgets.reserve(hold("a", 100))
        courier._spool = Full()
        with pytest.raises(StoreFailed):
            await budgets.extend("a", Amount(900))
        courier._spool = None
        await budgets.reserve(hold("b", 900))
        for name in ("a", "b"):
            budgets.settle(used(name, 0))
        assert await courier.close(5)
        assert await standing(ledger) == Standing()

    asyncio.run(main())


def test_a_gateway_that_is_ahead_of_the_store_does_not_spend_what_has_not_left_the_window() -> None:
    """As after the store's clock was set back: its word for the first bucket that counts is too late."""
    sliding = Pool(name="sliding", ceiling=HUNDRED, period_s=60, rolling=True)

    async def main() -> None:
        async with gateways(2, [sliding, DEFAULT]) as (_, (one, other)):
            await one.reserve(hold("a", 95, "sliding"))
            one.settle(used("a", 95, "sliding"))
            await one.flush()
            other._courier._offset_ms += 120_000
            with pytest.raises(BudgetExceeded):
                await other.reserve(hold("b", 10, "sliding"))
            await other.reserve(hold("c", 5, "sliding"))

    asyncio.run(main())
