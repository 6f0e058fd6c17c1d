"""Records in `hoosh.db`: every process that opens the file sees them at once. Reading makes no file."""

import sqlite3
from collections.abc import Mapping

from hoosh.stores.sqlite.file import StoreFile, transaction

_GREW = "UPDATE meta SET value = value + 1 WHERE name = 'records_version'"


class SQLiteRecords:
    """ports.Records. The file may be another store's too; whoever made it closes it last."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    async def put(self, kind: str, identity: str, body: bytes) -> None:
        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.execute("INSERT OR REPLACE INTO records (kind, id, body) VALUES (?, ?, ?)", (kind, identity, body))
                db.execute(_GREW)

        await self._file.run(work)

    async def get_all(self, kind: str) -> Mapping[str, bytes]:
        def work(db: sqlite3.Connection) -> Mapping[str, bytes]:
            return dict(db.execute("SELECT id, body FROM records WHERE kind = ? ORDER BY id", (kind,)).fetchall())

        return await self._file.look(work, {})

    async def drop(self, kind: str, identity: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            with transaction(db):
                found = db.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, identity)).rowcount > 0
                if found:
                    db.execute(_GREW)
            return found

        return await self._file.run(work)

    async def version(self) -> int:
        def work(db: sqlite3.Connection) -> int:
            value: int = db.execute("SELECT value FROM meta WHERE name = 'records_version'").fetchone()[0]
            return value

        return await self._file.look(work, 0)

    async def close(self) -> None:
        await self._file.close()
