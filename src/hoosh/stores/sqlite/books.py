"""Lines on their way into the books: what one transaction changes is summed up here first, and written once."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from hoosh.core.booking import DAY_S, expired, over, told, usage_key, usage_with
from hoosh.core.ledger import CLOSED, RANK, Amount, Line, Scope, UsageSum
from hoosh.stores.sqlite import rows
from hoosh.stores.sqlite import statements as sql

_UsageKey = tuple[int, str, str, str, str, str, str]
_K = TypeVar("_K")
_OPEN = frozenset(state for state, rank in RANK.items() if rank < CLOSED)
_DAY_MS = DAY_S * 1000


class Changes:
    """Sums by bucket, by window of the store's own holds, and by usage key."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, int], tuple[int, ...]] = {}
        self._holds: dict[tuple[str, int], tuple[int, ...]] = {}
        self._usage: dict[tuple[object, ...], tuple[int, ...]] = {}

    def hold(self, line: Line, sign: int) -> None:
        held = line.held
        for scope in line.scopes:
            delta = (sign * held.tokens, sign * held.micros, sign * held.audio_ms)
            _add(self._holds, (scope.pool, scope.window_s), delta)

    def move(self, known: Line, news: Line) -> None:
        """A line that was known became another."""
        if not known.gateway and RANK[known.state] < CLOSED:
            self.hold(known, -1)
        if RANK[news.state] < CLOSED:
            if not news.gateway:
                self.hold(news, 1)
            return
        beyond = over(news.used, news.held) - over(known.used, news.held)
        self._charge(news.scopes, news.used - known.used, beyond)
        if known.state == "estimated":
            self._count(known, -1)
        if news.state != "voided":
            self._count(news, 1)

    def charge(self, scopes: tuple[Scope, ...], lines: Sequence[Line]) -> None:
        """Lines with the same scopes that were never known before they were closed."""
        used, held = [line.used for line in lines], [line.held for line in lines]
        spent = Amount(sum([u.tokens for u in used]), sum([u.micros for u in used]), sum([u.audio_ms for u in used]))
        pairs = list(zip(used, held, strict=True))
        beyond = Amount(
            sum([more for u, h in pairs if (more := u.tokens - h.tokens) > 0]),
            sum([more for u, h in pairs if (more := u.micros - h.micros) > 0]),
            sum([more for u, h in pairs if (more := u.audio_ms - h.audio_ms) > 0]),
        )
        self._charge(scopes, spent, beyond)

    def count(self, key: _UsageKey, lines: Sequence[Line]) -> None:
        """Booked lines of one usage key. A column at a time: most of the work is then in C."""
        if len(lines) == 1:
            self._count(lines[0], 1)
            return
        used = [line.used for line in lines]
        total = (
            len(lines) - sum([line.absorbed for line in lines]),
            len(lines),
            sum([line.cache_hit for line in lines]),
            sum([line.estimated for line in lines]),
            sum([line.priced == "unknown" for line in lines]),
            sum([line.input for line in lines]),
            sum([line.cached for line in lines]),
            sum([line.cache_write for line in lines]),
            sum([line.output for line in lines]),
            sum([line.reasoning for line in lines]),
            sum([u.tokens for u in used]),
            sum([u.micros for u in used]),
            sum([u.audio_ms for u in used]),
        )
        _add(self._usage, key, total)

    def write(self, db: sqlite3.Connection) -> None:
        for adds, sums in ((sql.ADD_BUCKET, self._buckets), (sql.ADD_HOLD, self._holds), (sql.ADD_USAGE, self._usage)):
            if sums:
                db.executemany(adds, [(*key, *total) for key, total in sums.items()])

    def _charge(self, scopes: Iterable[Scope], used: Amount, beyond: Amount) -> None:
        delta = (used.tokens, used.micros, used.audio_ms, beyond.tokens, beyond.micros, beyond.audio_ms)
        for scope in scopes:
            _add(self._buckets, (scope.pool, scope.bucket_s), delta)

    def _count(self, line: Line, sign: int) -> None:
        total = usage_with(UsageSum(), line, sign)
        _add(self._usage, msgspec.structs.astuple(usage_key(line)), msgspec.structs.astuple(total))


