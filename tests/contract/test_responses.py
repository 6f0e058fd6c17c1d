"""ports.Responses, over every store of them."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from hoosh.core.errors import StoreFailed
from hoosh.core.kept import Bounds, KeptResponse
from hoosh.http.responses import died
from hoosh.ports import Responses
from hoosh.stores.responses_memory import MemoryResponses
from hoosh.stores.sqlite.responses import SQLiteResponses

BOUNDS = Bounds(age_s=100, entries=3, size_bytes=100)


class HandClock:
    now_s = 1000

    def monotonic_ns(self) -> int:
        return self.now_s * 10**9

    def unix_s(self) -> int:
        return self.now_s


Make = Callable[[HandClock], Responses]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return lambda clock: MemoryResponses(BOUNDS, clock)
    return lambda clock: SQLiteResponses(tmp_path / "data" / "r.db", BOUNDS, clock, died)


def kept(identity: str, owner: str = "me", response: bytes = b"{}", *, created_s: int = 1000) -> KeptResponse:
    return KeptResponse(id=identity, owner=owner, created_s=created_s, response=response, context=b"[1]")


def run(make: Make, work: Callable[[Responses, HandClock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = HandClock()
        store = make(clock)
        try:
            await work(store, clock)
        finally:
            await store.close()

    asyncio.run(main())


async def ids(store: Responses, owner: str = "me") -> set[str]:
    return {name for name in "abcdef" if await store.get(owner, name)}


def test_what_is_put_is_found_whole(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        value = KeptResponse(id="a", owner="me", created_s=1000, response=b'{"a":1}', context=b"[2]", running=True)
        await store.put(value)
        assert await store.get("me", "a") == value
        assert await store.get("me", "b") is None

    run(make, work)


def test_nobody_else_finds_or_drops_it(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        await store.put(kept("a"))
        await store.put(kept("a", "you", b"[]"))
        assert await store.get("they", "a") is None
        assert not await store.drop("they", "a")
        mine, yours = await store.get("me", "a"), await store.get("you", "a")
        assert mine is not None
        assert yours is not None
        assert (mine.response, yours.response) == (b"{}", b"[]")
        assert await store.drop("you", "a")
        assert await store.get("me", "a") == mine

    run(make, work)


def test_a_second_put_takes_the_place_of_the_first(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        for text in (b"1", b"2", b"3" * 40, b"4"):
            await store.put(kept("a", response=text))
        await store.put(kept("b"))
        await store.put(kept("c"))
        found = await store.get("me", "a")
        assert found is not None
        assert found.response == b"4"
        assert await ids(store) == {"a", "b", "c"}

    run(make, work)


def test_what_is_dropped_is_gone_and_makes_room(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        for name in "abc":
            await store.put(kept(name))
        assert await store.drop("me", "b")
        assert not await store.drop("me", "b")
        await store.put(kept("d"))
        assert await ids(store) == {"a", "c", "d"}

    run(make, work)


def test_the_oldest_go_where_there_are_too_many(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        for name in "abcd":
            await store.put(kept(name))
        assert await ids(store) == {"b", "c", "d"}

    run(make, work)


def test_the_oldest_go_where_they_take_too_much(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        await store.put(kept("a", response=b"x" * 40))
        await store.put(kept("b", response=b"x" * 40))
        await store.put(kept("c", response=b"x" * 40))
        assert await ids(store) == {"b", "c"}
        await store.put(kept("d", response=b"x" * 200))
        assert await ids(store) == set()

    run(make, work)


def test_the_old_are_not_found_any_more(make: Make) -> None:
    async def work(store: Responses, clock: HandClock) -> None:
        await store.put(kept("a"))
        clock.now_s += 99
        await store.put(kept("b", created_s=clock.now_s))
        assert await ids(store) == {"a", "b"}
        clock.now_s += 1
        assert await ids(store) == {"b"}
        assert not await store.drop("me", "a")

    run(make, work)


def test_a_put_that_nobody_waits_for_any_more_is_done(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        task = asyncio.create_task(store.put(kept("a")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await ids(store) == {"a"}

    run(make, work)


def _sqlite(path: Path, clock: HandClock) -> SQLiteResponses:
    return SQLiteResponses(path, BOUNDS, clock, died)


RUNNING = KeptResponse(id="b", owner="me", created_s=1000, response=b'{"id":"b"}', context=b"[]", running=True)


KEEP_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from hoosh.core.kept import Bounds, KeptResponse
from hoosh.stores.sqlite.responses import SQLiteResponses

async def work():
    clock = SimpleNamespace(unix_s=lambda: 1000)
    store = SQLiteResponses(Path(sys.argv[1]), Bounds(age_s=100, entries=3, size_bytes=100), clock, bytes)
    for name, response, context in (("a", b"{}", b"[1]"), ("b", b'{"id":"b"}', b"[]")):
        row = dict(id=name, owner="me", created_s=1000, response=response, context=context, running=name == "b")
        await store.put(KeptResponse(**row))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(work())
"""


