"""Answers of the response cache in one SQLite file, which the processes of one machine share.

Whatever is in it may be lost: a commit is not waited for (synchronous = NORMAL). Its bytes are counted by triggers, for
adding them up would take longer with each that is kept.
"""

import sqlite3
from pathlib import Path

from hoosh.core.cached import KeptAnswer
from hoosh.stores.sqlite.file import StoreFile, transaction
from hoosh.stores.sqlite.migrations import Migration

_ANSWERS: Migration = (
    """
    CREATE TABLE answers (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        asked TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        stored_s INTEGER NOT NULL,
        expires_s INTEGER NOT NULL,
        body BLOB NOT NULL,
        size_bytes INTEGER NOT NULL
    )
    """,
    "CREATE INDEX answers_over ON answers (expires_s) WHERE expires_s > 0",
    "CREATE INDEX answers_tenant ON answers (tenant)",
    "CREATE TABLE totals (size_bytes INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0)",
    """
    CREATE TRIGGER answers_more AFTER INSERT ON answers BEGIN
        UPDATE totals SET size_bytes = size_bytes + NEW.size_bytes;
    END
    """,
    """
    CREATE TRIGGER answers_fewer AFTER DELETE ON answers BEGIN
        UPDATE totals SET size_bytes = size_bytes - OLD.size_bytes;
    END
    """,
)
_GET = """
SELECT tenant, asked, provider, model, stored_s, expires_s, body FROM answers
WHERE key = ? AND (expires_s = 0 OR expires_s > ?)
"""
_PUT = """
INSERT INTO answers (key, tenant, asked, provider, model, stored_s, expires_s, body, size_bytes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_OVER = "DELETE FROM answers WHERE seq IN (SELECT seq FROM answers WHERE expires_s BETWEEN 1 AND ? LIMIT 64)"
_OLDEST = "DELETE FROM answers WHERE seq = (SELECT MIN(seq) FROM answers)"
_SIZE = "SELECT size_bytes FROM totals"
# GLOB has the brackets of a shell but for "[!", which it writes "[^".
_PURGE = """
DELETE FROM answers WHERE (?1 IS NULL OR tenant = ?1)
AND (asked GLOB ?2 OR model GLOB ?2 OR provider || '/' || model GLOB ?2)
"""


class SQLiteAnswers:
    """ports.AnswerStore."""

    def __init__(self, path: Path) -> None:
        self._file = StoreFile(path, (_ANSWERS,), synchronous="NORMAL")

    async def get(self, key: bytes, now_s: int) -> KeptAnswer | None:
        row = await self._file.run(lambda db: db.execute(_GET, (key, now_s)).fetchone())
        if row is None:
            return None
        tenant, asked, provider, model, stored_s, expires_s, body = row
        return KeptAnswer(
            key=key,
            tenant=tenant,
            asked=asked,
            provider=provider,
            model=model,
            stored_s=stored_s,
            expires_s=expires_s,
            body=body,
        )

    async def put(self, kept: KeptAnswer, max_bytes: int) -> None:
        await self._file.run(lambda db: _put(db, kept, max_bytes))

    async def purge(self, tenant: str | None, model: str) -> int:
        glob = model.replace("[!", "[^")
        return await self._file.run(lambda db: db.execute(_PURGE, (tenant, glob)).rowcount)

    async def close(self) -> None:
        await self._file.close()


def _put(db: sqlite3.Connection, kept: KeptAnswer, max_bytes: int) -> None:
    who = (kept.key, kept.tenant, kept.asked, kept.provider, kept.model)
    with transaction(db):
        db.execute("DELETE FROM answers WHERE key = ?", (kept.key,))
        db.execute(_OVER, (kept.stored_s,))
        db.execute(_PUT, (*who, kept.stored_s, kept.expires_s, kept.body, kept.size_bytes))
        while db.execute(_SIZE).fetchone()[0] > max_bytes:
            db.execute(_OLDEST)
