"""A ledger for a while, in the store of a configuration and apart from all that is in there."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from hoosh.app.stores import database_of, keyspace_of, ledger_of
from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError
from hoosh.ports import Ledger


class Scratch(msgspec.Struct, frozen=True):
    """`settings` are what gateways need to use it, too, and `shares_home` whether by the same folder."""

    ledger: Ledger
    settings: Mapping[str, str | bool]
    shares_home: bool


@asynccontextmanager
async def scratch(config: Config, home: Path) -> AsyncIterator[Scratch]:
    """Gone at the end. Raises: ConfigError, StoreFailed."""
    store = config.store
    if store.kind == "memory":
        raise ConfigError('store.kind is "memory": what no second process sees, nobody can look at')
    name = f"hoosh_scratch_{secrets.token_hex(6)}"
    apart = msgspec.structs.replace(config, store=msgspec.structs.replace(store, namespace=name))
    settings: dict[str, str | bool] = {"kind": store.kind, "durability": store.durability}
    if store.url is not None:
        settings |= {"url": store.url.reveal(), "namespace": name, "allow_volatile": store.allow_volatile}
    ledger = ledger_of(apart, home)
    try:
        await ledger.open()
        yield Scratch(ledger, settings, shares_home=store.kind == "sqlite")
    finally:
        await ledger.close()
        if store.kind == "postgres":
            await database_of(apart).drop()
        if store.kind == "redis":
            await keyspace_of(apart).drop()
