"""What `hoosh migrate` does to the file."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from hoosh.core.errors import StoreFailed
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.migrations import MIGRATIONS, Migration


async def migrate(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """As every gateway does when it first uses the file. Raises: StoreFailed."""
    file = StoreFile(path, migrations)
    try:
        await file.run(lambda _: None)
    finally:
        await file.close()


def pending(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """How many migrations the file has yet to get: all where there is none. Changes nothing.

    Raises: StoreFailed where it cannot be read, or a later hoosh has had it.
    """
    if not path.exists():
        return len(migrations)
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            (done,) = db.execute("PRAGMA user_version").fetchone()
        finally:
            db.close()
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(f"the store {path.name} failed: {error}") from error
    if done > len(migrations):
        raise StoreFailed(f"{path} was made by a later hoosh", code="storage_newer")
    return len(migrations) - int(done)
