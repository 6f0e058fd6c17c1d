"""Every store does what the plain one in memory does: the same random steps on both, and all books compared after each.

Times are told from the start of each store's clock, and the steps of the clock keep away from where a lease or a hold
runs out, so that a store may have a clock of its own that shows a little more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from contract.test_ledger import BANKS, LEASE_MS, Bank, Open, memory
from hoosh.core.ledger import (
    NO_CEILING,
    UNLIMITED,
    Amount,
    Asked,
    Audit,
    Batch,
    LeaseWish,
    Line,
    Reply,
    Scope,
)
from hoosh.ports import Ledger

_replace = msgspec.structs.replace
LATE_MS = 1 << 40
SCOPES = (
    (Scope("p"),),
    (Scope("p", 60), Scope("org", 3600, 3600)),
    (Scope("org", 0, 3600), Scope("p"), Scope("q", 120, 60)),
)
PLACES = (("p", 0, 0), ("p", 60, 0), ("org", 0, 3600), ("org", 3600, 3600), ("q", 0, 60))
CEILINGS = st.sampled_from((Amount(100, UNLIMITED, UNLIMITED), Amount(60, 40, 20), NO_CEILING))
GATEWAYS = st.sampled_from(("g1", "g2", "g3"))
IDS = tuple("abcdefghij")
AMOUNTS = st.builds(Amount, *(st.integers(0, 60),) * 3)
LINES = st.builds(
    Line,
    id=st.sampled_from(IDS),
    state=st.sampled_from(("held", "sent", "voided", "estimated", "committed")),
    scopes=st.sampled_from(SCOPES),
    held=AMOUNTS,
    used=AMOUNTS,
    gateway=st.sampled_from(("g1", "g2", "g3", "")),
    expires_ms=st.sampled_from((3_000, 50_000, LATE_MS)),
    reserved_ms=st.sampled_from((5, 86_400_005)),
    settled_ms=st.sampled_from((0, 1_000, 2_000)),
    input=st.integers(0, 9),
    output=st.integers(0, 9),
    cached=st.integers(0, 9),
    cache_write=st.integers(0, 9),
    reasoning=st.integers(0, 9),
    estimated=st.booleans(),
    absorbed=st.booleans(),
    cache_hit=st.booleans(),
    priced=st.sampled_from(("known", "unknown")),
    key=st.sampled_from(("k1", "k2")),
    model=st.sampled_from(("m1", "m2")),
)
LEASES = st.builds(
    lambda place, *rest: LeaseWish(place[0], place[2], place[1], *rest),
    st.sampled_from(PLACES),
    *(CEILINGS, AMOUNTS, AMOUNTS, AMOUNTS, st.booleans()),
)
BATCHES = st.builds(
    Batch,
    gateway=GATEWAYS,
    epoch=st.just(""),
    lease_ms=st.just(LEASE_MS),
    journalled=st.booleans(),
    lines=st.lists(LINES, max_size=6).map(tuple),
    leases=st.lists(LEASES, max_size=3).map(tuple),
)


class Side:
    """One store, and when its clock began."""

    def __init__(self, bank: Bank, start_ms: int) -> None:
        self.bank = bank
        self.start_ms = start_ms

    async def sync(self, batch: Batch) -> Reply:
        lines = tuple(map(self._timed, batch.lines))
        told = await self.bank.ledger.sync(_replace(batch, epoch=self.bank.epoch, lines=lines))
        return _replace(told, now_ms=0, recalled=tuple(sorted(told.recalled)))

    async def audit(self) -> Audit:
        told = await self.bank.ledger.audit()
        return Audit(
            now_ms=0,
            books=tuple(sorted(told.books, key=lambda books: (books.pool, books.bucket_s))),
            leases=tuple(sorted(told.leases, key=lambda lease: lease[:3])),
            open_lines=tuple(
                _replace(line, until_ms=int(line.until_ms > told.now_ms))
                for line in sorted(told.open_lines, key=lambda line: line.id)
            ),
        )

    async def books(self) -> tuple[object, ...]:
        """All that can be asked."""
        ledger = self.bank.ledger
        found = [await ledger.line(name) for name in IDS]
        lines = [line and self._untimed(line) for line in found]
        usage = sorted(await ledger.usage(0, 1 << 40), key=lambda row: msgspec.structs.astuple(row[0]))
        asked = [Asked(pool, since_s, window_s) for pool, since_s, window_s in PLACES]
        return (await self.audit(), lines, usage, list(await ledger.standing(asked)))

    def _timed(self, line: Line) -> Line:
        return _replace(line, expires_ms=self.start_ms + line.expires_ms)

    def _untimed(self, line: Line) -> Line:
        """`settled_ms` is the store's own where it closed the line, and then far from all that is told."""
        by_store = line.settled_ms >= self.start_ms
        return _replace(
            line, expires_ms=line.expires_ms - self.start_ms, settled_ms=-1 if by_store else line.settled_ms
        )


