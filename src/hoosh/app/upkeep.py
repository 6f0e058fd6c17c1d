"""The store brought up to date by hand, and `hoosh.db` moved to PostgreSQL."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from hoosh.app.budgets import tell_journals
from hoosh.app.stores import database_of, keyspace_of
from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError
from hoosh.stores.postgres.intake import Intake
from hoosh.stores.redis.ledger import RedisLedger
from hoosh.stores.sqlite import upkeep as sqlite
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.ledger import SQLiteLedger
from hoosh.stores.sqlite.outgo import leaving


class Upkeep(msgspec.Struct, frozen=True):
    """What a store had yet to get, and whether it has it now."""

    store: str
    found: int
    done: bool


class Moved(msgspec.Struct, frozen=True):
    """How many rows each table had, and where the file is now."""

    counts: Mapping[str, int]
    kept: Path


async def migrate(config: Config, directory: Path, *, check: bool) -> Upkeep:
    """Raises: StoreFailed, ConfigError."""
    match config.store.kind:
        case "memory":
            return Upkeep("memory", 0, done=True)
        case "sqlite":
            path = directory / "hoosh.db"
            found = sqlite.pending(path)
            if found and not check:
                await sqlite.migrate(path)
            return Upkeep(str(path), found, done=not check)
        case "postgres":
            database = database_of(config)
            try:
                found = await database.pending()
                if found and not check:
                    await database.rows("SELECT 1")
            finally:
                await database.close()
            return Upkeep(f'schema "{database.schema}"', found, done=not check)
        case "redis":
            keyspace = keyspace_of(config)
            try:
                found = await keyspace.pending()
                if found and not check:
                    await RedisLedger(keyspace).open()
            finally:
                await keyspace.close()
            return Upkeep(f"keys {{{keyspace.namespace}}}", found, done=not check)


async def move(config: Config, directory: Path) -> Moved:
    """Everything of `hoosh.db` to the PostgreSQL of the configuration, or nothing; then the file gets another name.

    Raises: ConfigError, StoreFailed.
    """
    path = directory / "hoosh.db"
    if config.store.kind != "postgres":
        raise ConfigError(f'store.kind is "{config.store.kind}": what is moved from a file goes to "postgres"')
    if not path.exists():
        raise ConfigError(f"there is no {path} to move")
    ledger = SQLiteLedger(StoreFile(path))
    try:
        await tell_journals(ledger, directory / "journals")
        await ledger.sweep()
    finally:
        await ledger.close()
    database = database_of(config)
    try:
        with leaving(path) as outgo:
            async with database.transaction() as db:
                intake = Intake(db, database.schema)
                await intake.begin()
                for table in outgo.tables:
                    await intake.table(table.name, table.columns, table.rows)
                await intake.end(outgo.records_version, outgo.clock_ms)
    finally:
        await database.close()
    kept = path.with_suffix(".db.moved")
    path.replace(kept)
    return Moved(outgo.counts, kept)