def book(db: sqlite3.Connection, lines: Sequence[Line]) -> None:
    """Book what is news of these lines. Most are told once in their life, when they are closed: so they are inserted
    first, and looked for only if some were there.
    """
    changes = Changes()
    times = Counter([line.id for line in lines])
    once = lines if len(times) == len(lines) else [line for line in lines if times[line.id] == 1]
    (last,) = db.execute(sql.LAST_LINE).fetchone()
    groups = _by_scopes(once)
    if _insert(db, groups) < len(lines):
        known = rows.known(db, list(times), last or 0)
        groups = _by_scopes([line for line in once if line.id not in known])
        rest = [line for line in lines if line.id in known or times[line.id] > 1]
        _book_again(db, known, rest, changes)
    _charge(groups, changes)
    changes.write(db)


def expire(db: sqlite3.Connection, lines: Sequence[Line], now_ms: int) -> None:
    """Close open lines whose time is over."""
    changes = Changes()
    gone = [(line, expired(line, now_ms)) for line in lines]
    for line, news in gone:
        changes.move(line, news)
    _update(db, [news for _, news in gone])
    changes.write(db)


def _by_scopes(lines: Iterable[Line]) -> dict[tuple[Scope, ...], list[Line]]:
    groups: dict[tuple[Scope, ...], list[Line]] = {}
    for line in lines:
        if (group := groups.get(line.scopes)) is None:
            groups[line.scopes] = [line]
        else:
            group.append(line)
    return groups


def _insert(db: sqlite3.Connection, groups: Mapping[tuple[Scope, ...], Sequence[Line]]) -> int:
    """How many were not there."""
    before = db.total_changes
    for scopes, lines in groups.items():
        db.executemany(sql.INSERT_LINE, rows.rows_of(lines, rows.scopes_text(scopes)))
    return db.total_changes - before


def _charge(groups: Mapping[tuple[Scope, ...], Sequence[Line]], changes: Changes) -> None:
    """Lines that were inserted."""
    for scopes, lines in groups.items():
        if closed := [line for line in lines if line.state not in _OPEN]:
            changes.charge(scopes, closed)
            _count(scopes[0].pool, closed, changes)
        if len(closed) < len(lines):
            for line in lines:
                if line.state in _OPEN and not line.gateway:
                    changes.hold(line, 1)


def _count(pool: str, lines: Sequence[Line], changes: Changes) -> None:
    groups: dict[_UsageKey, list[Line]] = {}
    for line in lines:
        if line.state == "voided":
            continue
        day_s = line.reserved_ms // _DAY_MS * DAY_S
        key = (day_s, line.key, line.agent, pool, line.provider, line.model, line.operation)
        if (group := groups.get(key)) is None:
            groups[key] = [line]
        else:
            group.append(line)
    for key, group in groups.items():
        changes.count(key, group)


def _book_again(db: sqlite3.Connection, known: dict[str, Line], lines: Sequence[Line], changes: Changes) -> None:
    """Lines that are known, or that a batch tells more than once, in the order of telling."""
    latest = dict(known)
    for line in lines:
        before = latest.get(line.id)
        if (news := told(before, line)) is None:
            continue
        if before is None:
            groups = _by_scopes((news,))
            _insert(db, groups)
            _charge(groups, changes)
        else:
            changes.move(before, news)
        latest[line.id] = news
    _update(db, [news for name, news in latest.items() if known.get(name) is not news])


def _update(db: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        db.executemany(sql.UPDATE_LINE, rows.rows_of((line,), rows.scopes_text(line.scopes)))


def _add(sums: dict[_K, tuple[int, ...]], key: _K, delta: tuple[int, ...]) -> None:
    before = sums.get(key)
    sums[key] = delta if before is None else tuple(a + b for a, b in zip(before, delta, strict=True))
