"""Which store the ledger and the keys are in. What reaches a server is loaded only where it is used."""

import time
from pathlib import Path

from hoosh.config.schema import Config
from hoosh.ports import AnswerStore, Ledger, Records
from hoosh.stores.ledger_memory import MemoryLedger
from hoosh.stores.postgres.database import Database
from hoosh.stores.postgres.ledger import PostgresLedger
from hoosh.stores.postgres.records import PostgresRecords
from hoosh.stores.records_memory import MemoryRecords
from hoosh.stores.redis.answers import RedisAnswers
from hoosh.stores.redis.keyspace import Keyspace
from hoosh.stores.redis.ledger import RedisLedger
from hoosh.stores.redis.records import RedisRecords
from hoosh.stores.sqlite.answers import SQLiteAnswers
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.ledger import SQLiteLedger
from hoosh.stores.sqlite.records import SQLiteRecords


def ledger_of(config: Config, directory: Path) -> Ledger:
    """Raises ConfigError where what it needs is not installed."""
    match config.store.kind:
        case "memory":
            return MemoryLedger(lambda: time.time_ns() // 1_000_000)
        case "sqlite":
            return SQLiteLedger(_file(directory))
        case "postgres":
            return PostgresLedger(database_of(config))
        case "redis":
            return RedisLedger(keyspace_of(config))


def records_of(config: Config, directory: Path) -> Records:
    """Raises as `ledger_of` does."""
    match config.store.kind:
        case "memory":
            return MemoryRecords()
        case "sqlite":
            return SQLiteRecords(_file(directory))
        case "postgres":
            return PostgresRecords(database_of(config))
        case "redis":
            return RedisRecords(keyspace_of(config))


def answers_of(config: Config, directory: Path) -> AnswerStore:
    """Shared answers may be lost and are large, so that they have a file of their own where a file will do. Raises as
    `ledger_of` does.
    """
    if config.store.kind == "redis":
        return RedisAnswers(keyspace_of(config))
    return SQLiteAnswers(directory / "cache.db")


def database_of(config: Config) -> Database:
    store = config.store
    return Database(store.url.reveal() if store.url else "", store.namespace, allow_volatile=store.allow_volatile)


def keyspace_of(config: Config) -> Keyspace:
    store = config.store
    return Keyspace(
        store.url.reveal() if store.url else "",
        store.namespace,
        allow_volatile=store.allow_volatile,
        durable=store.durability == "durable",
    )


def _file(directory: Path) -> StoreFile:
    return StoreFile(directory / "hoosh.db")
