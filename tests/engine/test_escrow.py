"""Budgets by leases: several gateways on one ledger in one loop, exact near the ceiling, and nothing stranded."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from zoneinfo import ZoneInfo

import pytest

from hoosh.core.call import Hold, Settlement
from hoosh.core.errors import BadRequest, BudgetExceeded, Shortage, StoreFailed
from hoosh.core.events import Usage
from hoosh.core.ledger import NO_CEILING, UNLIMITED, Amount, Asked, Batch, Reply, Standing
from hoosh.core.pool import Pool
from hoosh.engine.courier import Courier, Manner
from hoosh.engine.escrow import Escrow
from hoosh.engine.pools import Pools
from hoosh.stores.ledger_memory import MemoryLedger


class Clock:
    monotonic_ns = staticmethod(time.monotonic_ns)

    def unix_s(self) -> int:
        return int(time.time())


class Slow(MemoryLedger):
    """Takes a moment, and may be away, or lose its answers."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms)
        self.is_away = False
        self.loses = 0
        self.breaks = 0

    async def sync(self, batch: Batch) -> Reply:
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreFailed("away", code="store_down")
        if self.breaks:
            self.breaks -= 1
            raise RuntimeError("a bug")
        reply = await super().sync(batch)
        await asyncio.sleep(0.001)
        if self.loses:
            self.loses -= 1
            raise StoreFailed("no answer", code="store_slow")
        return reply


def short(told: pytest.ExceptionInfo[BudgetExceeded]) -> Shortage:
    assert told.value.shortage is not None
    return told.value.shortage


def pools(*more: Pool, tokens: int = 1000) -> list[Pool]:
    return [Pool(name="default"), Pool(name="small", ceiling=Amount(tokens, UNLIMITED, UNLIMITED)), *more]


def hold(name: str, tokens: int, pool: str = "small", micros: int = 0, expires_s: int = 0) -> Hold:
    return Hold(id=name, pools=(pool,), amount=Amount(tokens, micros), expires_s=expires_s)


def used(name: str, tokens: int, pool: str = "small") -> Settlement:
    return Settlement(id=name, hold=hold(name, 0, pool), usage=Usage(input=tokens))


