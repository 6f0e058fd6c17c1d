"""What is held for a batch, over every ledger: it never lets a pool pass its ceiling, and no call comes between it and
the lines that it is for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from contract.test_ledger import Bank, memory, postgres, redis, sqlite
from hoosh.core.call import Hold, Settlement
from hoosh.core.errors import BudgetExceeded
from hoosh.core.events import Usage
from hoosh.core.ledger import UNLIMITED, Amount, Standing
from hoosh.core.pool import Pool
from hoosh.engine.batch_holds import BatchHolds
from hoosh.engine.cashier import Cashier
from hoosh.engine.catalog import Catalog
from hoosh.engine.courier import Courier, Manner
from hoosh.engine.escrow import Escrow
from hoosh.engine.pools import Pools
from hoosh.engine.router import Router, Rules
from hoosh.engine.vitals import Vitals
from hoosh.policy.breaker import BreakerRules
from hoosh.prove.auditor import breaches

CAP = 1000


class Clock:
    monotonic_ns = staticmethod(time.monotonic_ns)

    def unix_s(self) -> int:
        return int(time.time())


class Process(NamedTuple):
    holds: BatchHolds
    escrow: Escrow
    courier: Courier

    async def call(self, name: str, tokens: int, backing: str = "") -> None:
        await self.escrow.reserve(Hold(id=name, pools=("p",), amount=Amount(tokens), backing=backing))

    def over(self, name: str, tokens: int, error: str = "") -> None:
        hold = Hold(id=name, pools=("p",), amount=Amount())
        self.escrow.settle(Settlement(id=name, hold=hold, usage=Usage(input=tokens), error=error))


class Scene(NamedTuple):
    bank: Bank
    here: Process
    there: Process

    async def standing(self) -> Standing:
        """And what the auditor of `hoosh prove` says to it."""
        await self.here.courier.flush()
        await self.there.courier.flush()
        assert breaches(await self.bank.ledger.audit(), {"p": CAP}, all_live=True) == []
        return await self.bank.standing()


Open = Callable[[], AbstractAsyncContextManager[Bank]]


async def process(bank: Bank, name: str) -> Process:
    pools = Pools([Pool(name="default"), Pool(name="p", ceiling=Amount(CAP, UNLIMITED, UNLIMITED))], ZoneInfo)
    courier = Courier(bank.ledger, pools, Clock(), name, spool=None, manner=Manner())
    await courier.open()
    escrow = Escrow(bank.ledger, pools, courier)
    catalog = Catalog([], None, Clock(), Vitals(Clock(), BreakerRules()))  # type: ignore[arg-type]
    router = Router(catalog, Rules(), None, escrow)  # type: ignore[arg-type]
    holds = BatchHolds(lambda: Cashier(escrow, None), router, escrow, bank.ledger, courier)  # type: ignore[arg-type]
    return Process(holds, escrow, courier)


@asynccontextmanager
async def scene(ledger: Open) -> AsyncIterator[Scene]:
    async with ledger() as bank:
        found = Scene(bank, await process(bank, "g1"), await process(bank, "g2"))
        yield found
        await found.here.courier.close(5)
        await found.there.courier.close(5)


@pytest.fixture(params=[memory, sqlite, postgres, redis], ids=lambda ledger: ledger.__name__)
def ledger(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.param
    return opened


def play(ledger: Open, work: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with scene(ledger) as opened:
            await work(opened)

    asyncio.run(main())


def parts(*tokens: int) -> list[Hold]:
    return [
        Hold(id=f"b-{n}", pools=("p",), amount=Amount(each), sent=False, expires_s=3600, key="me", operation="batch")
        for n, each in enumerate(tokens)
    ]


def test_all_of_it_is_held_or_nothing(ledger: Open) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(BudgetExceeded):
            await scene.here.holds.accept(parts(600, 401))
        assert (await scene.standing()).held == Amount()
        await scene.here.holds.accept(parts(600, 300))
        assert (await scene.standing()).held == Amount(900)
        for each in (scene.here, scene.there):
            with pytest.raises(BudgetExceeded):
                await each.call("too-much", 101)
        await scene.there.call("fits", 100)
        scene.there.over("fits", 100)
        await scene.there.holds.let_go(["b-0", "b-1", "b-2"])
        assert await scene.standing() == Standing(committed=Amount(100), leased=(await scene.standing()).leased)
        await scene.here.call("now", 900)

    play(ledger, work)


def test_a_line_is_never_refused_what_was_held_for_it(ledger: Open) -> None:
    """While others ask for all that they can get, here and at another gateway."""

    async def work(scene: Scene) -> None:
        await scene.here.holds.accept(parts(*[100] * 9))
        is_over = asyncio.Event()

        async def greedy(who: Process, name: str) -> int:
            got = 0
            while not is_over.is_set():
                try:
                    await who.call(f"{name}-{got}", 7)
                    got += 1
                except BudgetExceeded:
                    await asyncio.sleep(0)
            return got

        others = [asyncio.create_task(greedy(who, f"{n}")) for n, who in enumerate((scene.here, scene.there))]
        for n in range(9):
            backing = await scene.here.holds.begin(f"b-{n}", Amount(100))
            assert backing == f"b-{n}"
            await asyncio.gather(*(scene.here.call(f"line-{n}-{m}", 25, backing) for m in range(4)))
            scene.here.holds.end(backing)
            await scene.standing()
        is_over.set()
        got = sum(await asyncio.gather(*others))
        assert 0 < got <= 100 // 7
        for n in range(9):
            for m in range(4):
                scene.here.over(f"line-{n}-{m}", 25)
        assert (await scene.standing()).committed == Amount(900)

    play(ledger, work)


def test_what_a_failed_line_did_not_use_is_there_for_its_next_try(ledger: Open) -> None:
    async def work(scene: Scene) -> None:
        await scene.here.holds.accept(parts(1000))
        backing = await scene.here.holds.begin("b-0", Amount(1000))
        await scene.here.call("first", 600, backing)
        scene.here.over("first", 100, error="overloaded")
        with pytest.raises(BudgetExceeded):
            await scene.here.call("stranger", 1)
        await scene.here.call("second", 900, backing)
        scene.here.over("second", 300)  # done: the rest of its hold is anybody's
        await scene.here.call("stranger", 600)
        scene.here.over("stranger", 600)
        scene.here.holds.end(backing)
        assert (await scene.standing()).committed == Amount(1000)

    play(ledger, work)


def test_another_process_goes_on_with_what_the_store_holds(ledger: Open) -> None:
    """The part that was begun went with the process, and is held again as far as there is room."""

    async def work(scene: Scene) -> None:
        await scene.here.holds.accept(parts(400, 400))
        assert await scene.here.holds.begin("b-0", Amount(400)) == "b-0"
        scene.here.holds.end("b-0")
        assert await scene.there.holds.begin("b-0", Amount(150)) == "b-0"
        assert await scene.there.holds.begin("b-1", Amount(400)) == "b-1"
        assert await scene.there.holds.begin("b-1", Amount(400)) == "b-1"  # asked again: the same
        await scene.there.call("stranger", 450)
        with pytest.raises(BudgetExceeded):
            await scene.there.call("one-more", 1)
        await scene.there.call("line", 150, "b-0")
        await scene.there.call("next", 400, "b-1")
        scene.there.over("line", 150)
        scene.there.over("next", 400)
        scene.there.over("stranger", 450)
        assert await scene.here.holds.begin("b-1", Amount(1)) == ""  # no room: its lines ask as any call
        assert await scene.here.holds.begin("b-7", Amount(1)) == ""  # never held
        assert (await scene.standing()).committed == Amount(CAP)

    play(ledger, work)


def test_a_hold_runs_out_by_its_own_time(ledger: Open) -> None:
    async def work(scene: Scene) -> None:
        await scene.here.holds.accept(parts(1000))
        assert (await scene.bank.standing()).held == Amount(1000)
        await scene.bank.pass_ms(3_600_001)
        await scene.bank.ledger.sweep()
        assert (await scene.bank.standing()).held == Amount()

    play(ledger, work)
