"""One SQLite file and the one thread that works on it.

The event loop never waits for a disk, and what was begun is finished even if nobody waits for it any more. A commit is
on disk before it is said to be done (WAL, synchronous = FULL). Several processes may open the file, also a new one, at
once; it must be on a local disk, for SQLite's WAL needs memory that all of them share (sqlite.org/wal.html, 2026-11).
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

from hoosh.core.errors import StoreFailed
from hoosh.stores.sqlite.migrations import MIGRATIONS, Migration

T = TypeVar("T")
# How long one process waits for another's transaction.
BUSY_MS = 5_000
_CODES = {
    sqlite3.SQLITE_FULL: "storage_full",
    sqlite3.SQLITE_BUSY: "storage_locked",
    sqlite3.SQLITE_LOCKED: "storage_locked",
    sqlite3.SQLITE_READONLY: "storage_read_only",
    sqlite3.SQLITE_CORRUPT: "storage_corrupt",
    sqlite3.SQLITE_NOTADB: "storage_corrupt",
    sqlite3.SQLITE_IOERR: "storage_io_error",
    sqlite3.SQLITE_CANTOPEN: "storage_unreachable",
    sqlite3.SQLITE_PERM: "storage_unreachable",
}
# After these the connection is as good as before; after anything else a new one is made.
_PASSING = frozenset({"storage_full", "storage_locked"})


class StoreFile:
    """The file is made and brought up to date by the first work. `run` and `close` are for the event loop; what `run`
    is given may do anything with the connection, in explicit transactions (`transaction`): it is in autocommit mode.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[Migration] = MIGRATIONS,
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
    ) -> None:
        """With `synchronous` NORMAL a commit outlives the process, and perhaps not a crash of the machine."""
        self.path = path
        self._synchronous = synchronous
        self._migrations = migrations
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._opened: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` makes of the connection, in the thread. A transaction that it leaves open is rolled back.

        Raises: StoreFailed, whose `code` says what is the matter; and whatever else `work` raises.
        """
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._do, work))

    async def look(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """As `run`; `otherwise` where there is no file yet, and then none is made."""
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._thread, self._look, work, otherwise)
        )

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._forget)
        self._thread.shutdown()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._opened is None:
                self._opened = connect(self.path, self._migrations)
                self._opened.execute(f"PRAGMA synchronous = {self._synchronous}")
            try:
                return work(self._opened)
            finally:
                if self._opened.in_transaction:
                    self._opened.execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:
            failed = _failed(self.path, error)
            if failed.code not in _PASSING:
                self._forget()
            raise failed from error

    def _look(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        if self._opened is None:
            try:
                self.path.stat()
            except FileNotFoundError:
                return otherwise
            except OSError as error:
                raise _failed(self.path, error) from error
        return self._do(work)

    def _forget(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. It takes the file's one write lock at once, so that what it reads stays true until its end."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # some errors, a full disk among them, have rolled back already
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def connect(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """A connection to the file, which is made where there is none, with every migration done.

    Raises: StoreFailed where a later hoosh has had the file; sqlite3.Error, OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # SQLite gives the files beside it the same mode
    db = sqlite3.connect(path, timeout=BUSY_MS / 1e3, isolation_level=None)
    try:
        _enter_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        _migrate(db, path, migrations)
    except BaseException:
        db.close()
        raise
    return db


def _enter_wal(db: sqlite3.Connection) -> None:
    """The change of mode does not wait for the lock as everything else does (sqlite.org/rescode.html#busy)."""
    deadline = time.monotonic() + BUSY_MS / 1e3
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != "storage_locked" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    while True:
        at = _version(db)
        if at > len(migrations):
            raise StoreFailed(
                f"{path} was made by a later hoosh (its version is {at}, this one knows {len(migrations)}): "
                "run that one, or set HOOSH_HOME to another folder",
                code="storage_newer",
            )
        if at == len(migrations):
            return
        with transaction(db):
            if _version(db) != at:  # another process has been here meanwhile
                continue
            for statement in migrations[at]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {at + 1}")


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _failed(path: Path, error: sqlite3.Error | OSError) -> StoreFailed:
    return StoreFailed(f"the store {path.name} failed: {error}", code=_code(error))


def _code(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return "storage_unreachable"
    # The low byte is the kind of error, the rest of it the detail (sqlite.org/rescode.html).
    return _CODES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "store_failed")
