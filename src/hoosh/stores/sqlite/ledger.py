"""The ledger in `hoosh.db`, for any number of processes of one machine.

**Its clock** is the machine's own, made to run forwards only: every transaction keeps the time it saw. Where the
machine's clock is behind that (it was set back, or had been ahead), the store's runs at half speed until the two meet.
So no lease that ran out comes back to life, and none lives longer than twice its time. A clock that leaps ahead ends
leases early: then lines expire at what they held, and their usage corrects them when it comes.

**A step** is one transaction that holds the file's write lock from its beginning, so what it has read stays true.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from hoosh.core.booking import leased, remaining
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import (
    NOTHING,
    Amount,
    Asked,
    Audit,
    Batch,
    Lease,
    LeaseWish,
    Line,
    OpenLine,
    PoolBooks,
    Reply,
    Standing,
    UsageKey,
    UsageSum,
)
from hoosh.stores.sqlite import rows
from hoosh.stores.sqlite import statements as sql
from hoosh.stores.sqlite.books import book, expire
from hoosh.stores.sqlite.file import StoreFile, transaction

T = TypeVar("T")
# How long a step waits for other processes' steps before it gives up; each try waits file.BUSY_MS.
PATIENCE_S = 15.0


class SQLiteLedger:
    """ports.Ledger."""

    def __init__(
        self,
        file: StoreFile,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`wall_ms` is the machine's clock: the same for all processes on the file."""
        self._file = file
        self._wall_ms = wall_ms
        self._patience_s = patience_s
        self._seen: sqlite3.Connection | None = None
        self._inode = 0

    async def open(self) -> str:
        return await self._read(lambda db, _: _epoch(db))

    async def close(self) -> None:
        await self._file.close()

    async def sync(self, batch: Batch) -> Reply:
        return await self._write(lambda db, now_ms: _sync(db, batch, now_ms))

    async def sweep(self) -> int:
        """Mostly there is nothing to do, and then nothing is written: an idle machine's disk may sleep."""
        is_due = await self._read(lambda db, now_ms: db.execute(sql.DUE, (now_ms,)).fetchone() is not None)
        return await self._write(_sweep) if is_due else 0

    async def reconcile(self, gateway: str) -> None:
        def work(db: sqlite3.Connection, now_ms: int) -> None:
            found = db.execute(f"{sql.LINES} WHERE {sql.OPEN} AND gateway = ?", (gateway,))
            expire(db, list(rows.lines_of(found)), now_ms)
            _end(db, [gateway])

        await self._write(work)

    async def carry(self, pool: str, bucket_s: int, extra: Amount) -> Amount:
        def work(db: sqlite3.Connection, _: int) -> Amount:
            row = (pool, bucket_s, *msgspec.structs.astuple(extra))
            db.execute("INSERT OR IGNORE INTO carried VALUES (?, ?, ?, ?, ?)", row)
            found = db.execute(
                "SELECT tokens, micros, audio_ms FROM carried WHERE pool = ? AND bucket_s = ?", (pool, bucket_s)
            )
            return Amount(*found.fetchone())

        return await self._write(work)

    async def standing(self, asked: Sequence[Asked]) -> Sequence[Standing]:
        return await self._read(lambda db, now_ms: _standings(db, asked, now_ms))

    async def line(self, line_id: str) -> Line | None:
        return await self._read(lambda db, _: rows.known(db, (line_id,)).get(line_id))

    async def usage(self, from_day_s: int, to_day_s: int) -> Sequence[tuple[UsageKey, UsageSum]]:
        found = await self._read(lambda db, _: db.execute(sql.USAGE, (from_day_s, to_day_s)).fetchall())
        split = len(UsageKey.__struct_fields__)
        return [(UsageKey(*row[:split]), UsageSum(*row[split:])) for row in found]

    async def prune(self, before_ms: int) -> int:
        """In several transactions, each of which leaves the books right."""
        total = 0
        while count := await self._write(lambda db, _: _prune(db, before_ms)):
            total += count
        return total

    async def audit(self) -> Audit:
        return await self._read(_audit)

    async def _write(self, work: Callable[[sqlite3.Connection, int], T]) -> T:
        def step(db: sqlite3.Connection) -> T:
            self._stay(db)
            deadline = time.monotonic() + self._patience_s
            while True:
                try:
                    with transaction(db):
                        return work(db, _tick(db, self._wall_ms()))
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                        raise
                    if time.monotonic() >= deadline:
                        raise StoreFailed("the ledger is busy: other processes hold it", code="store_slow") from error

        return await self._file.run(step)

    async def _read(self, work: Callable[[sqlite3.Connection, int], T]) -> T:
        """All that is read in one of these was true at the same moment."""

        def step(db: sqlite3.Connection) -> T:
            self._stay(db)
            db.execute("BEGIN")
            try:
                _, *clock = db.execute(sql.CLOCK).fetchone()
                return work(db, _time_ms(self._wall_ms(), *clock))
            finally:
                db.execute("ROLLBACK")

        return await self._file.run(step)

    def _stay(self, db: sqlite3.Connection) -> None:
        """SQLite goes on in a file that was moved or removed, where nobody would find the lines again.

        Raises: FileNotFoundError.
        """
        inode = os.stat(self._file.path).st_ino  # noqa: PTH116 - twice as fast, and paid by each step
        if self._seen is not db:
            self._seen, self._inode = db, inode
        elif inode != self._inode:
            raise FileNotFoundError(f"{self._file.path} is another file now")


