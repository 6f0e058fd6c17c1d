"""One PostgreSQL schema, brought up to date by the first work, and the few connections to it.

Each question and each step is one statement: one round trip, and one transaction that is done or not. asyncpg comes
with `hoosh[postgres]` and is loaded only where a store is in PostgreSQL.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hoosh.core.errors import ConfigError, StoreFailed

if TYPE_CHECKING:
    import asyncpg


# As long as SQLite's: what a step may wait for those of other gateways before it gives up.
PATIENCE_S = 15.0
CONNECT_S = 5.0
CONNECTIONS = 4
# By SQLSTATE or its class (postgresql.org/docs/current/errcodes-appendix.html, 2026-11).
_CODES = {
    "57014": "store_slow",  # a statement's time ran out
    "55P03": "store_slow",
    "40P01": "store_slow",
    "53100": "storage_full",
    "25006": "storage_read_only",
    "28": "storage_unreachable",
    "08": "storage_unreachable",
    "57P": "storage_unreachable",
}


class Database:
    """`url` is a postgresql:// address, which may name a user, a password, `sslmode` and more hosts than one."""

    def __init__(self, url: str, schema: str = "hoosh", *, allow_volatile: bool = False) -> None:
        """Raises ConfigError where the driver is not installed."""
        self._driver = _driver()
        known = self._driver
        # InternalClientError, too: what a connection that breaks off between two states of asyncpg's ends with.
        self._errors = (known.PostgresError, known.InterfaceError, known.InternalClientError, OSError, TimeoutError)
        self.schema = schema
        self._allow_volatile = allow_volatile
        self._opened: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._manner: dict[str, object] = {
            "dsn": url,
            "timeout": CONNECT_S,
            "command_timeout": PATIENCE_S,
            "server_settings": {
                "application_name": "hoosh",
                "search_path": f'"{schema}"',
                "default_transaction_isolation": "read committed",
                "statement_timeout": str(int(PATIENCE_S * 1000)),
            },
        }

    async def text(self, query: str, *arguments: object) -> str | None:
        """The first column of the first row, None where there is none. Raises StoreFailed."""
        rows = await self.rows(query, *arguments)
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    async def number(self, query: str, *arguments: object) -> int:
        """The first column of the first row, 0 where there is none. Raises StoreFailed."""
        rows = await self.rows(query, *arguments)
        return int(rows[0][0]) if rows else 0

    async def rows(self, query: str, *arguments: object) -> "list[asyncpg.Record]":
        """Raises StoreFailed."""
        try:
            async with self._opening:
                pool = self._opened = self._opened or await self._open()
            found: list[asyncpg.Record] = await pool.fetch(query, *arguments)
        except self._errors as error:
            raise _failed(error) from error
        return found

    async def pending(self) -> int:
        """How many migrations the schema has yet to get. Changes nothing. Raises StoreFailed."""
        try:
            db = await self._driver.connect(**self._manner)
            try:
                return len(migrations()) - await self._version(db)
            finally:
                await db.close()
        except self._errors as error:
            raise _failed(error) from error

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[asyncpg.Connection]":
        """A connection for many statements that are done together or not. Raises StoreFailed."""
        try:
            async with self._opening:
                pool = self._opened = self._opened or await self._open()
            async with pool.acquire() as db, db.transaction():
                yield db
        except self._errors as error:
            raise _failed(error) from error

    async def drop(self) -> None:
        """The schema and all that is in it. Raises StoreFailed."""
        await self.rows(f'DROP SCHEMA "{self.schema}" CASCADE')
        await self.close()

    async def close(self) -> None:
        pool, self._opened = self._opened, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CONNECT_S)
            except self._errors:
                pool.terminate()

    async def _open(self) -> "asyncpg.Pool":
        db = await self._driver.connect(**self._manner)
        try:
            await self._check(db)
            await self._migrate(db)
        finally:
            await db.close()
        return await self._driver.create_pool(min_size=1, max_size=CONNECTIONS, reset=_as_it_is, **self._manner)

    async def _check(self, db: "asyncpg.Connection") -> None:
        for setting in () if self._allow_volatile else ("fsync", "synchronous_commit"):
            if await db.fetchval("SELECT current_setting($1)", setting) == "off":
                raise StoreFailed(
                    f"PostgreSQL runs with {setting} = off: what it has said to have, a crash may take away. "
                    "Turn it on, or set store.allow_volatile",
                    code="store_volatile",
                )

    async def _migrate(self, db: "asyncpg.Connection") -> None:
        wanted = migrations()
        if await self._version(db) == len(wanted):
            return
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"hoosh {self.schema}")
            if await db.fetchval("SELECT to_regnamespace($1)", self.schema) is None:
                await db.execute(f'CREATE SCHEMA "{self.schema}"')
            done = await self._version(db)  # another gateway may have been here meanwhile
            for n, script in enumerate(wanted[done:], done + 1):
                if n == 1:
                    await db.execute("CREATE TABLE migrations (version integer PRIMARY KEY)")
                await db.execute(script)
                await db.execute("INSERT INTO migrations VALUES ($1)", n)

    async def _version(self, db: "asyncpg.Connection") -> int:
        if await db.fetchval("SELECT to_regclass($1)", f'"{self.schema}".migrations') is None:
            return 0
        version: int = await db.fetchval("SELECT coalesce(max(version), 0) FROM migrations")
        if version > len(migrations()):
            raise StoreFailed(
                f'the schema "{self.schema}" was made by a later hoosh (its version is {version}, this one knows '
                f"{len(migrations())}): run that one, or set store.namespace",
                code="storage_newer",
            )
        return version


def migrations() -> list[str]:
    """What makes the schema, in order and forward only: what was once released is never changed, only followed."""
    return [file.read_text() for file in sorted(Path(__file__).with_name("migrations").glob("*.sql"))]


async def _as_it_is(_: "asyncpg.Connection") -> None:
    """No statement of ours changes a session, so none is reset: that would be a round trip after each."""


def _driver() -> ModuleType:
    try:
        return importlib.import_module("asyncpg")
    except ImportError:
        raise ConfigError('store.kind is "postgres", which needs a driver: pip install "hoosh[postgres]"') from None


def _failed(error: Exception) -> StoreFailed:
    state = getattr(error, "sqlstate", None)
    if state is None:
        code = "store_slow" if isinstance(error, TimeoutError) else "storage_unreachable"
    else:
        found = (_CODES.get(state[:length]) for length in (5, 3, 2))
        code = next((code for code in found if code), "store_failed")
    told = "; ".join(str(error).split("\n")) or type(error).__name__
    return StoreFailed(f"the store in PostgreSQL failed: {told}", code=code)
