"""What only a server of PostgreSQL can meet with: it dies, is slow, forgets, or is another than it was."""

import sys

import asyncpg
import msgspec
import pytest

import postgres_server
from hoosh.core.errors import ConfigError, StoreFailed
from hoosh.stores.postgres import database as database_module
from hoosh.stores.postgres.database import Database, migrations
from hoosh.stores.postgres.records import PostgresRecords
from ledger_bench import PostgresBench, line, play


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit"])
def test_a_server_that_may_forget_is_refused_unless_allowed(setting: str) -> None:
    async def refused(bench: PostgresBench) -> None:
        with pytest.raises(StoreFailed, match=f"{setting} = off") as told:
            await bench.ledger.open()
        assert told.value.code == "store_volatile"

    async def taken(bench: PostgresBench) -> None:
        await bench.sync(line("a"))

    with postgres_server.server(f"{setting}=off") as server:
        play(PostgresBench(server.url), refused)
        play(PostgresBench(server.url, allow_volatile=True), taken)


def test_another_ledger_in_its_place_is_noticed() -> None:
    async def scene(bench: PostgresBench) -> None:
        await bench.sync(line("a"))
        await bench.database.rows(f"DROP SCHEMA {bench.namespace} CASCADE")
        other = PostgresBench(namespace=bench.namespace)
        await other.sync(line("b"))
        await other.ledger.close()
        assert await bench.refused() == "store_replaced"

    play(PostgresBench(), scene)


def test_a_schema_of_a_later_program_is_refused() -> None:
    async def scene(bench: PostgresBench) -> None:
        await bench.sync()
        await bench.database.rows("INSERT INTO migrations VALUES ($1)", len(migrations()) + 1)
        later = PostgresBench(namespace=bench.namespace)
        with pytest.raises(StoreFailed, match="made by a later hoosh") as told:
            await later.ledger.open()
        assert told.value.code == "storage_newer"

    play(PostgresBench(), scene)


def test_what_is_pending_is_counted_and_nothing_is_made() -> None:
    async def scene(bench: PostgresBench) -> None:
        assert await bench.database.pending() == len(migrations())
        assert await bench.database.pending() == len(migrations())
        await bench.ledger.open()
        assert await bench.database.pending() == 0

    play(PostgresBench(), scene)


def test_a_step_that_waits_too_long_is_named_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "PATIENCE_S", 0.3)

    async def scene(bench: PostgresBench) -> None:
        await bench.sync(line("a"))
        other = await asyncpg.connect(postgres_server.shared().url)
        async with other.transaction():
            await other.execute(f"SELECT 1 FROM {bench.namespace}.ledger FOR UPDATE")
            with pytest.raises(StoreFailed) as told:
                await bench.sync(line("b"))
            assert told.value.code == "store_slow"
            assert await bench.ledger.line("b") is None  # who only reads waits for nobody
        await other.close()
        await bench.sync(line("b"))

    play(PostgresBench(), scene)


def test_a_text_with_a_nul_is_kept_without_it() -> None:
    async def scene(bench: PostgresBench) -> None:
        await bench.sync(msgspec.structs.replace(line("a"), model="m\0m", agent="\\u0000"))
        kept = await bench.ledger.line("a")
        assert kept is not None
        assert (kept.model, kept.agent) == ("m\ufffdm", "\\u0000")
        assert await bench.ledger.line("a\0") is None

    play(PostgresBench(), scene)


def test_records_keep_their_order_by_code_point() -> None:
    async def scene(bench: PostgresBench) -> None:
        records = PostgresRecords(bench.database)
        for name in "bBaé":
            await records.put("key", name, b"")
        assert list(await records.get_all("key")) == ["B", "a", "b", "é"]

    play(PostgresBench(), scene)


def test_a_missing_driver_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"hoosh\[postgres\]"):
        Database("postgresql://127.0.0.1/none")
