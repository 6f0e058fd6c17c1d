"""Responses in one SQLite file, which is made when the first is kept or asked for.

One thread does all the work, so the event loop never waits for a disk. A write that was begun is finished even if
nobody waits for it any more, and is on disk (WAL, synchronous = NORMAL) before it is said to be done: the process may
die at any time, and only a crash of the whole machine may lose the last ones.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from hoosh.core.errors import StoreFailed
from hoosh.core.kept import Bounds, KeptResponse
from hoosh.ports import Clock

T = TypeVar("T")
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS responses (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    running INTEGER NOT NULL,
    response BLOB NOT NULL,
    context BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    UNIQUE (owner, id)
);
"""
_PUT = """
INSERT INTO responses (owner, id, created_s, running, response, context, size_bytes)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_GET = "SELECT created_s, running, response, context FROM responses WHERE owner = ? AND id = ? AND created_s > ?"
_TOTALS = "SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM responses"
_OLDEST = "SELECT seq, size_bytes, created_s FROM responses ORDER BY seq LIMIT 1"


class SQLiteResponses:
    """ports.Responses. One gateway at a time uses a file: what it finds running at its start has died with another."""

    def __init__(self, path: Path, bounds: Bounds, clock: Clock, died: Callable[[bytes], bytes]) -> None:
        """`died` makes of a response that was running one that failed."""
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._died = died
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="responses")
        self._opened: sqlite3.Connection | None = None
        # Counting in the file would take longer with each that is kept.
        self._entries = 0
        self._size_bytes = 0

    async def put(self, kept: KeptResponse) -> None:
        await self._do(lambda: self._put(kept))

    async def get(self, owner: str, response_id: str) -> KeptResponse | None:
        return await self._do(lambda: self._get(owner, response_id))

    async def drop(self, owner: str, response_id: str) -> bool:
        return await self._do(lambda: self._drop(owner, response_id))

    async def close(self) -> None:
        await self._do(self._close)
        self._thread.shutdown()

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(f"the store of responses failed: {error}") from error

    def _put(self, kept: KeptResponse) -> None:
        db = self._connection()
        try:
            self._write(db, kept)
        except sqlite3.Error:
            self._count(db)  # nothing was written, whatever was counted
            raise

    def _write(self, db: sqlite3.Connection, kept: KeptResponse) -> None:
        row = (kept.owner, kept.id, kept.created_s, kept.running, kept.response, kept.context, kept.size_bytes)
        with db:
            self._delete(db, "owner = ? AND id = ?", (kept.owner, kept.id))
            db.execute(_PUT, row)
            self._entries += 1
            self._size_bytes += kept.size_bytes
            while (oldest := db.execute(_OLDEST).fetchone()) and self._is_one_too_many(oldest[2]):
                self._delete(db, "seq = ?", (oldest[0],))

    def _count(self, db: sqlite3.Connection) -> None:
        self._entries, self._size_bytes = db.execute(_TOTALS).fetchone()

    def _is_one_too_many(self, created_s: int) -> bool:
        bounds = self._bounds
        return self._entries > bounds.entries or self._size_bytes > bounds.size_bytes or created_s <= self._horizon_s()

    def _delete(self, db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> None:
        row = db.execute(f"SELECT seq, size_bytes FROM responses WHERE {where}", values).fetchone()  # noqa: S608 - ours
        if row is not None:
            db.execute("DELETE FROM responses WHERE seq = ?", row[:1])
            self._entries -= 1
            self._size_bytes -= row[1]

    def _get(self, owner: str, response_id: str) -> KeptResponse | None:
        row = self._connection().execute(_GET, (owner, response_id, self._horizon_s())).fetchone()
        if row is None:
            return None
        created_s, running, response, context = row
        return KeptResponse(
            id=response_id,
            owner=owner,
            created_s=created_s,
            running=bool(running),
            response=response,
            context=context,
        )

    def _drop(self, owner: str, response_id: str) -> bool:
        found = self._get(owner, response_id) is not None
        with self._connection() as db:
            self._delete(db, "owner = ? AND id = ?", (owner, response_id))
        return found

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _horizon_s(self) -> int:
        return self._clock.unix_s() - self._bounds.age_s

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)  # conversations are nobody else's business
            db = sqlite3.connect(self._path)
            db.executescript(_SCHEMA)
            with db:
                for seq, response in db.execute("SELECT seq, response FROM responses WHERE running").fetchall():
                    died = self._died(response)
                    db.execute("UPDATE responses SET running = 0, response = ? WHERE seq = ?", (died, seq))
            self._count(db)
            self._opened = db
        return self._opened
