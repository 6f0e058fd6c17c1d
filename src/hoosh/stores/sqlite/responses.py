"""Responses in one SQLite file, which is made when the first is kept; any number of processes share it.

A write is on disk (WAL, synchronous = NORMAL) before it is said to be done: the process may die at any time, and only
a crash of the whole machine may lose the last ones. What runs in a process is marked with that process's name: whoever
finds it running asks whether that one lives.
"""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from hoosh.core.kept import Bounds, KeptResponse
from hoosh.ports import Clock
from hoosh.stores.presence import Presence
from hoosh.stores.sqlite.file import StoreFile, transaction
from hoosh.stores.sqlite.migrations import Migration

# Files were made with the first of these before any were counted, so it may find its table there.
_KEPT: Migration = (
    """
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
    )
    """,
)
# Counting them each time would take longer with each that is kept.
_SHARED: Migration = (
    "ALTER TABLE responses ADD COLUMN runner TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE responses ADD COLUMN ending INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX responses_ending ON responses (runner) WHERE ending = 1",
    "CREATE TABLE totals (entries INTEGER NOT NULL, size_bytes INTEGER NOT NULL)",
    "INSERT INTO totals SELECT COUNT(*), COALESCE(SUM(size_bytes), 0) FROM responses",
    """
    CREATE TRIGGER responses_more AFTER INSERT ON responses BEGIN
        UPDATE totals SET entries = entries + 1, size_bytes = size_bytes + NEW.size_bytes;
    END
    """,
    """
    CREATE TRIGGER responses_fewer AFTER DELETE ON responses BEGIN
        UPDATE totals SET entries = entries - 1, size_bytes = size_bytes - OLD.size_bytes;
    END
    """,
)
_PUT = """
INSERT INTO responses (owner, id, created_s, running, response, context, size_bytes, runner)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_GET = """
SELECT created_s, running, response, context, runner FROM responses WHERE owner = ? AND id = ? AND created_s > ?
"""
_DIED = "UPDATE responses SET running = 0, response = ? WHERE owner = ? AND id = ? AND running = 1 AND runner = ?"
_DROP = "DELETE FROM responses WHERE owner = ? AND id = ?"
_TOTALS = "SELECT entries, size_bytes FROM totals"
_OLDEST = "SELECT seq, created_s FROM responses ORDER BY seq LIMIT 1"
_END = "UPDATE responses SET ending = 1 WHERE owner = ? AND id = ? AND running = 1"
_ENDING = "SELECT owner, id FROM responses WHERE runner = ? AND ending = 1 AND running = 1"


class SQLiteResponses:
    """ports.Responses."""

    def __init__(self, path: Path, bounds: Bounds, clock: Clock, died: Callable[[bytes], bytes]) -> None:
        """`died` makes of a response that was running one that failed."""
        self._file = StoreFile(path, (_KEPT, _SHARED), synchronous="NORMAL")
        self._presence = Presence(path.with_suffix(".runners"), secrets.token_hex(8))
        self._bounds = bounds
        self._clock = clock
        self._died = died

    async def put(self, kept: KeptResponse) -> None:
        await self._file.run(lambda db: self._put(db, kept))

    async def get(self, owner: str, response_id: str) -> KeptResponse | None:
        return await self._file.look(lambda db: self._get(db, owner, response_id), None)

    async def drop(self, owner: str, response_id: str) -> bool:
        return await self._file.look(lambda db: self._drop(db, owner, response_id), otherwise=False)

    async def end(self, owner: str, response_id: str) -> bool:
        return await self._file.look(lambda db: self._end(db, owner, response_id), otherwise=False)

    async def ending(self) -> Sequence[tuple[str, str]]:
        return await self._file.look(lambda db: db.execute(_ENDING, (self._presence.name,)).fetchall(), ())

    async def close(self) -> None:
        await self._file.close()
        self._presence.leave()

    def _put(self, db: sqlite3.Connection, kept: KeptResponse) -> None:
        runner = ""
        if kept.running:
            self._presence.come()
            runner = self._presence.name
        row = (kept.owner, kept.id, kept.created_s, kept.running, kept.response, kept.context, kept.size_bytes, runner)
        with transaction(db):
            db.execute(_DROP, (kept.owner, kept.id))
            db.execute(_PUT, row)
            while (oldest := db.execute(_OLDEST).fetchone()) and self._is_one_too_many(db, oldest[1]):
                db.execute("DELETE FROM responses WHERE seq = ?", oldest[:1])

    def _is_one_too_many(self, db: sqlite3.Connection, created_s: int) -> bool:
        bounds = self._bounds
        entries, size_bytes = db.execute(_TOTALS).fetchone()
        return bool(entries > bounds.entries or size_bytes > bounds.size_bytes or created_s <= self._horizon_s())

    def _get(self, db: sqlite3.Connection, owner: str, response_id: str) -> KeptResponse | None:
        row = db.execute(_GET, (owner, response_id, self._horizon_s())).fetchone()
        if row is None:
            return None
        created_s, running, response, context, runner = row
        if running and runner != self._presence.name and self._presence.is_dead(runner):
            if not db.execute(_DIED, (self._died(response), owner, response_id, runner)).rowcount:
                return self._get(db, owner, response_id)  # its last word came just before its end
            running, response = False, self._died(response)
        return KeptResponse(
            id=response_id,
            owner=owner,
            created_s=created_s,
            running=bool(running),
            response=response,
            context=context,
        )

    def _drop(self, db: sqlite3.Connection, owner: str, response_id: str) -> bool:
        found = self._get(db, owner, response_id) is not None
        db.execute(_DROP, (owner, response_id))
        return found

    def _end(self, db: sqlite3.Connection, owner: str, response_id: str) -> bool:
        kept = self._get(db, owner, response_id)
        return kept is not None and kept.running and bool(db.execute(_END, (owner, response_id)).rowcount)

    def _horizon_s(self) -> int:
        return self._clock.unix_s() - self._bounds.age_s
