"""ports.Files and ports.Batches, over every store of them. A `Place` is one store, where several processes may come."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

import postgres_server
from hoosh.core.batch import Batch, Counts, Line, Page, Running, StoredFile
from hoosh.core.ledger import Batch as Told
from hoosh.stores.batches import TableBatches
from hoosh.stores.postgres.batches import PostgresTables
from hoosh.stores.postgres.database import Database
from hoosh.stores.postgres.ledger import PostgresLedger
from hoosh.stores.sqlite.batches import FileTables, MemoryTables

NOW_S = 1000
ALL = Page(limit=10)


class Place:
    """`come` is another process on the store, `die` its end without a word."""

    def __init__(
        self, come: Callable[[], Awaitable[TableBatches]], die: Callable[[TableBatches], Awaitable[None]]
    ) -> None:
        self.come = come
        self.die = die


Open = Callable[[], AbstractAsyncContextManager[Place]]


@asynccontextmanager
async def memory() -> AsyncIterator[Place]:
    store = TableBatches(MemoryTables())

    async def come() -> TableBatches:
        return store

    async def die(gone: TableBatches) -> None:
        raise AssertionError("memory dies with its process")

    yield Place(come, die)
    await store.close()


@asynccontextmanager
async def sqlite() -> AsyncIterator[Place]:
    opened: dict[TableBatches, FileTables] = {}
    with TemporaryDirectory() as folder:

        async def come() -> TableBatches:
            tables = FileTables(Path(folder) / "data" / "batches.db")
            store = TableBatches(tables)
            opened[store] = tables
            return store

        async def die(gone: TableBatches) -> None:
            """A process's lock goes with it."""
            opened[gone]._presence.leave()

        yield Place(come, die)
        for store in opened:
            await store.close()


@asynccontextmanager
async def postgres() -> AsyncIterator[Place]:
    schema = f"t_{secrets.token_hex(8)}"
    stores: list[TableBatches] = []
    ledger = PostgresLedger(Database(postgres_server.shared().url, schema))
    epoch = await ledger.open()

    async def hear(name: str, lease_ms: int) -> None:
        await ledger.sync(Told(gateway=name, epoch=epoch, lease_ms=lease_ms))

    async def come() -> TableBatches:
        name = secrets.token_hex(4)
        await hear(name, 60_000)
        store = TableBatches(PostgresTables(Database(postgres_server.shared().url, schema), name))
        stores.append(store)
        return store

    async def die(gone: TableBatches) -> None:
        """Its lease in the ledger runs out."""
        await hear(gone.runner, 0)

    yield Place(come, die)
    for store in stores:
        await store.close()
    await ledger.database.drop()


