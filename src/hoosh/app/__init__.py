"""The composition root: configuration in, wired objects out. The only room that knows all classes."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from hoosh.app.backends import configured, found, is_embedded
from hoosh.app.batching import Batching
from hoosh.app.budgets import Budgeting, pools_of
from hoosh.app.caching import CacheRoom
from hoosh.app.clock import SystemClock
from hoosh.app.engines import preload, stored_name, supervisors
from hoosh.app.keys import KeyRoom, configured_keys
from hoosh.app.limiting import limiting
from hoosh.app.metering import Metering
from hoosh.app.network import transport_settings
from hoosh.app.overload import admission_rules
from hoosh.app.pages import MARKS, Pages, Parts
from hoosh.app.place import Place
from hoosh.app.prices import price_book
from hoosh.app.routing import breaker_rules, retry_budget, rules
from hoosh.config.changes import Changes, changes
from hoosh.config.checks import check_bind
from hoosh.config.schema import Config
from hoosh.core.kept import Bounds
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.dialects.openai_responses import DIALECT as OPENAI_RESPONSES
from hoosh.engine.admission import Admission
from hoosh.engine.backend import Backend
from hoosh.engine.batch_holds import BatchHolds
from hoosh.engine.cashier import Cashier
from hoosh.engine.catalog import Catalog
from hoosh.engine.decisions import Decisions, Journals
from hoosh.engine.draining import Drains
from hoosh.engine.engine import Engine, World
from hoosh.engine.pressure import Pressure
from hoosh.engine.router import Router
from hoosh.engine.settler import Settler
from hoosh.engine.vitals import Vitals
from hoosh.http.health import Health
from hoosh.http.idempotency import Idempotency
from hoosh.http.inference import Inference
from hoosh.http.request import Limits
from hoosh.http.responses import Responses, died
from hoosh.http.routes import App
from hoosh.local.cpu_quota import usable_cpus
from hoosh.local.embedded import EmbeddedTransport, LocalEngine
from hoosh.local.shelf import StoreShelf
from hoosh.local.store import ModelStore, default_root
from hoosh.ports import GateJournal, Prices, Reply, Transport
from hoosh.ports import Responses as ResponseStore
from hoosh.providers.registry import known_types as known_types
from hoosh.stores.limits_memory import MemoryLimits
from hoosh.stores.responses_memory import MemoryResponses
from hoosh.stores.sqlite.responses import SQLiteResponses
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.record import RecordingFile, RecordingTransport

# What a store gets at the end to take the last settlements.
STOP_S = 10.0


class SchemeTransport:
    """ports.Transport: `embedded://` goes to the engine in the child process, all else over HTTP."""

    def __init__(self, http: Transport, embedded: Transport) -> None:
        self._http = http
        self._embedded = embedded

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> AbstractAsyncContextManager[Reply]:
        chosen = self._embedded if base_url.startswith("embedded://") else self._http
        return chosen.exchange(base_url, request, timeouts)


class Gateway:
    """Everything of one process. `open` looks around and starts what runs in the background, `close` ends it."""

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        journal: GateJournal,
        recording: RecordingFile | None = None,
        place: Place = Place(),  # noqa: B008 - frozen
    ) -> None:
        self.config = config
        self._environ = environ
        self._journal = journal
        self.clock = SystemClock()
        self.store = ModelStore(default_root(environ))
        self.http = HTTPTransport(transport_settings(config, environ))
        self.place = place
        self.supervisors = supervisors(config, self.store, self.http) if place.engines is None else {}
        self.engines: Mapping[str, LocalEngine] = self.supervisors if place.engines is None else place.engines
        running = {stored_name(name): engine for name, engine in self.engines.items()}
        embedded = config.embedded
        files = {embedded.model: embedded.model_path} if embedded.model_path and embedded.model in running else {}
        self.shelf = StoreShelf(self.store, running, embedded.context_tokens, files)
        self.transport: Transport = SchemeTransport(self.http, EmbeddedTransport(self.http, self.engines))
        if recording is not None:
            self.transport = RecordingTransport(self.transport, recording, self._name_of, self.clock)
        self.key_room = KeyRoom(config, default_root(environ).parent, self.clock, place.count)
        self.keys = self.key_room.ring
        self.budgeting = Budgeting(config, default_root(environ).parent, self.clock, place.count)
        self.key_room.ring.before_use = self.budgeting.adopt
        self.batching = Batching(config, default_root(environ).parent, self.clock, self.budgeting.courier.gateway)
        self.cache_room = CacheRoom(config, default_root(environ).parent, self.clock)
        self.limits = MemoryLimits(self.clock)
        self.admission = Admission(admission_rules(config), self.clock)
        self.budgeting.courier.on_gateways = self._share
        self._tasks: list[asyncio.Task[None]] = []
        self._found: Sequence[Backend] = ()
        self.generation = 1  # of the configuration

    async def open(self) -> None:
        """Find providers (loopback only), then wire the engine. `catalog`, `engine` and `app` exist from here on."""
        backends = configured(self.config)
        named = {backend.provider.name for backend in backends}
        self._found = await found(named, self.config, self._environ, self.http, self.engines)
        self.decisions = Decisions(self.config.routing.keep_decisions)
        vitals = Vitals(self.clock, breaker_rules(self.config))
        self.catalog = Catalog([*backends, *self._found], self.transport, self.clock, vitals)
        await self.budgeting.open()
        await self.key_room.open()
        prices = price_book(self.config, self.clock)
        self.router = Router(self.catalog, rules(self.config, self.engines), prices, self.budgeting.escrow)
        self.metering = Metering(self._journal, self.catalog, self.budgeting, self.place)
        self.engine = Engine(self._world(self.config, prices, self.generation))
        self.cache_room.define(self.config)
        self.metering.engine, self.metering.cached = self.engine, self.cache_room.cached
        self._open_pages()
        await self.catalog.refresh(self._watched())

    def adopt(self, config: Config) -> Changes:
        """Take what can be taken of another configuration: calls that begin from now on live under it, those that run
        under the old one. All of it or, where this raises ConfigError, nothing. Keys that are gone are refused at once.
        """
        found_changes = changes(self.config, config)
        config = found_changes.config
        check_bind(config)
        backends = configured(config)
        taken = {backend.provider.name for backend in backends} | {backend.name for backend in backends}
        backends += [backend for backend in self._found if backend.name not in taken]
        prices = price_book(config, self.clock)
        new_rules = rules(config, self.engines)
        world = self._world(config, prices, self.generation + 1)
        pools, keys, admission = pools_of(config), configured_keys(config), admission_rules(config)
        # From here on nothing may fail, and nothing awaits.
        self.budgeting.define(config, pools)
        self.key_room.define(config, keys)
        self.cache_room.define(config)
        self.admission.define(admission)
        self.catalog.define(backends)
        self.catalog.vitals.set_rules(breaker_rules(config))
        self.router.define(new_rules, prices)
        self.decisions.keep(config.routing.keep_decisions)
        self.engine.world = world
        self.generation = world.generation
        self.config = config
        return found_changes

    def _world(self, config: Config, prices: Prices, generation: int) -> World:
        return World(
            limits=limiting(config, self.limits),
            cashier=Cashier(self.budgeting.escrow, prices),
            transport=self.transport,
            catalog=self.catalog,
            observer=self.metering,
            router=self.router,
            retries=retry_budget(config),
            settler=Settler(self.budgeting.escrow, Journals((self.metering, self.decisions)), self.clock),
            clock=self.clock,
            caching=self.cache_room.caching(config),
            admission=self.admission if config.overload.enabled else None,
            pressure=Pressure(config.overload.max_calls, self.admission.shedding) if config.overload.enabled else None,
            generation=generation,
        )

    def _share(self, processes: int) -> None:
        self.limits.share(processes)
        self.admission.share(processes)

    def _open_pages(self) -> None:
        self.drains = Drains(self.engine) if self.config.server.on_disconnect == "drain" else None
        self.response_store = _response_store(self.config, self._environ, self.clock)
        limits = Limits(body_limit_bytes=self.config.server.body_limit_bytes)
        self.idempotency = Idempotency(limits, self.clock)
        inference = Inference(self.engine, OPENAI_RESPONSES, limits, self.clock, self.drains)
        self.responses = Responses(self.engine, inference, limits, clock=self.clock, store=self.response_store)
        courier = self.budgeting.courier
        self.health = Health(
            self.catalog,
            self.clock,
            self.config.discovery.refresh_s,
            lambda: courier.failed.code if courier.failed else "ok",
            (self.place.index, self.place.count),
        )
        pages = Pages(
            Parts(
                engine=self.engine,
                catalog=self.catalog,
                router=self.router,
                transport=self.transport,
                shelf=self.shelf,
                drains=self.drains,
                health=self.health,
                responses=self.responses,
                limits=limits,
                clock=self.clock,
                decisions=self.decisions,
                idempotency=self.idempotency,
                hardware=self._hardware,
            )
        )
        answering = pages.routes()
        holds = BatchHolds(
            lambda: self.engine.world.cashier, self.router, self.budgeting.escrow, self.budgeting.ledger, courier
        )
        batches = self.batching.open(answering, inference, holds, self.key_room.owners)
        routes = (
            *answering,
            *batches,
            *self.budgeting.routes(),
            *self.cache_room.routes(),
            self.metering.route,
        )
        self.app = App(routes, self.key_room.gate, MARKS, self.metering)

    def start_background(self) -> None:
        """What a server does beside serving: measure itself, load the embedded model, look at the local providers."""
        self.metering.start()
        chat = self.supervisors.get(self.config.embedded.model)
        if chat is not None and self.config.embedded.preload:
            self._tasks.append(asyncio.create_task(preload(chat)))
        self.batching.start()
        if self.config.discovery.refresh_s:
            self._tasks.append(asyncio.create_task(self._keep_looking(self.config.discovery.refresh_s)))

    def drain(self) -> None:
        """The end begins: what runs may end, and nothing new is begun."""
        self.health.drain()
        self.batching.pause()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.batching.close()
        if hasattr(self, "responses"):
            await self.idempotency.stop()
            await self.responses.stop()
            if self.drains is not None:
                await self.drains.stop()
            await self.response_store.close()
            await self.budgeting.close(STOP_S)
            self.metering.stop()
        await self.cache_room.close()
        await self.key_room.close()
        await asyncio.gather(*(supervisor.stop() for supervisor in self.supervisors.values()))
        await self.http.aclose()

    def _hardware(self) -> Mapping[str, object]:
        """What this machine has for local models."""
        engines = {name: engine.state for name, engine in self.engines.items()}
        return {"cpus": usable_cpus(), "engines": engines}

    def _name_of(self, base_url: str, request: WireRequest) -> str:
        """Whom a request goes to. Providers that share an address are told apart by their keys."""
        here = (backend for backend in self.catalog.backends.values() if backend.is_at(base_url))
        keyed = sorted(here, key=lambda backend: len(backend.auths), reverse=True)
        return next((backend.name for backend in keyed if _signs(backend, request)), "")

    async def _keep_looking(self, every_s: float) -> None:
        """At local servers, and at those who do not work."""
        while True:
            await asyncio.sleep(every_s)
            await self.catalog.refresh(self._watched())

    def _watched(self) -> list[str]:
        shut = self.catalog.vitals.open_parts()
        return [
            name
            for name, backend in self.catalog.backends.items()
            if (backend.local or name in shut) and not is_embedded(backend)
        ]


def _response_store(config: Config, environ: Mapping[str, str], clock: SystemClock) -> ResponseStore:
    wanted = config.responses
    bounds = Bounds(age_s=wanted.keep_days * 86_400, entries=wanted.max_entries, size_bytes=wanted.max_bytes)
    if not wanted.persist:
        return MemoryResponses(bounds, clock)
    return SQLiteResponses(default_root(environ).parent / "responses.db", bounds, clock, died)


def _signs(backend: Backend, request: WireRequest) -> bool:
    return not backend.auths or any(set(auth) <= set(request.headers) for auth in backend.auths)
