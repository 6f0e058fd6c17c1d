"""Keys, wired: who may call, who makes keys, and the pages where that is done."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from hoosh.app.stores import records_of
from hoosh.config.access import KeyConfig
from hoosh.config.checks import is_loopback
from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError
from hoosh.core.principal import KeyLimits, Principal
from hoosh.engine.admin_keys import AdminKeys, SocketKeys
from hoosh.engine.key_office import KeyOffice
from hoosh.engine.key_owners import KeyOwners
from hoosh.engine.key_ring import KeyRing, RingRules
from hoosh.http.admin import Admin
from hoosh.http.routes import App, Gate, Route, Watcher
from hoosh.http.strangers import Strangers
from hoosh.policy.limits import share
from hoosh.ports import Clock
from hoosh.stores.memory import StaticKeys
from hoosh.stores.pepper_file import PepperFile


class Metering(Watcher, Protocol):
    """What is needed of app.metering.Metering."""

    route: Route


class KeyRoom:
    """All of one process's keys. Without `open` it is good for making and changing them only."""

    def __init__(self, config: Config, directory: Path, clock: Clock, processes: int = 1) -> None:
        self._config = config
        self._clock = clock
        self._records = records_of(config, directory)
        wanted = config.keys_store
        self.peppers = PepperFile(
            directory / "hoosh.pepper",
            [pepper.reveal().encode() for pepper in (wanted.pepper, wanted.previous_pepper) if pepper is not None],
        )
        self.office = KeyOffice(
            self._records, self.peppers, clock, {"default", *(pool.name for pool in config.budgets)}
        )
        self.ring = KeyRing(
            configured_keys(config),
            self._records,
            self.peppers,
            clock,
            RingRules(grace_s=wanted.grace_s, required=wanted.required or not is_loopback(config.server.bind)),
        )
        self.owners = KeyOwners(_by_name(config), self.ring, clock)
        self._strangers = Strangers(share(wanted.failures_per_minute, processes), clock)
        names = frozenset({config.server.host.lower()} - {""})
        self.gate = Gate(self.ring, self._strangers, open_hosts=names)
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.ring.look()
        self._watch = asyncio.create_task(self.ring.watch())

    def define(self, config: Config, keys: StaticKeys | None) -> None:
        """`keys` are those of the file from now on; what is gone is refused at once."""
        self._config = config
        self.ring.configure(keys)
        self.owners.configure(_by_name(config))
        self.office.set_pools({"default", *(pool.name for pool in config.budgets)})

    def admin_app(self, metering: Metering, *more: Route) -> App:
        """What the admin listener serves; but for the metrics nothing else does."""
        admin, config = Admin(self.office, self.ring, self.ring.look, self._clock), self._config.admin
        routes = (*_admin_routes(admin), metering.route, *more)
        if config.socket is not None:
            return App(routes, Gate(SocketKeys(), Strangers(0, self._clock)), watcher=metering)
        hosts = frozenset({config.bind.lower(), config.host.lower()} - {""})
        return App(routes, Gate(AdminKeys(self.ring), self._strangers, hosts), watcher=metering)

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._records.close()


def lasting_room(config: Config, directory: Path, clock: Clock) -> KeyRoom:
    """For a command that makes keys and ends. Raises ConfigError where they would end with it."""
    if config.store.kind == "memory":
        raise ConfigError('store.kind is "memory": keys that are made here would be gone at once; use [[keys]]')
    return KeyRoom(config, directory, clock)


def configured_keys(config: Config) -> StaticKeys | None:
    """None where the file has none."""
    return StaticKeys([(key.token.reveal(), _principal(key)) for key in config.keys]) if config.keys else None


def _by_name(config: Config) -> Mapping[str, Principal]:
    return {key.name: _principal(key) for key in config.keys}


def _admin_routes(admin: Admin) -> tuple[Route, ...]:
    return (
        Route(method="GET", path="/admin/health", endpoint=admin.health, name="admin"),
        Route(method="GET", path="/admin/keys", endpoint=admin.index, name="admin"),
        Route(method="POST", path="/admin/keys", endpoint=admin.create, name="admin"),
        Route(method="GET", path="/admin/keys/*", endpoint=admin.show, name="admin"),
        Route(method="PATCH", path="/admin/keys/*", endpoint=admin.change, name="admin"),
        Route(method="DELETE", path="/admin/keys/*", endpoint=admin.revoke, name="admin"),
        Route(method="POST", path="/admin/keys/*", endpoint=admin.rotate, name="admin"),
    )


def _principal(key: KeyConfig) -> Principal:
    return Principal(
        key_id=key.name,
        pool=key.pool,
        owner=key.owner,
        agents=key.agents,
        models=key.models,
        pools=key.pools,
        routes=key.routes,
        is_admin=key.admin,
        expires_s=int(key.expires.timestamp()) if key.expires else None,
        limits=KeyLimits(key.rpm, key.tpm, key.concurrency),
    )
