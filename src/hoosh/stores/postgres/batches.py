"""The tables of files and batches in PostgreSQL: gateways on any machine share them.

A process lives for as long as the ledger, in the same schema, has heard of it.
"""

from collections.abc import Sequence

from hoosh.stores.postgres.database import Database

Value = str | int | bytes
Row = Sequence[Value]
Statement = tuple[str, tuple[Value, ...]]
_LIVING = "SELECT name FROM gateways WHERE name = ANY($1::text[]) AND until_ms > now_ms()"


class PostgresTables:
    """stores.batches.Tables. `name` is the gateway's in the ledger."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self.name = name

    async def read(self, query: str, *values: Value) -> Sequence[Row]:
        return [tuple(row) for row in await self._database.rows(query, *values)]

    async def write(self, *statements: Statement) -> Sequence[Row]:
        async with self._database.transaction() as db:
            for query, values in statements[:-1]:
                await db.execute(query, *values)
            query, values = statements[-1]
            return [tuple(row) for row in await db.fetch(query, *values)]

    async def dead(self, names: Sequence[str]) -> frozenset[str]:
        living = await self._database.rows(_LIVING, list(names)) if names else []
        return frozenset(names) - {str(row[0]) for row in living}

    async def close(self) -> None:
        await self._database.close()
