"""Everything of another store into an empty schema, in one transaction."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hoosh.core.errors import StoreFailed

if TYPE_CHECKING:
    import asyncpg

_BOOLEANS = frozenset({"journalled", "estimated", "absorbed", "cache_hit", "recalled"})
_IS_USED = """
    SELECT EXISTS (SELECT FROM lines) OR EXISTS (SELECT FROM buckets) OR EXISTS (SELECT FROM carried)
        OR EXISTS (SELECT FROM records) OR EXISTS (SELECT FROM gateways)
"""


class Intake:
    """What is put into `db` is there once its transaction ends well."""

    def __init__(self, db: "asyncpg.Connection", schema: str) -> None:
        self._db = db
        self._schema = schema

    async def begin(self) -> None:
        """Gateways wait from here on. Raises: StoreFailed where there is something already."""
        await self._db.execute("SELECT tick()")
        if await self._db.fetchval(_IS_USED):
            raise StoreFailed(f'the schema "{self._schema}" is not empty: set store.namespace to another')

    async def table(self, name: str, columns: Sequence[str], rows: Iterator[tuple[object, ...]]) -> None:
        values = (tuple(map(_value, columns, row)) for row in rows)
        await self._db.copy_records_to_table(name, schema_name=self._schema, columns=columns, records=values)

    async def end(self, records_version: int, clock_ms: int) -> None:
        """The ledger's clock goes on from what the other's has shown."""
        await self._db.execute("UPDATE records_version SET version = $1", records_version)
        await self._db.execute("UPDATE ledger SET now_ms = greatest(now_ms, $1)", clock_ms)


def _value(column: str, value: object) -> object:
    if column in _BOOLEANS:
        return bool(value)
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
