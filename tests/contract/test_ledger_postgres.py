"""What only a server of PostgreSQL can meet with: it dies, is slow, forgets, or is another than it was."""

import asyncio
import random
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator

import asyncpg
import msgspec
import pytest

import postgres_server
from hoosh.core.errors import ConfigError, StoreFailed
from hoosh.core.ledger import NOTHING, UNLIMITED, Amount, Asked, Batch, LeaseWish, Line, Reply, Scope
from hoosh.stores.postgres import database as database_module
from hoosh.stores.postgres.database import Database, migrations
from hoosh.stores.postgres.ledger import PostgresLedger
from hoosh.stores.postgres.records import PostgresRecords
from postgres_server import PostgresServer

CEILING = Amount(1000, UNLIMITED, UNLIMITED)


class Bench:
    def __init__(self, url: str = "", schema: str = "", *, allow_volatile: bool = False) -> None:
        self.schema = schema or f"t_{secrets.token_hex(8)}"
        self.database = Database(url or postgres_server.shared().url, self.schema, allow_volatile=allow_volatile)
        self.ledger = PostgresLedger(self.database)
        self.epoch = ""

    async def sync(self, *lines: Line, gateway: str = "g1", want: int = 0, keep: int = 0) -> Reply:
        self.epoch = self.epoch or await self.ledger.open()
        wish = LeaseWish("p", 0, 0, CEILING, Amount(keep), Amount(want), NOTHING)
        leases = (wish,) if want else ()
        return await self.ledger.sync(
            Batch(gateway=gateway, epoch=self.epoch, lease_ms=30_000, lines=lines, leases=leases)
        )

    async def refused(self) -> str:
        with pytest.raises(StoreFailed) as told:
            await self.sync()
        return told.value.code