@asynccontextmanager
async def gateways(
    count: int, defined: Sequence[Pool], ledger: MemoryLedger | None = None, *, durable: bool = False
) -> AsyncIterator[tuple[MemoryLedger, list[Escrow]]]:
    ledger = ledger or Slow(lambda: time.time_ns() // 1_000_000)
    opened = []
    for number in range(count):
        known = Pools(defined, ZoneInfo)
        courier = Courier(ledger, known, Clock(), f"g{number}", spool=None, manner=Manner())
        await courier.open()
        opened.append((Escrow(ledger, known, courier, durable=durable), courier))
    try:
        yield ledger, [escrow for escrow, _ in opened]
    finally:
        for _, courier in opened:
            await courier.close(5)


async def standing(ledger: MemoryLedger, pool: str = "small") -> Standing:
    return (await ledger.standing([Asked(pool)]))[0]


def test_a_call_is_held_and_then_charged() -> None:
    async def main() -> None:
        async with gateways(1, pools()) as (ledger, (budgets,)):
            await budgets.reserve(hold("a", 600))
            await budgets.reserve(hold("a", 600))
            with pytest.raises(BudgetExceeded) as told:
                await budgets.reserve(hold("b", 401))
            assert (
                short(told).pool,
                short(told).unit,
                short(told).left,
                short(told).needed,
            ) == (
                "small",
                "tokens",
                400,
                401,
            )
            assert (short(told).limit, told.value.retry_after_s) == (1000, None)
            budgets.settle(used("a", 100))
            await budgets.reserve(hold("b", 900))
            budgets.settle(used("b", 900))
            await budgets.flush()
            assert (await standing(ledger)).committed == Amount(1000)
        assert await standing(ledger) == Standing(committed=Amount(1000))

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("durable", [False, True])
def test_all_of_a_pool_can_be_used_and_no_more_by_callers_that_ask_until_refused(count: int, durable: bool) -> None:
    async def caller(budgets: Escrow, name: str, chance: Random) -> int:
        n = 0
        while True:
            try:
                await budgets.reserve(hold(f"{name}.{n}", 100))
            except BudgetExceeded:
                return n
            await asyncio.sleep(chance.random() / 200)
            budgets.settle(used(f"{name}.{n}", 100))
            n += 1

    async def main() -> None:
        async with gateways(count, pools(tokens=10_000), durable=durable) as (ledger, all_of_them):
            chance = Random(count)
            callers = [
                caller(budgets, f"{at}-{who}", chance) for at, budgets in enumerate(all_of_them) for who in range(16)
            ]
            admitted = sum(await asyncio.gather(*callers))
            assert admitted == 100
        assert await standing(ledger) == Standing(committed=Amount(10_000))
        (books,) = (await ledger.audit()).books
        assert (books.committed, books.lines, books.overrun) == (Amount(10_000), Amount(10_000), Amount())

    asyncio.run(main())


def test_what_one_gateway_does_not_use_another_gets() -> None:
    async def main() -> None:
        async with gateways(2, pools()) as (_, (one, two)):
            await one.reserve(hold("a", 100))
            await one.reserve(hold("b", 100))  # by now it has leased all
            await two.reserve(hold("c", 800))
            with pytest.raises(BudgetExceeded):
                await two.reserve(hold("d", 1))
            one.settle(used("a", 0))
            await two.reserve(hold("d", 100))

    asyncio.run(main())


def test_all_scopes_or_none() -> None:
    async def main() -> None:
        defined = pools(Pool(name="team", parent="org"), Pool(name="org", ceiling=Amount(50, UNLIMITED, UNLIMITED)))
        async with gateways(1, defined) as (ledger, (budgets,)):
            both = Hold(id="a", pools=("team", "small"), amount=Amount(40))
            await budgets.reserve(both)
            with pytest.raises(BudgetExceeded) as told:
                await budgets.reserve(Hold(id="b", pools=("team", "small"), amount=Amount(20)))
            assert short(told).pool == "org"
            budgets.settle(Settlement(id="a", hold=both, usage=Usage(input=40)))
            await budgets.flush()
            standings = await ledger.standing([Asked("team"), Asked("org"), Asked("small")])
            assert [one.committed for one in standings] == [Amount(40)] * 3
            await budgets.reserve(hold("c", 960))

    asyncio.run(main())


def test_money_and_tokens_are_both_limits() -> None:
    async def main() -> None:
        defined = [Pool(name="small", ceiling=Amount(1000, 50, UNLIMITED)), Pool(name="default")]
        async with gateways(1, defined) as (_, (budgets,)):
            await budgets.reserve(hold("a", 10, micros=45))
            with pytest.raises(BudgetExceeded) as told:
                await budgets.reserve(hold("b", 10, micros=6))
            assert (short(told).unit, short(told).left, short(told).limit) == (
                "micro_usd",
                5,
                50,
            )
            await budgets.reserve(hold("c", 990))

    asyncio.run(main())


def test_an_unknown_pool_is_the_callers_mistake_and_its_settlement_is_not_lost() -> None:
    async def main() -> None:
        async with gateways(1, pools()) as (ledger, (budgets,)):
            with pytest.raises(BadRequest, match="Token pool 'none' does not exist"):
                await budgets.reserve(hold("a", 1, "none"))
            budgets.settle(used("b", 7, "none"))
            budgets.settle(used("b", 7, "none"))
            await budgets.flush()
            assert (await standing(ledger, "default")).committed == Amount(7)

    asyncio.run(main())


def test_a_store_that_is_away_refuses_new_leases_and_gets_everything_later() -> None:
    async def main() -> None:
        ledger = Slow(lambda: time.time_ns() // 1_000_000)
        async with gateways(1, pools(), ledger) as (_, (budgets,)):
            await budgets.reserve(hold("a", 100))
            ledger.is_away = True
            with pytest.raises(StoreFailed) as told:
                await budgets.reserve(hold("b", 300))
            assert (told.value.status, told.value.code) == (503, "store_down")
            budgets.settle(used("a", 70))
            ledger.is_away = False
            await budgets.reserve(hold("c", 930))
            budgets.settle(used("c", 0))
        assert (await standing(ledger)).committed == Amount(70)

    asyncio.run(main())


def test_a_lost_answer_books_nothing_twice() -> None:
    async def main() -> None:
        ledger = Slow(lambda: time.time_ns() // 1_000_000)
        async with gateways(1, pools(), ledger) as (_, (budgets,)):
            for n in range(20):
                ledger.loses = n % 3
                name = f"a{n}"
                for _ in range(10):
                    try:
                        await budgets.reserve(hold(name, 50))
                    except StoreFailed:
                        continue
                    break
                budgets.settle(used(name, 50))
            ledger.loses = 0
            with pytest.raises(BudgetExceeded):
                await budgets.reserve(hold("b", 1))
        assert await standing(ledger) == Standing(committed=Amount(1000))

    asyncio.run(main())


def test_a_bug_of_the_store_hangs_nobody_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        ledger = Slow(lambda: time.time_ns() // 1_000_000)
        async with gateways(1, pools(), ledger) as (_, (budgets,)):
            ledger.breaks = 2
            async with asyncio.timeout(60):
                for name in ("a", "b"):
                    with pytest.raises(StoreFailed):
                        await budgets.reserve(hold(name, 100))
                await budgets.reserve(hold("c", 100))
            budgets.settle(used("c", 70))
        assert (await standing(ledger)).committed == Amount(70)

    asyncio.run(main())
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_cancelled_reserve_leaves_nothing() -> None:
    async def main() -> None:
        for durable in (False, True):
            for turns in range(12):
                async with gateways(2, pools(), durable=durable) as (ledger, (one, two)):
                    await one.reserve(hold("a", 100))
                    task = asyncio.create_task(two.reserve(hold("b", 500)))
                    for _ in range(turns):
                        await asyncio.sleep(0.0005)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    two.settle(used("b", 0))
                    one.settle(used("a", 100))
                    await one.reserve(hold("c", 900))
                    one.settle(used("c", 0))
                assert await standing(ledger) == Standing(committed=Amount(100))

    asyncio.run(main())


def test_a_hold_of_the_store_outlives_its_gateway() -> None:
    async def main() -> None:
        ledger = Slow(lambda: time.time_ns() // 1_000_000)
        async with gateways(1, pools(), ledger) as (_, (budgets,)):
            await budgets.reserve(Hold(id="api", pools=("small",), amount=Amount(600), sent=False, expires_s=60))
            with pytest.raises(BudgetExceeded):
                await budgets.reserve(hold("a", 401))
            await budgets.reserve(hold("a", 400))
            budgets.settle(used("a", 0))
        assert await standing(ledger) == Standing(held=Amount(600))
        async with gateways(1, pools(), ledger) as (_, (budgets,)):
            with pytest.raises(BudgetExceeded):
                await budgets.reserve(hold("b", 401))

    asyncio.run(main())


def test_a_growing_answer_can_hold_more() -> None:
    async def main() -> None:
        async with gateways(1, pools()) as (ledger, (budgets,)):
            await budgets.reserve(hold("a", 100))
            await budgets.extend("a", Amount(300))
            await budgets.flush()
            assert (await standing(ledger)).held == Amount(400)
            with pytest.raises(BudgetExceeded):
                await budgets.extend("a", Amount(601))
            await budgets.reserve(hold("b", 600))
            budgets.settle(used("a", 400))
            budgets.settle(used("b", 600))
        assert await standing(ledger) == Standing(committed=Amount(1000))

    asyncio.run(main())


def test_a_soft_limit_refuses_nobody_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        soft = Pool(name="soft", ceiling=Amount(100, UNLIMITED, UNLIMITED), hard=False, alerts=(50, 80))
        async with gateways(1, pools(soft)) as (ledger, (budgets,)):
            for n, tokens in enumerate((40, 20, 10, 15, 100)):
                await budgets.reserve(hold(str(n), tokens, "soft"))
                budgets.settle(used(str(n), tokens, "soft"))
                await budgets.flush()
            assert (await standing(ledger, "soft")).committed == Amount(185)

    asyncio.run(main())
    assert [record.message for record in caplog.records if "budget 'soft'" in record.message] == [
        "budget 'soft' has used 60 % of its limit",
        "budget 'soft' has used 85 % of its limit",
    ]


class Turning:
    """A store's clock that a test turns, beside a gateway's own that goes on as it likes."""

    def __init__(self, now_s: int) -> None:
        self.now_ms = now_s * 1000

    def __call__(self) -> int:
        return self.now_ms


def test_a_new_day_has_a_new_budget_with_what_was_left_and_an_old_call_is_charged_to_its_own() -> None:
    async def main() -> None:
        clock = Turning(1_700_006_400)  # midnight UTC is 86,400 x 19,676 = 1,700,006,400
        now_s = clock.now_ms // 1000
        day = Pool(
            name="day", ceiling=Amount(100, UNLIMITED, UNLIMITED), period="day", carry_percent=20, created_s=now_s
        )
        async with gateways(1, pools(day), Slow(clock)) as (ledger, (budgets,)):
            await budgets.reserve(hold("a", 70, "day"))
            with pytest.raises(BudgetExceeded) as told:
                await budgets.reserve(hold("b", 31, "day"))
            assert short(told).resets_s == 1_700_006_400 + 86_400
            clock.now_ms += 86_400_000
            await budgets.reserve(hold("wake", 1))
            await budgets.reserve(hold("c", 120, "day"))  # 100 and 20 of the 30 that were left
            with pytest.raises(BudgetExceeded):
                await budgets.reserve(hold("d", 1, "day"))
            budgets.settle(used("a", 70, "day"))
            budgets.settle(used("c", 90, "day"))
            await budgets.flush()
            at = 1_700_006_400
            both = await ledger.standing([Asked("day", at, at), Asked("day", at + 86_400, at + 86_400)])
            assert [one.committed for one in both] == [Amount(160), Amount(90)]

    asyncio.run(main())


def test_no_ceiling_leases_nothing() -> None:
    async def main() -> None:
        async with gateways(1, [Pool(name="default", ceiling=NO_CEILING)]) as (ledger, (budgets,)):
            await budgets.reserve(hold("a", 1 << 50, "default"))
            await budgets.flush()
            assert await standing(ledger, "default") == Standing(held=Amount(1 << 50))

    asyncio.run(main())
