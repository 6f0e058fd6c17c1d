"""The contract of ports.Ledger. Each store brings a `Bank`: ledgers on one store, and a hand on its clock."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import postgres_server
import redis_server
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import (
    NO_CEILING,
    NOTHING,
    UNLIMITED,
    Amount,
    Asked,
    Batch,
    LeaseWish,
    Line,
    Reply,
    Scope,
    Standing,
)
from hoosh.ports import Ledger
from hoosh.stores.ledger_memory import MemoryLedger
from hoosh.stores.postgres.database import Database
from hoosh.stores.postgres.ledger import PostgresLedger
from hoosh.stores.redis.keyspace import SCRIPT, Keyspace
from hoosh.stores.redis.ledger import RedisLedger
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.ledger import SQLiteLedger

LEASE_MS = 30_000
CAP = Amount(100, UNLIMITED, UNLIMITED)
POOL = (Scope("p"),)


class Bank:
    """One store. `pass_ms` lets its clock go on; `now_ms` is what it shows."""

    def __init__(self, ledger: Ledger, pass_ms: Callable[[int], Awaitable[None]], epoch: str) -> None:
        self.ledger = ledger
        self.pass_ms = pass_ms
        self.epoch = epoch

    async def sync(self, gateway: str = "g1", *, journalled: bool = False, **parts: object) -> Reply:
        batch = Batch(gateway=gateway, epoch=self.epoch, lease_ms=LEASE_MS, journalled=journalled, **parts)  # type: ignore[arg-type]
        return await self.ledger.sync(batch)

    async def book(self, *lines: Line, gateway: str = "g1") -> Reply:
        return await self.sync(gateway, lines=lines)

    async def lease(self, want: int, keep: int = 0, gateway: str = "g1", *, urgent: bool = False) -> Amount:
        wish = LeaseWish("p", 0, 0, CAP, Amount(keep), Amount(want), NOTHING, urgent)
        return (await self.sync(gateway, leases=(wish,))).leases[0].granted

    async def standing(self, pool: str = "p") -> Standing:
        return (await self.ledger.standing([Asked(pool)]))[0]


Open = Callable[[], AbstractAsyncContextManager[Bank]]


@asynccontextmanager
async def memory() -> AsyncIterator[Bank]:
    clock = [1_700_000_000_000]

    async def pass_ms(ms: int) -> None:
        clock[0] += ms

    ledger = MemoryLedger(lambda: clock[0])
    yield Bank(ledger, pass_ms, await ledger.open())


@asynccontextmanager
async def sqlite() -> AsyncIterator[Bank]:
    clock = [1_700_000_000_000]

    async def pass_ms(ms: int) -> None:
        clock[0] += ms

    with TemporaryDirectory() as folder:
        ledger = SQLiteLedger(StoreFile(Path(folder) / "hoosh.db"), lambda: clock[0])
        try:
            yield Bank(ledger, pass_ms, await ledger.open())
        finally:
            await ledger.close()


@asynccontextmanager
async def postgres() -> AsyncIterator[Bank]:
    """The server's clock is set aside: `machine_ms` is the one thing that reads it."""
    database = Database(postgres_server.shared().url, f"t_{secrets.token_hex(8)}")
    clock = "CREATE OR REPLACE FUNCTION machine_ms() RETURNS bigint LANGUAGE sql AS $$ SELECT {}::bigint $$"
    now = [1_700_000_000_000]

    async def pass_ms(ms: int) -> None:
        now[0] += ms
        await database.rows(clock.format(now[0]))

    ledger = PostgresLedger(database)
    epoch = await ledger.open()
    await pass_ms(0)
    try:
        yield Bank(ledger, pass_ms, epoch)
    finally:
        await database.rows(f"DROP SCHEMA {database.schema} CASCADE")
        await ledger.close()


