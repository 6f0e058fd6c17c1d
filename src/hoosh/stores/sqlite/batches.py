"""The tables of files and batches in one SQLite file, which is made by the first upload; or in memory, and then they go
with the process.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hoosh.stores.presence import Presence
from hoosh.stores.sqlite.file import StoreFile, transaction
from hoosh.stores.sqlite.migrations import Migration

Value = str | int | bytes
Row = Sequence[Value]
Statement = tuple[str, tuple[Value, ...]]
_TABLES: Migration = (
    """
    CREATE TABLE files (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        purpose TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        created_s INTEGER NOT NULL,
        expires_s INTEGER NOT NULL,
        ready INTEGER NOT NULL
    )
    """,
    "CREATE INDEX files_owner ON files (owner, seq)",
    "CREATE TABLE file_pieces (file_id TEXT NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (file_id, n))",
    """
    CREATE TABLE batches (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        input_file_id TEXT NOT NULL,
        created_s INTEGER NOT NULL,
        status TEXT NOT NULL,
        runner TEXT NOT NULL,
        cancelling_s INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        body BLOB NOT NULL
    )
    """,
    "CREATE INDEX batches_owner ON batches (owner, seq)",
    "CREATE INDEX batches_status ON batches (status)",
    """
    CREATE TABLE batch_lines (
        batch_id TEXT NOT NULL,
        n INTEGER NOT NULL,
        part INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        micros INTEGER NOT NULL,
        state INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (batch_id, n)
    )
    """,
    "CREATE INDEX batch_lines_state ON batch_lines (batch_id, state, n)",
)


class FileTables:
    """stores.batches.Tables, in a file that all processes of one machine share."""

    def __init__(self, path: Path) -> None:
        self._file = StoreFile(path, (_TABLES,))
        self._presence = Presence(path.with_suffix(".runners"), secrets.token_hex(8))

    @property
    def name(self) -> str:
        return self._presence.name

    async def read(self, query: str, *values: Value) -> Sequence[Row]:
        return await self._file.look(lambda db: db.execute(query, _named(values)).fetchall(), [])

    async def write(self, *statements: Statement) -> Sequence[Row]:
        return await self._file.run(lambda db: self._write(db, statements))

    async def dead(self, names: Sequence[str]) -> frozenset[str]:
        return frozenset(name for name in names if self._presence.is_dead(name))

    async def close(self) -> None:
        await self._file.close()
        self._presence.leave()

    def _write(self, db: sqlite3.Connection, statements: Sequence[Statement]) -> Sequence[Row]:
        self._presence.come()
        return write(db, statements)


class MemoryTables:
    """stores.batches.Tables, of one process alone."""

    name = "here"

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._opened: sqlite3.Connection | None = None

    async def read(self, query: str, *values: Value) -> Sequence[Row]:
        return await self._run(query, values) if self._opened else []

    async def write(self, *statements: Statement) -> Sequence[Row]:
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, lambda: write(self._db(), statements)))

    async def dead(self, names: Sequence[str]) -> frozenset[str]:  # noqa: ARG002 - there is no other process
        return frozenset()

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget)
        self._thread.shutdown()

    async def _run(self, query: str, values: Sequence[Value]) -> Sequence[Row]:
        def work() -> Sequence[Row]:
            return self._db().execute(query, _named(values)).fetchall()

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = sqlite3.connect(":memory:", isolation_level=None)
            for statement in _TABLES:
                self._opened.execute(statement)
        return self._opened

    def _forget(self) -> None:
        if self._opened is not None:
            self._opened.close()


def write(db: sqlite3.Connection, statements: Sequence[Statement]) -> Sequence[Row]:
    rows: Sequence[Row] = []
    with transaction(db):
        for query, values in statements:
            rows = db.execute(query, _named(values)).fetchall()
    return rows


def _named(values: Sequence[Value]) -> dict[str, Value]:
    """`$1` and so on are names to SQLite."""
    return {str(n): value for n, value in enumerate(values, 1)}