def test_a_file_outlives_its_gateway_and_what_ran_has_failed(tmp_path: Path) -> None:
    first = subprocess.run([sys.executable, "-c", KEEP_AND_DIE, str(tmp_path / "r.db")], check=False)
    assert first.returncode == -signal.SIGKILL

    async def second() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        assert await store.get("me", "a") == kept("a")
        found = await store.get("me", "b")
        assert found is not None
        assert not found.running
        assert b'"status":"failed"' in found.response
        for name in "cd":
            await store.put(kept(name))
        assert await ids(store) == {"b", "c", "d"}
        await store.close()

    asyncio.run(second())


def test_what_runs_in_another_process_runs_on_until_it_is_asked_to_end(tmp_path: Path) -> None:
    async def work() -> None:
        one, other = (_sqlite(tmp_path / "r.db", HandClock()) for _ in range(2))
        assert not await other.end("me", "b")
        await one.put(RUNNING)
        assert await other.get("me", "b") == RUNNING
        assert not await other.end("you", "b")
        assert list(await one.ending()) == []
        assert await other.end("me", "b")
        assert list(await one.ending()) == [("me", "b")]
        assert list(await other.ending()) == []
        await one.put(msgspec.structs.replace(RUNNING, running=False))
        assert not await other.end("me", "b")
        assert list(await one.ending()) == []
        for store in (one, other):
            await store.close()
        assert not list((tmp_path / "r.runners").iterdir())

    asyncio.run(work())


def test_bounds_are_those_of_all_processes(tmp_path: Path) -> None:
    async def work() -> None:
        stores = [_sqlite(tmp_path / "r.db", HandClock()) for _ in range(2)]
        for n, name in enumerate("abcd"):
            await stores[n % 2].put(kept(name))
        assert [await ids(store) for store in stores] == [{"b", "c", "d"}] * 2
        for store in stores:
            await store.close()

    asyncio.run(work())


def test_a_file_of_the_first_kind_is_taken_over_with_what_it_has(tmp_path: Path) -> None:
    """As it was made when one gateway at a time used it."""
    with closing(sqlite3.connect(tmp_path / "r.db")) as db, db:
        db.execute(
            "CREATE TABLE responses (seq INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, id TEXT NOT NULL, "
            "created_s INTEGER NOT NULL, running INTEGER NOT NULL, response BLOB NOT NULL, context BLOB NOT NULL, "
            "size_bytes INTEGER NOT NULL, UNIQUE (owner, id))"
        )
        for name, running in (("a", 0), ("b", 1), ("c", 0)):
            row = ("me", name, 1000, running, b"{}", b"[1]", 5)
            db.execute(
                "INSERT INTO responses (owner, id, created_s, running, response, context, size_bytes) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    async def work() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        assert await store.get("me", "a") == kept("a")
        found = await store.get("me", "b")
        assert found is not None
        assert (found.running, b"failed" in found.response) == (False, True)
        await store.put(kept("d"))
        assert await ids(store) == {"b", "c", "d"}
        await store.close()

    asyncio.run(work())


def test_nothing_is_made_before_there_is_something_to_keep(tmp_path: Path) -> None:
    async def work() -> None:
        store = _sqlite(tmp_path / "data" / "r.db", HandClock())
        await store.close()

    asyncio.run(work())
    assert not (tmp_path / "data").exists()


def test_only_the_owner_of_the_file_may_read_it(tmp_path: Path) -> None:
    async def work() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        await store.put(kept("a"))
        await store.close()

    asyncio.run(work())
    assert (tmp_path / "r.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("make_bad", [Path.mkdir, lambda path: path.write_bytes(b"no database" * 100)])
def test_a_file_that_cannot_be_used_is_said_to_be_so(tmp_path: Path, make_bad: Callable[[Path], object]) -> None:
    make_bad(tmp_path / "r.db")

    async def work() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        with pytest.raises(StoreFailed):
            await store.put(kept("a"))
        with pytest.raises(StoreFailed):
            await store.get("me", "a")
        await store.close()

    asyncio.run(work())