@asynccontextmanager
async def redis() -> AsyncIterator[Bank]:
    """The server's clock is set aside: TIME is asked for in one place."""
    name = f"t_{secrets.token_hex(8)}"
    now = [1_700_000_000_000]
    keyspace = Keyspace(redis_server.shared().url, name, script=with_a_clock(SCRIPT.read_text()))

    async def pass_ms(ms: int) -> None:
        now[0] += ms
        await keyspace.run("set_clock", str(now[0] // 1000), str(now[0] % 1000 * 1000))

    ledger = RedisLedger(keyspace)
    await pass_ms(0)
    try:
        yield Bank(ledger, pass_ms, await ledger.open())
    finally:
        await ledger.close()


def with_a_clock(script: str) -> str:
    assert script.count("call('TIME')") == 1
    set_clock = "function steps.set_clock(...) call('DEL', at('t')) return call('RPUSH', at('t'), ...) end\n"
    return script.replace("call('TIME')", "call('LRANGE', at('t'), 0, -1)").replace(
        "local steps = {}\n", "local steps = {}\n" + set_clock
    )


BANKS = [
    pytest.param(memory, id="memory"),
    pytest.param(sqlite, id="sqlite"),
    pytest.param(postgres, id="postgres"),
    pytest.param(redis, id="redis"),
]


@pytest.fixture(params=BANKS)
def bank(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.param
    return opened


def play(bank: Open, scene: Callable[[Bank], Awaitable[None]]) -> None:
    async def main() -> None:
        async with bank() as opened:
            await scene(opened)

    asyncio.run(main())


def line(name: str, state: str = "sent", held: int = 0, used: int = 0, **more: Any) -> Line:
    amounts = {"held": Amount(held), "used": Amount(used)}
    return Line(**{"id": name, "state": state, "scopes": POOL, "gateway": "g1", **amounts, **more})


def test_a_line_is_booked_once_whatever_is_told_again(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        sent, done = line("a", held=50), line("a", "committed", 50, 20)
        await bank.book(sent)
        assert await bank.standing() == Standing(held=Amount(50))
        for _ in range(3):
            await bank.book(sent, done, sent)
        assert await bank.standing() == Standing(committed=Amount(20))
        await bank.book(line("a", "committed", 50, 99))
        assert await bank.standing() == Standing(committed=Amount(20))

    play(bank, scene)


def test_a_call_that_was_never_sent_is_not_charged_though_the_store_gave_it_up_first(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        await bank.book(line("a", held=50))
        await bank.pass_ms(LEASE_MS + 1)
        await bank.ledger.sweep()
        assert await bank.standing() == Standing(committed=Amount(50))
        await bank.book(line("a", "voided", 50))
        assert await bank.standing() == Standing()
        assert all(total.attempts == 0 for _, total in await bank.ledger.usage(0, 1 << 40))
        await bank.book(line("a", "committed", 50, 20))
        assert await bank.standing() == Standing(committed=Amount(20))

    play(bank, scene)


def test_an_open_line_told_again_holds_the_larger_amount(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        await bank.book(line("a", held=50))
        await bank.book(line("a", held=80))
        await bank.book(line("a", held=60))
        assert (await bank.standing()).held == Amount(80)

    play(bank, scene)


def test_all_scopes_of_a_line_are_booked_each_in_its_bucket(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        scopes = (Scope("p", 60, 60), Scope("org", 0, 0))
        await bank.book(line("a", "committed", 10, 7, scopes=scopes), line("b", "committed", 10, 5))
        assert (await bank.ledger.standing([Asked("p", 60, 60), Asked("p", 0, 60), Asked("org")])) == [
            Standing(committed=Amount(7)),
            Standing(committed=Amount(12)),
            Standing(committed=Amount(7)),
        ]

    play(bank, scene)


def test_a_lease_is_what_is_left_and_the_same_wish_again_takes_no_more(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        assert await bank.lease(60) == Amount(60)
        assert await bank.lease(60, 60) == Amount(60)
        assert await bank.lease(60, gateway="g2") == Amount(40)
        assert await bank.lease(60, gateway="g3") == NOTHING
        assert (await bank.standing()).leased == Amount(100)
        assert await bank.lease(0, 0) == NOTHING
        assert await bank.lease(60, 40, gateway="g2") == Amount(60)

    play(bank, scene)


def test_what_is_kept_is_never_taken_and_never_more_than_was_granted(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        assert await bank.lease(80) == Amount(80)
        await bank.book(line("x", "committed", 0, 90, gateway="g9"))  # somebody overran
        assert await bank.lease(80, 50) == Amount(50)
        assert await bank.lease(80, 70) == Amount(50)

    play(bank, scene)


def test_a_booking_and_its_lease_in_one_batch_never_count_twice(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        assert await bank.lease(100) == Amount(100)
        wish = LeaseWish("p", 0, 0, CAP, Amount(60), Amount(100), NOTHING)
        reply = await bank.sync(lines=(line("a", "committed", 40, 40),), leases=(wish,))
        assert (reply.leases[0].granted, reply.leases[0].left) == (Amount(60), CAP - Amount(100))

    play(bank, scene)


def test_a_meter_without_a_ceiling_is_never_leased(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        much = Amount(1 << 50, 1 << 50, 1 << 50)
        wish = LeaseWish("p", 0, 0, NO_CEILING, NOTHING, much, NOTHING)
        lease = (await bank.sync(leases=(wish,))).leases[0]
        assert (lease.granted, lease.left) == (NOTHING, NO_CEILING)

    play(bank, scene)


def test_the_meters_are_leased_apart(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        wish = LeaseWish("p", 0, 0, Amount(100, 7, UNLIMITED), NOTHING, Amount(50, 50, 50), NOTHING)
        lease = (await bank.sync(leases=(wish,))).leases[0]
        assert (lease.granted, lease.left) == (Amount(50, 7), Amount(50, 0, UNLIMITED))

    play(bank, scene)


def test_a_call_that_waits_recalls_what_others_do_not_use(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        wish = LeaseWish("p", 0, 0, CAP, NOTHING, Amount(90), Amount(30))
        await bank.sync("g2", leases=(wish,))
        asked = LeaseWish("p", 0, 0, CAP, NOTHING, Amount(50), NOTHING, urgent=True)
        lease = (await bank.sync(leases=(asked,))).leases[0]
        assert (lease.granted, lease.left, lease.idle) == (Amount(10), CAP - Amount(100), Amount(60))
        assert (await bank.sync("g2")).recalled == (("p", 0),)
        assert (await bank.sync("g2")).recalled == ()

    play(bank, scene)


def test_a_hold_of_the_store_counts_against_every_lease_of_all_its_scopes(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        both = (Scope("org"), Scope("p"))
        assert await bank.lease(100) == Amount(100)
        ceded = line("a", "held", 40, scopes=both, gateway="", expires_ms=1 << 52)
        wish = LeaseWish("p", 0, 0, CAP, Amount(60), Amount(100), NOTHING)
        for _ in range(2):  # the same again
            reply = await bank.sync(lines=(ceded,), leases=(wish,))
            assert (reply.leases[0].granted, reply.leases[0].left) == (Amount(60), CAP - Amount(100))
        assert await bank.lease(100, gateway="g2") == NOTHING
        assert await bank.standing() == Standing(held=Amount(40), leased=Amount(60))
        assert await bank.standing("org") == Standing(held=Amount(40))
        await bank.book(line("a", "committed", 40, 10, scopes=both, gateway=""), gateway="g2")
        assert await bank.lease(100, gateway="g2") == Amount(30)
        assert await bank.standing() == Standing(committed=Amount(10), leased=Amount(90))

    play(bank, scene)


def test_what_runs_out_is_charged_if_it_was_sent_and_freed_if_not(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        await bank.lease(90)
        await bank.book(line("sent", held=50), line("held", "held", 20))
        assert await bank.ledger.sweep() == 0
        await bank.pass_ms(LEASE_MS + 1)
        assert await bank.ledger.sweep() == 2
        assert await bank.standing() == Standing(committed=Amount(50))
        found = await bank.ledger.line("sent")
        assert found is not None
        assert (found.state, found.used, found.estimated, found.error) == ("estimated", Amount(50), True, "lost")
        assert await bank.ledger.sweep() == 0

    play(bank, scene)


def test_what_ran_out_is_corrected_once(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        await bank.book(line("sent", held=50), line("held", "held", 20))
        await bank.pass_ms(LEASE_MS + 1)
        await bank.ledger.sweep()
        for used in (30, 31):
            await bank.book(line("sent", "committed", 50, used), line("held", "committed", 20, used))
        assert await bank.standing() == Standing(committed=Amount(60))
        await bank.book(line("sent", held=50), line("held", "held", 20))  # never back
        assert await bank.standing() == Standing(committed=Amount(60))

    play(bank, scene)


def test_the_leases_of_a_dead_gateway_with_a_journal_stay_until_it_was_read(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        wish = LeaseWish("p", 0, 0, CAP, NOTHING, Amount(90), NOTHING)
        await bank.sync(journalled=True, leases=(wish,), lines=(line("a", held=50),))
        await bank.pass_ms(LEASE_MS + 1)
        assert await bank.ledger.sweep() == 1
        assert await bank.standing() == Standing(committed=Amount(50), leased=Amount(90), stranded=Amount(90))
        assert (await bank.sync("g2")).gateways == 1
        await bank.book(line("a", "committed", 50, 20), gateway="g2")
        await bank.ledger.reconcile("g1")
        assert await bank.standing() == Standing(committed=Amount(20))

    play(bank, scene)


def test_reconcile_closes_what_the_journal_left_open(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        await bank.sync(journalled=True, lines=(line("a", held=50), line("b", "held", 5), line("c", gateway="g2")))
        await bank.ledger.reconcile("g1")
        states = [(await bank.ledger.line(name)) for name in "abc"]
        assert [found and found.state for found in states] == ["estimated", "voided", "sent"]

    play(bank, scene)


def test_a_hold_of_the_store_runs_out_by_its_own_time_and_not_its_gateways(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        now_ms = (await bank.sync()).now_ms
        await bank.book(line("short", "held", 10, gateway="", expires_ms=now_ms + 1000))
        await bank.book(line("long", "held", 10, gateway="", expires_ms=now_ms + 10 * LEASE_MS))
        await bank.pass_ms(LEASE_MS + 1)
        assert await bank.ledger.sweep() == 1
        assert (await bank.standing()).held == Amount(10)

    play(bank, scene)


def test_many_at_once_never_get_more_than_there_is(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        leases = await asyncio.gather(*(bank.lease(30, gateway=f"x{n}") for n in range(20)))
        assert sorted(lease.tokens for lease in leases) == [0] * 16 + [10, 30, 30, 30]

    play(bank, scene)


def test_the_first_to_carry_over_is_right(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        assert await bank.ledger.carry("p", 60, Amount(5, 6)) == Amount(5, 6)
        assert await bank.ledger.carry("p", 60, Amount(9)) == Amount(5, 6)
        assert await bank.ledger.carry("p", 120, Amount(9)) == Amount(9)

    play(bank, scene)


def test_usage_is_summed_by_day_and_caller_and_follows_corrections(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        told: dict[str, Any] = {
            "key": "k",
            "provider": "openai",
            "model": "m",
            "operation": "chat",
            "reserved_ms": 86_400_000 * 3 + 5,
        }
        await bank.book(
            line("a", "committed", 9, 7, input=4, output=3, **told),
            line("b", "committed", 9, 0, absorbed=True, **told),
            line("c", "committed", 9, 1, priced="unknown", estimated=True, **told),
            line("d", "voided", 9, **told),
            line("e", held=50, **told),
        )
        await bank.pass_ms(LEASE_MS + 1)
        await bank.ledger.sweep()
        await bank.book(line("e", "committed", 50, 5, input=5, **told))
        rows = await bank.ledger.usage(86_400 * 3, 86_400 * 4)
        assert len(rows) == 1
        key, total = rows[0]
        assert (key.day_s, key.key, key.pool, key.provider, key.model) == (86_400 * 3, "k", "p", "openai", "m")
        assert (total.calls, total.attempts, total.estimated, total.unpriced) == (3, 4, 1, 1)
        assert (total.input, total.output, total.tokens) == (9, 3, 13)
        assert list(await bank.ledger.usage(0, 86_400 * 3)) == []

    play(bank, scene)


def test_the_audit_shows_all_books(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        await bank.lease(30)
        await bank.book(line("a", held=20), line("b", "committed", 10, 25), line("c", "committed", 10, 5))
        audit = await bank.ledger.audit()
        (books,) = audit.books
        assert (books.pool, books.committed, books.lines, books.overrun) == ("p", Amount(30), Amount(30), Amount(15))
        assert audit.leases == (("g1", "p", 0, Amount(30)),)
        (opened,) = audit.open_lines
        assert (opened.id, opened.state, opened.held) == ("a", "sent", Amount(20))
        assert 0 < opened.until_ms - audit.now_ms <= LEASE_MS

    play(bank, scene)


def test_what_is_pruned_is_still_in_the_sums(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        await bank.book(line("a", "committed", 10, 7, settled_ms=1000), line("b", "committed", 1, 1, settled_ms=2000))
        await bank.book(line("c", held=20))
        assert await bank.ledger.prune(2000) == 1
        assert await bank.ledger.line("a") is None
        (books,) = (await bank.ledger.audit()).books
        assert (books.committed, books.lines) == (Amount(8), Amount(8))
        assert (await bank.standing()) == Standing(committed=Amount(8), held=Amount(20))

    play(bank, scene)


def test_a_ledger_that_was_replaced_is_not_spent_from(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        bank.epoch += "x"
        with pytest.raises(StoreFailed) as told:
            await bank.book(line("a", "committed", 1, 1))
        assert told.value.code == "store_replaced"
        assert (await bank.standing()) == Standing()

    play(bank, scene)


def test_every_field_of_a_line_comes_back(bank: Open) -> None:
    async def scene(bank: Bank) -> None:
        told = Line(
            id="a\u00e9\u2028'\"\\", state="committed", scopes=(Scope("p", 60, 60), Scope("o", 0, 0)), held=Amount(1, 2, 3),
            used=Amount(4, 1 << 52, 6), gateway="g1", expires_ms=7, reserved_ms=8, settled_ms=9, input=10, cached=11,
            cache_write=12, output=13, reasoning=14, estimated=True, absorbed=True, cache_hit=True, priced="unknown",
            request_id="r", key="k", agent="a", provider="pr", model="m/\u0001", operation="embed", error="e",
        )  # fmt: skip
        await bank.book(told)
        assert await bank.ledger.line(told.id) == told
        assert await bank.ledger.line("none") is None

    play(bank, scene)
