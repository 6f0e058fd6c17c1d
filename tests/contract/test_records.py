"""ports.Records, over every store of them; and what only a file of SQLite can do wrong."""

import asyncio
import os
import secrets
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import postgres_server
import redis_server
from hoosh.core.errors import StoreFailed
from hoosh.ports import Records
from hoosh.stores.postgres.database import Database
from hoosh.stores.postgres.records import PostgresRecords
from hoosh.stores.records_memory import MemoryRecords
from hoosh.stores.redis.keyspace import Keyspace
from hoosh.stores.redis.records import RedisRecords
from hoosh.stores.sqlite.file import StoreFile, transaction
from hoosh.stores.sqlite.migrations import MIGRATIONS, Migration
from hoosh.stores.sqlite.records import SQLiteRecords

Make = Callable[[], Records]


@pytest.fixture(params=["memory", "sqlite", "postgres", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemoryRecords
    if request.param == "postgres":
        schema = f"t_{secrets.token_hex(8)}"
        return lambda: PostgresRecords(Database(postgres_server.shared().url, schema))
    if request.param == "redis":
        namespace = f"t_{secrets.token_hex(8)}"
        return lambda: RedisRecords(Keyspace(redis_server.shared().url, namespace))
    return lambda: SQLiteRecords(StoreFile(tmp_path / "data" / "hoosh.db"))


def play(make: Make, scene: Callable[[Records], Awaitable[None]]) -> None:
    async def main() -> None:
        records = make()
        try:
            await scene(records)
        finally:
            await records.close()

    asyncio.run(main())


def test_what_is_put_is_found_by_its_kind_and_in_order(make: Make) -> None:
    async def scene(records: Records) -> None:
        await records.put("key", "b", b'{"n": 1}')
        await records.put("key", "a", b"\x00\xff")
        await records.put("other", "a", b"2")
        assert list((await records.get_all("key")).items()) == [("a", b"\x00\xff"), ("b", b'{"n": 1}')]
        assert await records.get_all("other") == {"a": b"2"}
        assert await records.get_all("none") == {}

    play(make, scene)


def test_a_second_put_takes_the_place_of_the_first(make: Make) -> None:
    async def scene(records: Records) -> None:
        await records.put("key", "a", b"1")
        await records.put("key", "a", b"2")
        assert await records.get_all("key") == {"a": b"2"}

    play(make, scene)


def test_what_is_dropped_is_gone_and_nothing_else(make: Make) -> None:
    async def scene(records: Records) -> None:
        await records.put("key", "a", b"1")
        await records.put("other", "a", b"2")
        assert await records.drop("key", "a")
        assert not await records.drop("key", "a")
        assert not await records.drop("none", "a")
        assert await records.get_all("key") == {}
        assert await records.get_all("other") == {"a": b"2"}

    play(make, scene)


def test_the_version_grows_with_each_change_of_any_kind_and_only_then(make: Make) -> None:
    async def scene(records: Records) -> None:
        seen = [await records.version()]
        await records.put("key", "a", b"1")
        seen.append(await records.version())
        await records.put("other", "a", b"1")
        seen.append(await records.version())
        await records.drop("key", "a")
        seen.append(await records.version())
        assert sorted(set(seen)) == seen
        await records.drop("key", "a")
        await records.get_all("other")
        assert await records.version() == seen[-1]

    play(make, scene)


def test_what_was_read_does_not_change_afterwards(make: Make) -> None:
    async def scene(records: Records) -> None:
        await records.put("key", "a", b"1")
        found = await records.get_all("key")
        await records.drop("key", "a")
        assert found == {"a": b"1"}

    play(make, scene)


# The file


def file_play(path: Path, scene: Callable[[StoreFile], Awaitable[None]], *migrations: Migration) -> None:
    async def main() -> None:
        file = StoreFile(path, migrations or MIGRATIONS)
        try:
            await scene(file)
        finally:
            await file.close()

    asyncio.run(main())


WRITER = """
import asyncio, sys
from pathlib import Path
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.records import SQLiteRecords

async def main():
    records = SQLiteRecords(StoreFile(Path(sys.argv[1])))
    for n in range(int(sys.argv[3])):
        await records.put("key", f"{sys.argv[2]}-{n}", b"x")
    await records.close()

asyncio.run(main())
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(count)])


def test_another_process_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.db"

    async def scene(file: StoreFile) -> None:
        records = SQLiteRecords(file)
        before = await records.version()
        assert writer(path, "other", 3).wait(120) == 0
        assert await records.version() == before + 3
        assert list(await records.get_all("key")) == ["other-0", "other-1", "other-2"]

    file_play(path, scene)


def test_several_processes_may_make_the_file_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "hoosh.db"
    writers = [writer(path, name, 10) for name in "abcd"]
    assert [process.wait(120) for process in writers] == [0] * 4

    async def scene(file: StoreFile) -> None:
        records = SQLiteRecords(file)
        assert len(await records.get_all("key")) == 40
        assert await records.version() == 40

    file_play(path, scene)


@pytest.mark.skipif(os.name != "posix", reason="such modes are POSIX's")
def test_it_is_its_owners_only(tmp_path: Path) -> None:
    async def scene(file: StoreFile) -> None:
        await SQLiteRecords(file).put("key", "a", b"1")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {"hoosh.db": 0o600, "hoosh.db-wal": 0o600, "hoosh.db-shm": 0o600}

    file_play(tmp_path / "hoosh.db", scene)


def test_migrations_go_on_where_the_file_is_and_never_twice(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.db"
    first: Migration = ("CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
    second: Migration = ("INSERT INTO a VALUES (2)",)

    async def look(file: StoreFile, rows: list[tuple[int]]) -> None:
        assert await file.run(lambda db: db.execute("SELECT x FROM a ORDER BY x").fetchall()) == rows

    file_play(path, lambda file: look(file, [(1,)]), first)
    file_play(path, lambda file: look(file, [(1,), (2,)]), first, second)
    file_play(path, lambda file: look(file, [(1,), (2,)]), first, second)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.db"
    file_play(path, lambda file: file.run(lambda db: None), ("CREATE TABLE a (x)",))

    async def fails(file: StoreFile) -> None:
        with pytest.raises(StoreFailed):
            await file.run(lambda db: None)

    file_play(path, fails, ("CREATE TABLE a (x)",), ("CREATE TABLE b (x)", "CREATE TABLE a (x)"))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("a",)]
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_a_file_of_a_later_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.db"
    file_play(path, lambda file: file.run(lambda db: None))

    async def later(file: StoreFile) -> None:
        await file.run(lambda db: db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}"))

    async def scene(file: StoreFile) -> None:
        with pytest.raises(StoreFailed, match="made by a later hoosh") as told:
            await SQLiteRecords(file).version()
        assert told.value.code == "storage_newer"

    file_play(path, later)
    file_play(path, scene)


def test_a_transaction_is_all_or_nothing_and_none_is_left_open(tmp_path: Path) -> None:
    def half(db: sqlite3.Connection) -> None:
        with transaction(db):
            db.execute("INSERT INTO records VALUES ('key', 'a', x'00')")
            raise ValueError

    def left_open(db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO records VALUES ('key', 'b', x'00')")

    async def scene(file: StoreFile) -> None:
        with pytest.raises(ValueError):
            await file.run(half)
        await file.run(left_open)
        records = SQLiteRecords(file)
        assert await records.get_all("key") == {}
        await records.put("key", "c", b"1")
        assert list(await records.get_all("key")) == ["c"]

    file_play(tmp_path / "hoosh.db", scene)


def test_a_full_disk_is_named_and_mends_itself(tmp_path: Path) -> None:
    async def scene(file: StoreFile) -> None:
        records = SQLiteRecords(file)
        await records.put("key", "a", b"1")
        await file.run(lambda db: db.execute("PRAGMA max_page_count = 1"))
        with pytest.raises(StoreFailed) as told:
            await records.put("key", "b", b"x" * 100_000)
        assert told.value.code == "storage_full"
        await file.run(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        await records.put("key", "b", b"x" * 100_000)
        assert list(await records.get_all("key")) == ["a", "b"]

    file_play(tmp_path / "hoosh.db", scene)


def test_a_file_that_is_read_only_is_named_and_can_be_read(tmp_path: Path) -> None:
    async def scene(file: StoreFile) -> None:
        records = SQLiteRecords(file)
        await records.put("key", "a", b"1")
        await file.run(lambda db: db.execute("PRAGMA query_only = ON"))  # tests may run as root, whom no mode stops
        with pytest.raises(StoreFailed) as told:
            await records.put("key", "b", b"2")
        assert told.value.code == "storage_read_only"
        assert await records.get_all("key") == {"a": b"1"}  # over a connection of its own
        await records.put("key", "b", b"2")

    file_play(tmp_path / "hoosh.db", scene)


def test_looking_makes_no_file(tmp_path: Path) -> None:
    async def scene(file: StoreFile) -> None:
        records = SQLiteRecords(file)
        assert (await records.version(), await records.get_all("key")) == (0, {})
        assert list(tmp_path.iterdir()) == []

    file_play(tmp_path / "hoosh.db", scene)


def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.db"
    path.write_bytes(b"a diary" * 1000)

    async def scene(file: StoreFile) -> None:
        with pytest.raises(StoreFailed) as told:
            await SQLiteRecords(file).version()
        assert told.value.code == "storage_corrupt"

    file_play(path, scene)
    assert path.read_bytes() == b"a diary" * 1000


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def scene(file: StoreFile) -> None:
        with pytest.raises(StoreFailed) as told:
            await SQLiteRecords(file).version()
        assert told.value.code == "storage_unreachable"

    file_play(tmp_path / "file" / "hoosh.db", scene)


def test_a_lock_that_stays_is_named_and_the_connection_stays_too(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.db"

    async def scene(file: StoreFile) -> None:
        records = SQLiteRecords(file)
        await records.put("key", "a", b"1")
        await file.run(lambda db: db.execute("PRAGMA busy_timeout = 1"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed) as told:
            await records.put("key", "b", b"2")
        assert told.value.code == "storage_locked"
        assert await records.get_all("key") == {"a": b"1"}
        other.close()
        await records.put("key", "b", b"2")

    file_play(path, scene)


def test_a_put_that_was_begun_is_finished_though_nobody_waits(tmp_path: Path) -> None:
    async def scene(file: StoreFile) -> None:
        records = SQLiteRecords(file)
        task = asyncio.create_task(records.put("key", "a", b"1"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await records.get_all("key") == {"a": b"1"}

    file_play(tmp_path / "hoosh.db", scene)