class Lockstep(RuleBasedStateMachine):
    opened: Open

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.sides: list[Side] = []
        self.told: list[Batch] = []
        self.runner.run(self._open())

    async def _open(self) -> None:
        for bank in (memory, type(self).opened):
            entered = await self.stack.enter_async_context(bank())
            # A gateway that no step ever names: it lends its clock's first reading.
            self.sides.append(Side(entered, (await entered.sync("g0")).now_ms))

    def both(self, step: Callable[[Side], Awaitable[object]]) -> None:
        async def main() -> None:
            plain, other = [await step(side) for side in self.sides]
            assert other == plain
            plain, other = [await side.books() for side in self.sides]
            assert other == plain

        self.runner.run(main())

    def ask(self, step: Callable[[Ledger], Awaitable[object]]) -> None:
        self.both(lambda side: step(side.bank.ledger))

    @rule(batch=BATCHES)
    def sync(self, batch: Batch) -> None:
        self.told.append(batch)
        self.both(lambda side: side.sync(batch))

    @rule(n=st.integers(0, 99))
    def tell_again(self, n: int) -> None:
        """As a gateway does that did not get the reply."""
        if self.told:
            self.sync(self.told[-1 - n % len(self.told)])

    @rule(order=st.randoms(use_true_random=False), gateway=GATEWAYS)
    def tell_lines_in_another_order(self, order: Random, gateway: str) -> None:
        lines = [line for batch in self.told[-3:] for line in batch.lines]
        order.shuffle(lines)
        self.sync(Batch(gateway=gateway, epoch="", lease_ms=LEASE_MS, lines=tuple(lines)))

    @rule()
    def sweep(self) -> None:
        self.ask(lambda ledger: ledger.sweep())

    @rule(gateway=GATEWAYS)
    def reconcile(self, gateway: str) -> None:
        self.ask(lambda ledger: ledger.reconcile(gateway))

    @rule(pool=st.sampled_from("pq"), bucket_s=st.sampled_from((0, 60)), extra=AMOUNTS)
    def carry(self, pool: str, bucket_s: int, extra: Amount) -> None:
        self.ask(lambda ledger: ledger.carry(pool, bucket_s, extra))

    @rule(before_ms=st.sampled_from((1_000, 1_500, 1 << 52)))
    def prune(self, before_ms: int) -> None:
        self.ask(lambda ledger: ledger.prune(before_ms))

    @rule(ms=st.sampled_from((7_001, 20_011, 31_013)))
    def pass_time(self, ms: int) -> None:
        self.both(lambda side: side.bank.pass_ms(ms))

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()


def march(bank: Open, examples: int, steps: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    class Made(Lockstep):
        opened = staticmethod(bank)

    wanted = settings(deadline=None, max_examples=examples, stateful_step_count=steps, phases=phases)
    run_state_machine_as_test(Made, settings=wanted)


@pytest.mark.parametrize("bank", BANKS[1:])
def test_a_store_does_what_the_plain_one_does(bank: Open) -> None:
    march(bank, 15, 20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("bank", BANKS[1:])
def test_a_store_does_what_the_plain_one_does_for_long(bank: Open) -> None:
    march(bank, 500, 60)
