"""The ledger in this process: the plainest reading of ports.Ledger, and what all other stores are compared with.

Gone at the end of the process. No await stands between a check and its set.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from hoosh.core.booking import expired, leased, over, remaining, told, usage_key, usage_with
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import (
    CLOSED,
    NOTHING,
    RANK,
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

_replace = msgspec.structs.replace


class _Gateway(msgspec.Struct):
    until_ms: int
    journalled: bool


class _Leased(msgspec.Struct):
    granted: Amount = NOTHING
    active: Amount = NOTHING
    recalled: bool = False


class _Bucket(msgspec.Struct):
    committed: Amount = NOTHING
    overrun: Amount = NOTHING
    pruned: Amount = NOTHING


class MemoryLedger:
    """ports.Ledger."""

    def __init__(self, now_ms: Callable[[], int], epoch: str = "memory") -> None:
        self._now_ms = now_ms
        self._epoch = epoch
        self._gateways: dict[str, _Gateway] = {}
        self._lines: dict[str, Line] = {}
        self._open: dict[str, Line] = {}
        self._buckets: dict[str, dict[int, _Bucket]] = {}
        self._leases: dict[tuple[str, int], dict[str, _Leased]] = {}
        self._carried: dict[tuple[str, int], Amount] = {}
        self._sums: dict[UsageKey, UsageSum] = {}

    async def open(self) -> str:
        return self._epoch

    async def close(self) -> None:
        """Nothing is open."""

    async def sync(self, batch: Batch) -> Reply:
        if batch.epoch != self._epoch:
            raise StoreFailed("the ledger was replaced by another", code="store_replaced")
        now_ms = self._now_ms()
        self._gateways[batch.gateway] = _Gateway(now_ms + batch.lease_ms, batch.journalled)
        for line in batch.lines:
            self._book(line)
        leases = tuple(self._lease(batch.gateway, wish) for wish in batch.leases)
        named = {(wish.pool, wish.window_s) for wish in batch.leases}
        recalled = tuple(
            where
            for where, by in self._leases.items()
            if where not in named and (lease := by.get(batch.gateway)) is not None and _taken_back(lease)
        )
        alive = sum(1 for gateway in self._gateways.values() if gateway.until_ms > now_ms)
        return Reply(now_ms=now_ms, gateways=alive, leases=leases, recalled=recalled)

    async def sweep(self) -> int:
        now_ms = self._now_ms()
        alive = {name for name, gateway in self._gateways.items() if gateway.until_ms > now_ms}
        over = [
            line
            for line in self._open.values()
            if (line.expires_ms <= now_ms if not line.gateway else line.gateway not in alive)
        ]
        for line in over:
            self._expire(line, now_ms)
        for name in self._gateways.keys() - alive:
            if not self._gateways[name].journalled:
                self._end(name)
        return len(over)

    async def reconcile(self, gateway: str) -> None:
        now_ms = self._now_ms()
        for line in [line for line in self._open.values() if line.gateway == gateway]:
            self._expire(line, now_ms)
        self._end(gateway)

    async def carry(self, pool: str, bucket_s: int, extra: Amount) -> Amount:
        return self._carried.setdefault((pool, bucket_s), extra)

    async def standing(self, asked: Sequence[Asked]) -> Sequence[Standing]:
        return [self._standing(one) for one in asked]

    async def line(self, line_id: str) -> Line | None:
        return self._lines.get(line_id)

    async def usage(self, from_day_s: int, to_day_s: int) -> Sequence[tuple[UsageKey, UsageSum]]:
        return [(key, total) for key, total in self._sums.items() if from_day_s <= key.day_s < to_day_s]

    async def prune(self, before_ms: int) -> int:
        old = [line for line in self._lines.values() if RANK[line.state] >= CLOSED and line.settled_ms < before_ms]
        for line in old:
            del self._lines[line.id]
            for scope in line.scopes:
                bucket = self._buckets[scope.pool][scope.bucket_s]
                bucket.pruned += line.used
        return len(old)

    async def audit(self) -> Audit:
        sums: dict[tuple[str, int], Amount] = {}
        for line in self._lines.values():
            for scope in line.scopes:
                at = (scope.pool, scope.bucket_s)
                sums[at] = sums.get(at, NOTHING) + line.used
        books = tuple(
            PoolBooks(
                pool=pool,
                bucket_s=bucket_s,
                committed=bucket.committed,
                lines=sums.get((pool, bucket_s), NOTHING) + bucket.pruned,
                overrun=bucket.overrun,
            )
            for pool, buckets in self._buckets.items()
            for bucket_s, bucket in buckets.items()
        )
        leases = tuple(
            (gateway, pool, window_s, lease.granted)
            for (pool, window_s), by in self._leases.items()
            for gateway, lease in by.items()
        )
        opened = tuple(
            OpenLine(
                id=line.id,
                state=line.state,
                gateway=line.gateway,
                scopes=line.scopes,
                held=line.held,
                until_ms=self._until_ms(line),
            )
            for line in self._open.values()
        )
        return Audit(now_ms=self._now_ms(), books=books, leases=leases, open_lines=opened)

    def _until_ms(self, line: Line) -> int:
        if not line.gateway:
            return line.expires_ms
        gateway = self._gateways.get(line.gateway)
        return gateway.until_ms if gateway else 0

    def _book(self, line: Line) -> None:
        known = self._lines.get(line.id)
        if (news := told(known, line)) is not None:
            self._put(known, news)

    def _put(self, known: Line | None, line: Line) -> None:
        self._lines[line.id] = line
        if RANK[line.state] < CLOSED:
            self._open[line.id] = line
            return
        self._open.pop(line.id, None)
        was = known.used if known is not None else NOTHING
        was_over = over(was, line.held)
        for scope in line.scopes:
            bucket = self._buckets.setdefault(scope.pool, {}).setdefault(scope.bucket_s, _Bucket())
            bucket.committed += line.used - was
            bucket.overrun += over(line.used, line.held) - was_over
        self._sum(known, line)

    def _sum(self, known: Line | None, line: Line) -> None:
        if known is not None and known.state == "estimated":
            self._add(known, -1)
        if line.state != "voided":
            self._add(line, 1)

    def _add(self, line: Line, sign: int) -> None:
        key = usage_key(line)
        self._sums[key] = usage_with(self._sums.get(key, UsageSum()), line, sign)

    def _expire(self, line: Line, now_ms: int) -> None:
        self._put(line, expired(line, now_ms))

    def _end(self, gateway: str) -> None:
        self._gateways.pop(gateway, None)
        for by in self._leases.values():
            by.pop(gateway, None)

    def _lease(self, gateway: str, wish: LeaseWish) -> Lease:
        by = self._leases.setdefault((wish.pool, wish.window_s), {})
        mine = by.pop(gateway, _Leased())
        left = self._left(wish.pool, wish.window_s, wish.since_s, wish.ceiling)
        granted = leased(mine.granted, wish, left)
        idle = _total(other.granted - other.active for other in by.values()).join(NOTHING)
        if wish.urgent:
            for other in by.values():
                other.recalled = True
        if granted != NOTHING:
            by[gateway] = _Leased(granted, wish.active)
        return Lease(wish.pool, wish.window_s, granted, remaining(left, granted), idle, mine.recalled)

    def _left(self, pool: str, window_s: int, since_s: int, ceiling: Amount) -> Amount:
        """Of the ceiling; UNLIMITED without one."""
        taken = self._committed(pool, since_s)
        taken += _total(lease.granted for lease in self._leases.get((pool, window_s), {}).values())
        taken += self._held(pool, window_s, own=True)
        return remaining(ceiling, taken)

    def _committed(self, pool: str, since_s: int) -> Amount:
        return _total(
            bucket.committed for bucket_s, bucket in self._buckets.get(pool, {}).items() if bucket_s >= since_s
        )

    def _held(self, pool: str, window_s: int, *, own: bool) -> Amount:
        return _total(
            line.held
            for line in self._open.values()
            if (not own or not line.gateway)
            for scope in line.scopes
            if scope.pool == pool and scope.window_s == window_s
        )

    def _standing(self, asked: Asked) -> Standing:
        by = self._leases.get((asked.pool, asked.window_s), {})
        now_ms = self._now_ms()
        dead = (lease.granted for name, lease in by.items() if self._gateways[name].until_ms <= now_ms)
        return Standing(
            committed=self._committed(asked.pool, asked.since_s),
            held=self._held(asked.pool, asked.window_s, own=False),
            leased=_total(lease.granted for lease in by.values()),
            stranded=_total(dead),
        )


def _taken_back(lease: _Leased) -> bool:
    was, lease.recalled = lease.recalled, False
    return was


def _total(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, NOTHING)
