"""The ledger in Valkey or Redis. The rules run there, in `ledger.lua`: a step is one script.

Its clock is the server's. Numbers are doubles there, exact up to 2^53: no ceiling counts for more, nor does a line.
"""

import secrets
from collections.abc import Sequence
from itertools import count

import msgspec

from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import Amount, Asked, Audit, Batch, LeaseWish, Line, Reply, Standing, UsageKey, UsageSum
from hoosh.core.pool import MOST
from hoosh.stores.redis.keyspace import Keyspace

_MOST = Amount(MOST, MOST, MOST)
_epoch = msgspec.msgpack.Decoder(str)
_reply: msgspec.msgpack.Decoder[Reply | bool] = msgspec.msgpack.Decoder(Reply | bool)
_audit = msgspec.msgpack.Decoder(Audit)
_standings = msgspec.msgpack.Decoder(list[Standing])
_amount = msgspec.msgpack.Decoder(Amount)
_line: msgspec.msgpack.Decoder[Line | None] = msgspec.msgpack.Decoder(Line | None)
_number = msgspec.msgpack.Decoder(int)
_usage = msgspec.msgpack.Decoder(list[tuple[int, list[str], UsageSum]])


class RedisLedger:
    """ports.Ledger."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self._name = secrets.token_hex(8)
        self._numbers = count(1)

    async def open(self) -> str:
        return _epoch.decode(await self.keyspace.run("open", secrets.token_hex(16)))

    async def close(self) -> None:
        await self.keyspace.close()

    async def sync(self, batch: Batch) -> Reply:
        exact = msgspec.structs.replace(
            batch, lines=tuple(map(_exact, batch.lines)), leases=tuple(map(_exact_wish, batch.leases))
        )
        told = _reply.decode(await self.keyspace.run("sync", exact, *self._caller(batch.gateway)))
        if isinstance(told, bool):
            raise StoreFailed("the ledger was replaced by another", code="store_replaced")
        return told

    async def sweep(self) -> int:
        return _number.decode(await self.keyspace.run("sweep"))

    async def reconcile(self, gateway: str) -> None:
        await self.keyspace.run("reconcile", gateway, *self._caller(gateway))

    def _caller(self, gateway: str) -> tuple[str, int]:
        """Each step of a gateway has a higher number than those before, from whichever connection it comes."""
        return f"{self._name}-{gateway}", next(self._numbers)

    async def carry(self, pool: str, bucket_s: int, extra: Amount) -> Amount:
        return _amount.decode(await self.keyspace.run("carry", pool, bucket_s, extra.meet(_MOST)))

    async def standing(self, asked: Sequence[Asked]) -> Sequence[Standing]:
        return _standings.decode(await self.keyspace.run("standing", asked))

    async def line(self, line_id: str) -> Line | None:
        return _line.decode(await self.keyspace.run("line", line_id))

    async def usage(self, from_day_s: int, to_day_s: int) -> Sequence[tuple[UsageKey, UsageSum]]:
        rows = _usage.decode(await self.keyspace.run("usage", from_day_s, to_day_s))
        return [(UsageKey(day_s, *names), total) for day_s, names, total in rows]

    async def prune(self, before_ms: int) -> int:
        """In several steps, each of which leaves the books right."""
        total = 0
        while count := _number.decode(await self.keyspace.run("prune", before_ms)):
            total += count
        return total

    async def audit(self) -> Audit:
        return _audit.decode(await self.keyspace.run("audit"))


def _exact(line: Line) -> Line:
    if _MOST.covers(line.held) and _MOST.covers(line.used):
        return line
    return msgspec.structs.replace(line, held=line.held.meet(_MOST), used=line.used.meet(_MOST))


def _exact_wish(wish: LeaseWish) -> LeaseWish:
    if _MOST.covers(wish.ceiling) and _MOST.covers(wish.want):
        return wish
    return msgspec.structs.replace(wish, ceiling=wish.ceiling.meet(_MOST), want=wish.want.meet(_MOST))