@pytest.fixture(params=[memory, sqlite, postgres], ids=lambda place: place.__name__)
def place(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.param
    return opened


@pytest.fixture(params=[sqlite, postgres], ids=lambda place: place.__name__)
def shared(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.param
    return opened


def run(place: Open, work: Callable[[Place, TableBatches], Awaitable[None]]) -> None:
    async def main() -> None:
        async with place() as opened:
            await work(opened, await opened.come())

    asyncio.run(main())


def file(
    name: str, owner: str = "me", size_bytes: int = 5, purpose: str = "batch", expires_s: int = 2000
) -> StoredFile:
    return StoredFile(
        id=name,
        owner=owner,
        name=f"{name}.jsonl",
        purpose=purpose,
        size_bytes=size_bytes,
        created_s=NOW_S,
        expires_s=expires_s,
    )


def batch(name: str, owner: str = "me") -> Batch:
    return Batch(
        id=name,
        owner=owner,
        endpoint="/v1/embeddings",
        input_file_id="f",
        window="24h",
        created_s=NOW_S,
        expires_s=NOW_S + 86_400,
        metadata={"a": "\0"},
    )


def line(n: int, part: int = -1) -> Line:
    return Line(n=n, part=part, tokens=10 + n, micros=n, data=b"asked-%d" % n)


async def keep(store: TableBatches, *files: StoredFile) -> None:
    for each in files:
        assert await store.begin_file(each, 1000)
        await store.add_piece(each.id, 0, b"12345")
        await store.end_file(each.id, each.size_bytes)


def test_a_file_is_found_whole_and_by_its_owner_alone(place: Open) -> None:
    async def work(_: Place, store: TableBatches) -> None:
        assert await store.file("me", "a", NOW_S) is None
        assert await store.files("me", ALL, NOW_S) == []
        await store.begin_file(file("a"), 1000)
        await store.add_piece("a", 0, b"\0\xff")
        assert await store.file("me", "a", NOW_S) is None  # not all of it is there
        await store.add_piece("a", 1, b"345")
        await store.end_file("a", 5)
        assert await store.file("me", "a", NOW_S) == file("a")
        assert [await store.piece("a", n) for n in range(3)] == [b"\0\xff", b"345", b""]
        assert await store.file("you", "a", NOW_S) is None
        assert await store.file("me", "a", 2000) is None  # its time is over
        await store.drop_file("a")
        assert await store.file("me", "a", NOW_S) is None
        assert await store.piece("a", 0) == b""
        assert await store.used_bytes() == 0

    run(place, work)


def test_there_is_room_for_so_much_and_no_more(place: Open) -> None:
    async def work(_: Place, store: TableBatches) -> None:
        assert await store.begin_file(file("a", size_bytes=600), 1000)
        assert not await store.begin_file(file("b", "you", size_bytes=401), 1000)
        assert await store.begin_file(file("b", "you", size_bytes=400), 1000)
        assert await store.begin_file(file("c", size_bytes=0), None)
        assert await store.used_bytes() == 1000

    run(place, work)


def test_lists_come_in_pages(place: Open) -> None:
    async def work(_: Place, store: TableBatches) -> None:
        await keep(store, file("a"), file("b", purpose="evals"), file("x", "you"), file("c"), file("d", expires_s=1))

        async def names(page: Page) -> list[str] | None:
            found = await store.files("me", page, NOW_S)
            return None if found is None else [each.id for each in found]

        assert await names(ALL) == ["c", "b", "a"]
        assert await names(Page(limit=2)) == ["c", "b"]
        assert await names(Page(limit=9, after="b")) == ["a"]
        assert await names(Page(limit=9, after="b", newest_first=False)) == ["c"]
        assert await names(Page(limit=9, purpose="evals")) == ["b"]
        assert await names(Page(limit=9, after="x")) is None
        for name in "abc":
            await store.put(batch(name))
        await store.put(batch("x", "you"))
        assert [each.id for each in await store.batches("me", Page(limit=2)) or ()] == ["c", "b"]
        assert [each.id for each in await store.batches("me", Page(limit=2, after="b")) or ()] == ["a"]
        assert await store.batches("me", Page(limit=2, after="x")) is None

    run(place, work)


def test_a_batch_goes_on_step_by_step(place: Open) -> None:
    async def work(_: Place, store: TableBatches) -> None:
        await store.put(batch("a"))
        assert await store.batch("me", "a") == batch("a")
        assert await store.batch("you", "a") is None
        assert await store.running() == [Running("a", "validating", "")]
        assert await store.claim("a") == batch("a")
        assert await store.running() == [Running("a", "validating", store.runner)]
        begun = msgspec.structs.replace(batch("a"), status="in_progress", in_progress_s=1001)
        assert await store.advance(begun, "validating")
        assert not await store.advance(begun, "validating")
        assert await store.batch("me", "a") == begun
        assert not await store.cancel("you", "a", 1002)
        assert await store.cancel("me", "a", 1002)
        assert not await store.cancel("me", "a", 1003)
        assert not await store.advance(msgspec.structs.replace(begun, status="finalizing"), "in_progress")
        assert await store.batch("me", "a") == msgspec.structs.replace(begun, status="cancelling", cancelling_s=1002)
        ended = msgspec.structs.replace(begun, status="cancelled", cancelled_s=1003, total=7)
        assert await store.advance(ended, "cancelling")
        assert await store.running() == []
        assert await store.claim("a") is None
        assert await store.batch("me", "a") == msgspec.structs.replace(ended, cancelling_s=1002)

    run(place, work)


def test_a_line_waits_until_it_is_told_once(place: Open) -> None:
    async def work(_: Place, store: TableBatches) -> None:
        await store.put(batch("a"))
        await store.claim("a")
        await store.add("a", [line(0, 0), line(1, 0), line(2, 1)])
        await store.add("a", [line(2, 5), line(3, 1)])  # told again: it stays as it was
        assert await store.lines("a", "waiting", -1, 10) == [line(0, 0), line(1, 0), line(2, 1), line(3, 1)]
        assert await store.lines("a", "waiting", 0, 2) == [line(1, 0), line(2, 1)]
        assert await store.rest("a", 0) == (21, 1)
        assert await store.finish("a", line(1), "answered", b"\0told")
        assert not await store.finish("a", line(1), "refused", b"again")
        assert await store.finish("a", line(0), "refused", b"no")
        assert await store.finish("a", line(3), "unasked", b"late")
        assert await store.rest("a", 0) == (0, 0)
        assert [each.data for each in await store.lines("a", "answered", -1, 10)] == [b"\0told"]
        assert await store.counts("a") == Counts(4, 1, 1)
        sizes = len(b"\0told") + len(b"no") + len(b"late") + len(line(2).data)
        assert await store.used_bytes() == sizes + len(line(2).data)  # that it was told again is counted: no harm
        await store.clear("a")
        assert await store.counts("a") == Counts()
        assert await store.used_bytes() == 0

    run(place, work)


def test_what_is_old_goes_and_what_is_needed_stays(place: Open) -> None:
    async def work(_: Place, store: TableBatches) -> None:
        await keep(store, file("f", expires_s=1100), file("g", expires_s=1100), file("h", expires_s=9000))
        await store.begin_file(file("given-up", expires_s=9000), None)
        await store.put(batch("a"))
        await store.put(batch("b"))
        await store.claim("b")
        await store.add("b", [line(0)])
        assert await store.advance(msgspec.structs.replace(batch("b"), status="failed"), "validating")
        await store.purge(5000, NOW_S - 1)
        assert [await store.piece(name, 0) for name in "fgh"] == [b"12345", b"", b"12345"]  # "a" reads "f" still
        assert await store.used_bytes() == 10 + len(line(0).data)
        assert await store.lines("b", "waiting", -1, 9) == []
        assert await store.batch("me", "b") is not None
        await store.purge(5000, NOW_S)
        assert await store.batch("me", "b") is None
        assert await store.batch("me", "a") is not None

    run(place, work)


def test_one_process_has_it_until_it_dies(shared: Open) -> None:
    async def work(place: Place, first: TableBatches) -> None:
        second = await place.come()
        await first.put(batch("a"))
        assert await first.claim("a") is not None
        assert await second.claim("a") is None
        assert await second.running() == [Running("a", "validating", first.runner)]
        assert not await second.advance(msgspec.structs.replace(batch("a"), status="in_progress"), "validating")
        await first.add("a", [line(0)])
        assert not await second.finish("a", line(0), "answered", b"told")
        await place.die(first)
        assert await second.running() == [Running("a", "validating", "")]
        assert await second.claim("a") == batch("a")
        assert not await first.finish("a", line(0), "answered", b"told")  # who was taken for dead, and was not
        assert not await first.advance(msgspec.structs.replace(batch("a"), status="in_progress"), "validating")
        assert await second.finish("a", line(0), "answered", b"told")
        await first.release("a")
        assert (await second.running())[0].runner == second.runner
        await second.release("a")
        assert (await second.running())[0].runner == ""

    run(shared, work)


def test_many_that_claim_at_once_are_one(shared: Open) -> None:
    async def work(place: Place, first: TableBatches) -> None:
        stores = [first, *[await place.come() for _ in range(3)]]
        await first.put(batch("a"))
        found = await asyncio.gather(*(store.claim("a") for store in stores))
        assert sum(each is not None for each in found) == 1

    run(shared, work)


def test_looking_makes_no_file(tmp_path: Path) -> None:
    async def main() -> None:
        store = TableBatches(FileTables(tmp_path / "data" / "batches.db"))
        assert await store.running() == []
        assert await store.used_bytes() == 0
        await store.close()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []
