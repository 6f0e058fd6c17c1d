"""The ledger in PostgreSQL. The rules run there, in the functions of `migrations/`: a step is one statement.

Its clock is the server's. Steps wait for each other, so there is no more than one commit's time between two gateways'
batches; what they carry grows with the wait.
"""

from collections.abc import Iterable, Sequence

import msgspec

from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import Amount, Asked, Audit, Batch, Line, Reply, Standing, UsageKey, UsageSum
from hoosh.stores.postgres.database import Database

_SYNC = "SELECT sync($1, $2, $3, $4, $5::jsonb, $6::jsonb)"
_STANDING = (
    "SELECT standing(pool, since_s, window_s) "
    "FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked (pool, since_s, window_s)"
)
_LINE = "SELECT json_of(lines) FROM lines WHERE id = $1"
_USAGE = (
    f"SELECT {', '.join((*UsageKey.__struct_fields__, *UsageSum.__struct_fields__))} FROM usage "
    "WHERE day_s >= $1 AND day_s < $2"
)
_TEXTS = ("id", "gateway", "request_id", "key", "agent", "provider", "model", "operation", "error")
_reply = msgspec.json.Decoder(Reply)
_audit = msgspec.json.Decoder(Audit)
_standing = msgspec.json.Decoder(Standing)
_amount = msgspec.json.Decoder(Amount)
_line = msgspec.json.Decoder(Line)


class PostgresLedger:
    """ports.Ledger."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def open(self) -> str:
        return await self.database.text("SELECT epoch FROM ledger") or ""

    async def close(self) -> None:
        await self.database.close()

    async def sync(self, batch: Batch) -> Reply:
        waves = _json(_waves(batch.lines))
        if "\\u0000" in waves:  # no text of PostgreSQL may have it
            waves = _json(_waves(map(_without_nul, batch.lines)))
        told = await self.database.text(
            _SYNC, batch.gateway, batch.epoch, batch.lease_ms, batch.journalled, waves, _json(batch.leases)
        )
        if told is None:
            raise StoreFailed("the ledger was replaced by another", code="store_replaced")
        return _reply.decode(told)

    async def sweep(self) -> int:
        return await self.database.number("SELECT sweep()")

    async def reconcile(self, gateway: str) -> None:
        await self.database.rows("SELECT reconcile($1)", gateway)

    async def carry(self, pool: str, bucket_s: int, extra: Amount) -> Amount:
        return _amount.decode(
            await self.database.text("SELECT carry($1, $2, $3::jsonb)", pool, bucket_s, _json(extra)) or ""
        )

    async def standing(self, asked: Sequence[Asked]) -> Sequence[Standing]:
        columns = ([one.pool for one in asked], [one.since_s for one in asked], [one.window_s for one in asked])
        return [_standing.decode(row[0]) for row in await self.database.rows(_STANDING, *columns)]

    async def line(self, line_id: str) -> Line | None:
        if "\0" in line_id:
            return None
        found = await self.database.text(_LINE, line_id)
        return None if found is None else _line.decode(found)

    async def usage(self, from_day_s: int, to_day_s: int) -> Sequence[tuple[UsageKey, UsageSum]]:
        found = await self.database.rows(_USAGE, from_day_s, to_day_s)
        split = len(UsageKey.__struct_fields__)
        return [(UsageKey(*row[:split]), UsageSum(*row[split:])) for row in map(tuple, found)]

    async def prune(self, before_ms: int) -> int:
        """In several steps, each of which leaves the books right."""
        total = 0
        while count := await self.database.number("SELECT prune($1)", before_ms):
            total += count
        return total

    async def audit(self) -> Audit:
        return _audit.decode(await self.database.text("SELECT audit()") or "")


def _waves(lines: Iterable[Line]) -> list[list[Line]]:
    """No line twice in one; what is told again comes later."""
    waves: list[dict[str, Line]] = []
    for line in lines:
        after = 1 + max((n for n, wave in enumerate(waves) if line.id in wave), default=-1)
        if after == len(waves):
            waves.append({})
        waves[after][line.id] = line
    return [list(wave.values()) for wave in waves]


def _without_nul(line: Line) -> Line:
    texts = {name: getattr(line, name).replace("\0", "\ufffd") for name in _TEXTS}
    return msgspec.structs.replace(line, **texts)


def _json(told: object) -> str:
    return msgspec.json.encode(told).decode()