def play(bench: Bench, scene: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            await scene(bench)
        finally:
            await bench.ledger.close()

    asyncio.run(main())


def line(name: str, used: int = 1, model: str = "") -> Line:
    return Line(id=name, state="committed", scopes=(Scope("p"),), held=Amount(used), used=Amount(used), model=model)


@pytest.fixture(scope="module")
def frail() -> Iterator[PostgresServer]:
    """One that tests may kill."""
    with postgres_server.server() as server:
        yield server


async def until_taken(bench: Bench, told: Line) -> None:
    while True:
        try:
            await bench.sync(told)
        except StoreFailed as failed:
            if failed.code not in ("storage_unreachable", "store_slow"):
                raise
            await asyncio.sleep(0.01)
        else:
            return


def killed(server: PostgresServer, times: int, seed: int) -> None:
    """Lines are told without end while the server is killed; those that it took are there at the end, once."""
    bench, dice = Bench(server.url), random.Random(seed)

    async def scene(bench: Bench) -> None:
        await bench.ledger.open()
        taken: list[int] = []
        is_over = asyncio.Event()

        async def tell(worker: int) -> None:
            n = 0
            while not is_over.is_set():
                await until_taken(bench, line(f"{worker}-{n}", 1 + n % 7))
                taken.append(1 + n % 7)
                n += 1

        tellers = [asyncio.create_task(tell(worker)) for worker in range(4)]
        for _ in range(times):
            await asyncio.sleep(dice.random() * 0.5)
            server.kill()
            await asyncio.to_thread(server.start)
            before = len(taken)
            while len(taken) < before + 8:
                await asyncio.sleep(0.01)
        is_over.set()
        await asyncio.gather(*tellers)
        (standing,) = await bench.ledger.standing([Asked("p")])
        assert standing.committed == Amount(sum(taken))
        (books,) = (await bench.ledger.audit()).books
        assert books.lines == books.committed
        total = sum(row.attempts for _, row in await bench.ledger.usage(0, 1 << 40))
        assert total == len(taken)

    play(bench, scene)


def test_a_server_that_was_killed_has_all_that_it_took(frail: PostgresServer) -> None:
    killed(frail, 2, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_that_was_killed_twenty_times_has_all_that_it_took(frail: PostgresServer) -> None:
    killed(frail, 20, 2)


def test_a_server_that_is_away_is_named_and_taken_up_again(frail: PostgresServer) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        frail.kill()
        assert await bench.refused() == "storage_unreachable"
        await asyncio.to_thread(frail.start)
        await until_taken(bench, line("b"))
        assert (await bench.ledger.standing([Asked("p")]))[0].committed == Amount(2)

    play(Bench(frail.url), scene)


def test_a_server_that_was_never_there_is_named_without_the_password() -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(StoreFailed) as told:
            await bench.ledger.open()
        assert told.value.code == "storage_unreachable"
        assert "wonderland" not in str(told.value)

    play(Bench("postgresql://alice:wonderland@127.0.0.1:1/none"), scene)


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit"])
def test_a_server_that_may_forget_is_refused_unless_allowed(setting: str) -> None:
    async def refused(bench: Bench) -> None:
        with pytest.raises(StoreFailed, match=f"{setting} = off") as told:
            await bench.ledger.open()
        assert told.value.code == "store_volatile"

    async def taken(bench: Bench) -> None:
        await bench.sync(line("a"))

    with postgres_server.server(f"{setting}=off") as server:
        play(Bench(server.url), refused)
        play(Bench(server.url, allow_volatile=True), taken)


def test_another_ledger_in_its_place_is_noticed() -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        await bench.database.rows(f"DROP SCHEMA {bench.schema} CASCADE")
        other = Bench(schema=bench.schema)
        await other.sync(line("b"))
        await other.ledger.close()
        assert await bench.refused() == "store_replaced"

    play(Bench(), scene)


def test_a_schema_of_a_later_program_is_refused() -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync()
        await bench.database.rows("INSERT INTO migrations VALUES ($1)", len(migrations()) + 1)
        later = Bench(schema=bench.schema)
        with pytest.raises(StoreFailed, match="made by a later hoosh") as told:
            await later.ledger.open()
        assert told.value.code == "storage_newer"

    play(Bench(), scene)


def test_many_may_make_the_schema_at_once() -> None:
    async def scene(bench: Bench) -> None:
        all_told = [Bench(schema=bench.schema) for _ in range(8)]
        epochs = await asyncio.gather(*(one.ledger.open() for one in all_told))
        assert len(set(epochs)) == 1
        for one in all_told:
            await one.ledger.close()

    play(Bench(), scene)


def test_what_is_pending_is_counted_and_nothing_is_made() -> None:
    async def scene(bench: Bench) -> None:
        assert await bench.database.pending() == len(migrations())
        assert await bench.database.pending() == len(migrations())
        await bench.ledger.open()
        assert await bench.database.pending() == 0

    play(Bench(), scene)


def test_a_step_that_waits_too_long_is_named_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "PATIENCE_S", 0.3)

    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        other = await asyncpg.connect(postgres_server.shared().url)
        async with other.transaction():
            await other.execute(f"SELECT 1 FROM {bench.schema}.ledger FOR UPDATE")
            with pytest.raises(StoreFailed) as told:
                await bench.sync(line("b"))
            assert told.value.code == "store_slow"
            assert await bench.ledger.line("b") is None  # who only reads waits for nobody
        await other.close()
        await bench.sync(line("b"))

    play(Bench(), scene)


def test_a_text_with_a_nul_is_kept_without_it() -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(msgspec.structs.replace(line("a"), model="m\0m", agent="\\u0000"))
        kept = await bench.ledger.line("a")
        assert kept is not None
        assert (kept.model, kept.agent) == ("m\ufffdm", "\\u0000")
        assert await bench.ledger.line("a\0") is None

    play(Bench(), scene)


def test_gateways_at_once_never_lease_more_than_there_is() -> None:
    async def scene(bench: Bench) -> None:
        await bench.ledger.open()
        others = [Bench(schema=bench.schema) for _ in range(4)]

        async def spend(gateway: str, mine: Bench) -> int:
            spent = 0
            for n in range(1000):
                granted = (await mine.sync(gateway=gateway, want=1 + n % 5)).leases[0].granted.tokens
                if not granted:
                    break
                told = line(f"{gateway}-{n}", granted)
                await mine.sync(told, gateway=gateway)
                wish = LeaseWish("p", 0, 0, CEILING, NOTHING, NOTHING, NOTHING)
                batch = Batch(gateway=gateway, epoch=mine.epoch, lease_ms=30_000, leases=(wish,))
                await mine.ledger.sync(batch)
                spent += granted
            return spent

        spent = await asyncio.gather(*(spend(f"g{n}", one) for n, one in enumerate(others)))
        assert sum(spent) == CEILING.tokens
        for one in others:
            await one.ledger.close()

    play(Bench(), scene)


def test_records_keep_their_order_by_code_point() -> None:
    async def scene(bench: Bench) -> None:
        records = PostgresRecords(bench.database)
        for name in "bBaé":
            await records.put("key", name, b"")
        assert list(await records.get_all("key")) == ["B", "a", "b", "é"]

    play(Bench(), scene)


def test_a_missing_driver_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"hoosh\[postgres\]"):
        Database("postgresql://127.0.0.1/none")
