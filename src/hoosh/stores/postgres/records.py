"""Records in PostgreSQL: every process on the schema sees them at once."""

from collections.abc import Mapping

from hoosh.stores.postgres.database import Database


class PostgresRecords:
    """ports.Records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, kind: str, identity: str, body: bytes) -> None:
        await self._database.rows("SELECT put_record($1, $2, $3)", kind, identity, body)

    async def get_all(self, kind: str) -> Mapping[str, bytes]:
        query = 'SELECT id, body FROM records WHERE kind = $1 ORDER BY id COLLATE "C"'
        return dict(await self._database.rows(query, kind))

    async def drop(self, kind: str, identity: str) -> bool:
        return bool(await self._database.number("SELECT drop_record($1, $2)", kind, identity))

    async def version(self) -> int:
        return await self._database.number("SELECT version FROM records_version")

    async def close(self) -> None:
        await self._database.close()