def _epoch(db: sqlite3.Connection) -> str:
    epoch: str = db.execute(sql.CLOCK).fetchone()[0]
    return epoch


def _time_ms(wall_ms: int, last_wall_ms: int, last_ms: int) -> int:
    """The store's time, from the machine's clock now and both at the last transaction."""
    if wall_ms >= last_ms:
        return wall_ms
    return last_ms + max(0, wall_ms // 2 - last_wall_ms // 2)  # halves first: so no step of 1 ms is lost


def _tick(db: sqlite3.Connection, wall_ms: int) -> int:
    _, last_wall_ms, last_ms = db.execute(sql.CLOCK).fetchone()
    now_ms = _time_ms(wall_ms, last_wall_ms, last_ms)
    db.execute("UPDATE ledger SET wall_ms = ?, now_ms = ?", (wall_ms, now_ms))
    return now_ms


def _sync(db: sqlite3.Connection, batch: Batch, now_ms: int) -> Reply:
    if batch.epoch != _epoch(db):
        raise StoreFailed("the ledger was replaced by another", code="store_replaced")
    db.execute(sql.RENEW, (batch.gateway, now_ms + batch.lease_ms, batch.journalled))
    if batch.lines:
        book(db, batch.lines)
    leases = tuple([_lease(db, batch.gateway, wish) for wish in batch.leases])
    recalled = _recalled(db, batch)
    (alive,) = db.execute(sql.ALIVE, (now_ms,)).fetchone()
    return Reply(now_ms=now_ms, gateways=alive, leases=leases, recalled=recalled)


def _lease(db: sqlite3.Connection, gateway: str, wish: LeaseWish) -> Lease:
    at = (wish.pool, wish.window_s, gateway)
    mine = db.execute(sql.MINE, at).fetchone()
    taken = db.execute(sql.TAKEN, (wish.pool, wish.since_s, wish.window_s, gateway)).fetchone()
    left = remaining(wish.ceiling, rows.amount(taken))
    granted = leased(Amount(*mine[:3]) if mine else NOTHING, wish, left)
    idle = rows.amount(db.execute(sql.IDLE, at).fetchone()).join(NOTHING)
    if wish.urgent:
        db.execute(sql.RECALL, at)
    if granted != NOTHING:
        db.execute(sql.GRANT, (*at, *msgspec.structs.astuple(granted), *msgspec.structs.astuple(wish.active)))
    elif mine:
        db.execute("DELETE FROM leases WHERE pool = ? AND window_s = ? AND gateway = ?", at)
    recalled = bool(mine and mine[3])
    return Lease(wish.pool, wish.window_s, granted, remaining(left, granted), idle, recalled)


def _recalled(db: sqlite3.Connection, batch: Batch) -> tuple[tuple[str, int], ...]:
    """What others want back of leases that the batch does not name; said once."""
    named = {(wish.pool, wish.window_s) for wish in batch.leases}
    told = tuple([where for where in db.execute(sql.RECALLED, (batch.gateway,)) if where not in named])
    for where in told:
        db.execute(
            "UPDATE leases SET recalled = 0 WHERE pool = ? AND window_s = ? AND gateway = ?", (*where, batch.gateway)
        )
    return told


def _sweep(db: sqlite3.Connection, now_ms: int) -> int:
    over = list(rows.lines_of(db.execute(sql.OVER, (now_ms,))))
    expire(db, over, now_ms)
    _end(db, [name for (name,) in db.execute(sql.DEAD, (now_ms,)).fetchall()])
    db.execute("DELETE FROM holds WHERE tokens = 0 AND micros = 0 AND audio_ms = 0")
    return len(over)


def _end(db: sqlite3.Connection, gateways: Sequence[str]) -> None:
    names = [(name,) for name in gateways]
    db.executemany("DELETE FROM leases WHERE gateway = ?", names)
    db.executemany("DELETE FROM gateways WHERE name = ?", names)


def _standings(db: sqlite3.Connection, asked: Sequence[Asked], now_ms: int) -> list[Standing]:
    held: dict[tuple[str, int], Amount] = {}
    for text, *parts in db.execute(sql.HELD):
        for scope in rows.scopes_of(text):
            at = (scope.pool, scope.window_s)
            held[at] = held.get(at, NOTHING) + Amount(*parts)
    return [_standing(db, one, held.get((one.pool, one.window_s), NOTHING), now_ms) for one in asked]


def _standing(db: sqlite3.Connection, asked: Asked, held: Amount, now_ms: int) -> Standing:
    committed = rows.amount(db.execute(sql.COMMITTED, (asked.pool, asked.since_s)).fetchone())
    leased_in_all = stranded = NOTHING
    for *parts, alive in db.execute(sql.LEASED, (asked.pool, asked.window_s, now_ms)):
        leased_in_all += Amount(*parts)
        stranded += NOTHING if alive else Amount(*parts)
    return Standing(committed=committed, held=held, leased=leased_in_all, stranded=stranded)


def _prune(db: sqlite3.Connection, before_ms: int) -> int:
    old = db.execute(sql.OLD, (before_ms,)).fetchall()
    gone: dict[tuple[str, int], Amount] = {}
    for _, text, *parts in old:
        for scope in rows.scopes_of(text):
            at = (scope.pool, scope.bucket_s)
            gone[at] = gone.get(at, NOTHING) + Amount(*parts)
    db.executemany(sql.PRUNE, [(*msgspec.structs.astuple(sums), *at) for at, sums in gone.items()])
    db.executemany("DELETE FROM lines WHERE rowid = ?", [row[:1] for row in old])
    return len(old)


def _audit(db: sqlite3.Connection, now_ms: int) -> Audit:
    return Audit(now_ms=now_ms, books=_books(db), leases=_leases(db), open_lines=_open_lines(db))


def _books(db: sqlite3.Connection) -> tuple[PoolBooks, ...]:
    sums: dict[tuple[str, int], Amount] = {}
    for text, *parts in db.execute(sql.SPENT):
        for scope in rows.scopes_of(text):
            at = (scope.pool, scope.bucket_s)
            sums[at] = sums.get(at, NOTHING) + Amount(*parts)
    return tuple(
        PoolBooks(
            pool=pool,
            bucket_s=bucket_s,
            committed=Amount(*parts[:3]),
            overrun=Amount(*parts[3:6]),
            lines=sums.get((pool, bucket_s), NOTHING) + Amount(*parts[6:]),
        )
        for pool, bucket_s, *parts in db.execute("SELECT * FROM buckets")
    )


def _leases(db: sqlite3.Connection) -> tuple[tuple[str, str, int, Amount], ...]:
    found = db.execute("SELECT gateway, pool, window_s, granted_tokens, granted_micros, granted_audio_ms FROM leases")
    return tuple((gateway, pool, window_s, Amount(*parts)) for gateway, pool, window_s, *parts in found)


def _open_lines(db: sqlite3.Connection) -> tuple[OpenLine, ...]:
    until = dict(db.execute("SELECT name, until_ms FROM gateways"))
    return tuple(
        OpenLine(
            id=line.id,
            state=line.state,
            gateway=line.gateway,
            scopes=line.scopes,
            held=line.held,
            until_ms=until.get(line.gateway, 0) if line.gateway else line.expires_ms,
        )
        for line in rows.lines_of(db.execute(f"{sql.LINES} WHERE {sql.OPEN}"))
    )
