"""Everything that is in `hoosh.db`, for another store. While it is read nobody else writes to the file."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from hoosh.core.errors import StoreFailed
from hoosh.stores.sqlite.file import connect, transaction

# In this order, so that what refers to a gateway comes after it.
TABLES = ("gateways", "lines", "buckets", "holds", "leases", "carried", "usage", "records")


class Table(msgspec.Struct, frozen=True):
    name: str
    columns: Sequence[str]
    rows: Iterator[tuple[object, ...]]


class Outgo(msgspec.Struct, frozen=True):
    """`clock_ms` is what the ledger's clock has shown last. The rows are read as they are asked for, once."""

    tables: Sequence[Table]
    counts: Mapping[str, int]
    records_version: int
    clock_ms: int


@contextmanager
def leaving(path: Path) -> Iterator[Outgo]:
    """Raises: StoreFailed where gateways still use the file, or it cannot be read."""
    try:
        db = connect(path)
        try:
            with transaction(db):
                yield _all_of(db, path)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreFailed(f"the store {path.name} failed: {error}") from error


def _all_of(db: sqlite3.Connection, path: Path) -> Outgo:
    (clock_ms,) = db.execute("SELECT now_ms FROM ledger").fetchone()
    now_ms = max(clock_ms, time.time_ns() // 1_000_000)
    (alive,) = db.execute("SELECT count(*) FROM gateways WHERE until_ms > ?", (now_ms,)).fetchone()
    if alive:
        raise StoreFailed(
            f"{alive} gateways use {path.name}, or did a moment ago: stop them, or wait for store.lease_s",
            code="storage_locked",
        )
    counts = {name: int(db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in TABLES}  # noqa: S608 - ours
    (version,) = db.execute("SELECT value FROM meta WHERE name = 'records_version'").fetchone()
    return Outgo([_table(db, name) for name in TABLES], counts, version, clock_ms)


def _table(db: sqlite3.Connection, name: str) -> Table:
    found = db.execute(f"SELECT * FROM {name}")  # noqa: S608 - ours
    return Table(name, [column[0] for column in found.description], found)
