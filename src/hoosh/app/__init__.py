"""The composition root: configuration in, wired objects out. The only room that knows all classes."""

import asyncio
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import msgspec

from hoosh.app.budgets import Budgeting
from hoosh.app.clock import SystemClock
from hoosh.app.engines import preload, stored_name, supervisors
from hoosh.app.keys import KeyRoom
from hoosh.app.limiting import limiting, of_provider
from hoosh.app.network import transport_settings
from hoosh.app.place import Place
from hoosh.app.prices import price_book
from hoosh.config.schema import Config, ProviderConfig
from hoosh.core.asked import Operation
from hoosh.core.call import Call
from hoosh.core.errors import ConfigError, HooshError
from hoosh.core.kept import Bounds
from hoosh.core.plan import Plan
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.dialects import ClientDialect, Tongue
from hoosh.dialects.anthropic_messages import COUNT as ANTHROPIC_COUNT
from hoosh.dialects.anthropic_messages import DIALECT as ANTHROPIC_MESSAGES
from hoosh.dialects.gemini.client import CLIENT as GEMINI
from hoosh.dialects.ollama.client import CHAT as OLLAMA_CHAT
from hoosh.dialects.ollama.client import GENERATE as OLLAMA_GENERATE
from hoosh.dialects.ollama.embedding import ONE as OLLAMA_EMBEDDINGS
from hoosh.dialects.ollama.embedding import SEVERAL as OLLAMA_EMBED
from hoosh.dialects.openai_chat import DIALECT as OPENAI_CHAT
from hoosh.dialects.openai_completions import DIALECT as OPENAI_COMPLETIONS
from hoosh.dialects.openai_embeddings import DIALECT as OPENAI_EMBEDDINGS
from hoosh.dialects.openai_moderations import DIALECT as OPENAI_MODERATIONS
from hoosh.dialects.openai_responses import DIALECT as OPENAI_RESPONSES
from hoosh.dialects.rerank import DIALECT as RERANK
from hoosh.engine.backend import Backend, tongues_of
from hoosh.engine.cashier import Cashier
from hoosh.engine.catalog import Catalog, Rules
from hoosh.engine.discovery import discover
from hoosh.engine.draining import Drains
from hoosh.engine.engine import Engine, World
from hoosh.engine.settler import Settler
from hoosh.http.counting import Counting
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.http.gemini import MARK as GEMINI_MARK
from hoosh.http.gemini import GeminiModels, marked
from hoosh.http.health import Health
from hoosh.http.inference import Inference
from hoosh.http.models import Models
from hoosh.http.ollama.keep import Keeping
from hoosh.http.ollama.loading import Loading
from hoosh.http.ollama.pages import OllamaPages
from hoosh.http.ollama.servers import Servers
from hoosh.http.request import Limits, new_id
from hoosh.http.responses import Responses, died
from hoosh.http.routes import App, Endpoint, Gate, Route
from hoosh.http.strangers import Strangers
from hoosh.local.embedded import EmbeddedTransport, LocalEngine
from hoosh.local.shelf import StoreShelf
from hoosh.local.store import ModelStore, default_root
from hoosh.ports import Journal, Reply, Transport
from hoosh.ports import Responses as ResponseStore
from hoosh.providers import Provider
from hoosh.providers.quirks import cap_output
from hoosh.providers.registry import PROVIDERS, find
from hoosh.providers.registry import known_types as known_types
from hoosh.stores.limits_memory import MemoryLimits
from hoosh.stores.memory import StaticKeys
from hoosh.stores.responses_memory import MemoryResponses
from hoosh.stores.sqlite.responses import SQLiteResponses
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.record import RecordingFile, RecordingTransport

# What the file names comes first, then what is found, then the small model of our own.
FOUND_PRIORITY = 20
EMBEDDED_PRIORITY = 30
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
        journal: Journal,
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
        self.limits = MemoryLimits(self.clock)
        self.budgeting.courier.on_gateways = self.limits.share
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Find providers (loopback only), then wire the engine. `catalog`, `engine` and `app` exist from here on."""
        backends = _configured(self.config)
        backends += await self._found({backend.provider.name for backend in backends})
        rules = _rules(self.config, self.engines)
        self.catalog = Catalog(backends, rules, self.transport, self.clock)
        await self.budgeting.open()
        await self.key_room.open()
        settler = Settler(self.budgeting.escrow, self._journal, self.catalog, self.clock)
        self.engine = Engine(
            World(
                limits=limiting(self.config, self.limits),
                cashier=Cashier(self.budgeting.escrow, price_book(self.config, self.clock)),
                transport=self.transport,
                catalog=self.catalog,
                settler=settler,
                clock=self.clock,
            )
        )
        self.drains = Drains(self.engine) if self.config.server.on_disconnect == "drain" else None
        self.response_store = _response_store(self.config, self._environ, self.clock)
        limits = Limits(body_limit_bytes=self.config.server.body_limit_bytes)
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
        marks: dict[bytes, ClientDialect] = {b"anthropic-version": ANTHROPIC_MESSAGES, GEMINI_MARK: GEMINI}
        self.app = App(self._routes(), self.key_room.gate, marks)
        await self.catalog.refresh(
            [backend.name for backend in backends if backend.local and not _is_embedded(backend)]
        )

    def start_background(self) -> None:
        """What a server does beside serving: load the embedded model, keep looking at the local providers."""
        chat = self.supervisors.get(self.config.embedded.model)
        if chat is not None and self.config.embedded.preload:
            self._tasks.append(asyncio.create_task(preload(chat)))
        if self.config.discovery.refresh_s:
            self._tasks.append(asyncio.create_task(self._keep_looking(self.config.discovery.refresh_s)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "responses"):
            await self.responses.stop()
            if self.drains is not None:
                await self.drains.stop()
            await self.response_store.close()
            await self.budgeting.close(STOP_S)
        await self.key_room.close()
        await asyncio.gather(*(supervisor.stop() for supervisor in self.supervisors.values()))
        await self.http.aclose()

    def _name_of(self, base_url: str, request: WireRequest) -> str:
        """Whom a request goes to. Providers that share an address are told apart by their keys."""
        here = (backend for backend in self.catalog.backends.values() if backend.is_at(base_url))
        keyed = sorted(here, key=lambda backend: len(backend.auth), reverse=True)
        return next((backend.name for backend in keyed if set(backend.auth) <= set(request.headers)), "")

    async def _found(self, named: set[str]) -> list[Backend]:
        """Local servers on their usual ports, providers with a key in the environment, the embedded engine."""
        discovery = self.config.discovery
        taken = {provider.base_url for provider in self.config.providers}
        local = [
            kind for kind in PROVIDERS if _has_port(kind) and kind.name not in named and kind.base_url not in taken
        ]
        found: list[Backend] = []
        if discovery.enabled:
            found += await discover(local, self.http, self._environ, discovery.timeout_ms / 1e3)
        if discovery.env_keys:
            remote = [kind for kind in PROVIDERS if kind.env and kind.name not in named]
            found += [backend for kind in remote if (backend := _keyed(kind, self._environ))]
        found = [_later(backend, FOUND_PRIORITY) for backend in found]
        if self.engines and "embedded" not in named:
            found.append(_later(_embedded(self.engines), EMBEDDED_PRIORITY))
        return found

    def _routes(self) -> Sequence[Route]:
        health = self.health
        models = Models(self.catalog, self.clock)
        gemini_models = GeminiModels(models, self.catalog)
        return (
            Route(method="GET", path="/", endpoint=health.root, guarded=False),
            Route(method="GET", path="/livez", endpoint=health.live, guarded=False),
            Route(method="GET", path="/readyz", endpoint=health.is_ready, guarded=False),
            Route(method="GET", path="/v1/health", endpoint=health.health, guarded=False),
            Route(method="GET", path="/v1/health/providers", endpoint=health.providers, name="health"),
            Route(method="GET", path="/v1/models", endpoint=marked(gemini_models.index, models.index), name="models"),
            Route(method="GET", path="/v1/models/*", endpoint=marked(gemini_models.show, models.show), name="models"),
            self._answering("chat", "/v1/chat/completions", OPENAI_CHAT),
            self._answering("completions", "/v1/completions", OPENAI_COMPLETIONS),
            self._answering("embeddings", "/v1/embeddings", OPENAI_EMBEDDINGS),
            self._answering("moderations", "/v1/moderations", OPENAI_MODERATIONS),
            self._answering("rerank", "/v1/rerank", RERANK),
            self._answering("rerank", "/v2/rerank", RERANK),
            self._answering("messages", "/v1/messages", ANTHROPIC_MESSAGES),
            self._answering("count_tokens", "/v1/messages/count_tokens", ANTHROPIC_COUNT, self._counting),
            *self._gemini_routes(gemini_models),
            *self._ollama_routes(models),
            *_responses_routes(self.responses),
            *self.budgeting.routes(),
        )

    def _answering(
        self, name: str, path: str, dialect: ClientDialect, before: Callable[[Inference], Endpoint] | None = None
    ) -> Route:
        """Where a dialect's requests are answered."""
        limits = Limits(body_limit_bytes=self.config.server.body_limit_bytes)
        endpoint = Inference(self.engine, dialect, limits, self.clock, self.drains)
        endpoint_at = before(endpoint) if before else endpoint
        return Route(method="POST", path=path, endpoint=endpoint_at, name=name, dialect=dialect)

    def _counting(self, inference: Inference) -> Endpoint:
        return Counting(inference, self.catalog, self.clock)

    def _gemini_routes(self, models: GeminiModels) -> Sequence[Route]:
        return (
            Route(method="GET", path="/v1beta/models", endpoint=models.index, name="models", dialect=GEMINI),
            Route(method="GET", path="/v1beta/models/*", endpoint=models.show, name="models", dialect=GEMINI),
            self._answering("gemini", "/v1beta/models/*", GEMINI, self._counting),
            self._answering("gemini", "/v1/models/*", GEMINI, self._counting),
        )

    def _ollama_routes(self, models: Models) -> Sequence[Route]:
        servers = Servers(self.catalog, self.transport)
        pages = OllamaPages(models, self.catalog, servers, self.shelf, self.clock)
        keeping = Keeping(servers, self.shelf, OLLAMA_CHAT)

        def loading(inference: Inference) -> Endpoint:
            return Loading(inference, OLLAMA_CHAT, self.catalog, self.clock)

        def generating(inference: Inference) -> Endpoint:
            return Loading(inference, OLLAMA_GENERATE, self.catalog, self.clock)

        pages_at = (
            ("models", "GET", "/api/tags", pages.tags),
            ("models", "GET", "/api/ps", pages.running),
            ("models", "GET", "/api/version", pages.version),
            ("models", "POST", "/api/show", pages.show),
            ("weights", "POST", "/api/pull", keeping.pull),
            ("weights", "DELETE", "/api/delete", keeping.delete),
        )
        return (
            self._answering("ollama", "/api/chat", OLLAMA_CHAT, loading),
            self._answering("ollama", "/api/generate", OLLAMA_GENERATE, generating),
            self._answering("ollama", "/api/embed", OLLAMA_EMBED),
            self._answering("ollama", "/api/embeddings", OLLAMA_EMBEDDINGS),
            *(Route(method=m, path=at, endpoint=page, name=n, dialect=OLLAMA_CHAT) for n, m, at, page in pages_at),
        )

    async def _keep_looking(self, every_s: float) -> None:
        names = [
            backend.name for backend in self.catalog.backends.values() if backend.local and not _is_embedded(backend)
        ]
        while names:
            await asyncio.sleep(every_s)
            await self.catalog.refresh(names)


def _responses_routes(responses: Responses) -> tuple[Route, ...]:
    def route(method: str, path: str, endpoint: Endpoint) -> Route:
        return Route(method=method, path=path, endpoint=endpoint, name="responses", dialect=OPENAI_RESPONSES)

    return (
        route("POST", "/v1/responses", responses.create),
        route("GET", "/v1/responses/*", responses.show),
        route("POST", "/v1/responses/*", responses.cancel),
        route("DELETE", "/v1/responses/*", responses.delete),
    )


def _response_store(config: Config, environ: Mapping[str, str], clock: SystemClock) -> ResponseStore:
    wanted = config.responses
    bounds = Bounds(age_s=wanted.keep_days * 86_400, entries=wanted.max_entries, size_bytes=wanted.max_bytes)
    if not wanted.persist:
        return MemoryResponses(bounds, clock)
    return SQLiteResponses(default_root(environ).parent / "responses.db", bounds, clock, died)


def _rules(config: Config, embedded: Container[str]) -> Rules:
    retry = config.retry
    plan = Plan(
        targets=(),
        tries=retry.tries,
        attempts=retry.max_attempts,
        base_s=retry.base_delay_s,
        max_s=retry.max_delay_s,
    )
    talker = config.embedded.model
    names: dict[Operation, str] = {"chat": talker, "complete": talker, "embed": config.embedded.embedding_model}
    defaults = {operation: name for operation, name in names.items() if name in embedded}
    return Rules(aliases=config.aliases, default_models=defaults, plan=plan)


def _configured(config: Config) -> list[Backend]:
    return [_backend(entry, config) for entry in config.providers if entry.enabled]


def _backend(entry: ProviderConfig, config: Config) -> Backend:
    kind = find(entry.type)
    if kind is None:  # the loader has checked it
        raise ConfigError(f'unknown provider "{entry.type}"')
    base_url = entry.base_url or kind.base_url
    if not base_url:
        raise ConfigError(
            f'providers: "{entry.name}" needs a base_url, for there are many of type {kind.name}; see {kind.docs}'
        )
    limit_tokens = entry.max_tokens_limit
    tongues = tongues_of(kind) if limit_tokens is None else tongues_of(kind, cap_output(limit_tokens))
    return Backend(
        name=entry.name,
        provider=kind,
        base_url=base_url,
        auth=kind.sign(entry.api_key.reveal()) if entry.api_key else (),
        models=entry.models,
        priority=entry.priority,
        local=kind.local if entry.local is None else entry.local,
        timeouts=entry.timeouts(config.network),
        limit=of_provider(entry),
        tongues=_spoken(tongues, kind, entry),
    )


def _spoken(tongues: tuple[Tongue, ...], kind: Provider, entry: ProviderConfig) -> tuple[Tongue, ...]:
    """A server at another address is often one that only chats as the type does."""
    wanted = entry.responses
    if wanted is None:
        wanted = entry.base_url in (None, kind.base_url)
    names = [tongue.dialect.name for tongue in tongues]
    if not wanted:
        return tuple(tongue for tongue in tongues if tongue.dialect.name != OPENAI_RESPONSES.name)
    if entry.responses and OPENAI_RESPONSES.name not in names:
        return (*tongues, Tongue(dialect=OPENAI_RESPONSES))
    return tongues


def _keyed(kind: Provider, environ: Mapping[str, str]) -> Backend | None:
    key = next((value for name in kind.env if (value := environ.get(name, "").strip())), "")
    if not key or not kind.base_url:
        return None
    return Backend(
        name=kind.name,
        provider=kind,
        base_url=kind.base_url,
        auth=kind.sign(key),
        tongues=tongues_of(kind),
        local=kind.local,
    )


def _embedded(engines: Mapping[str, LocalEngine]) -> Backend:
    kind = find("embedded")
    if kind is None:
        raise ConfigError("the embedded provider is not in the registry")
    makes_vectors = {name: engine.purpose == "embed" for name, engine in engines.items()}
    tongues = []
    for tongue in tongues_of(kind):
        is_embed = tongue.dialect.operation == "embed"
        models = tuple(name for name, does in makes_vectors.items() if does == is_embed)
        if models:
            tongues.append(msgspec.structs.replace(tongue, models=models))
    return Backend(
        name=kind.name,
        provider=kind,
        base_url=kind.base_url,
        models=tuple(engines),
        tongues=tuple(tongues),
        local=True,
    )


def _later(backend: Backend, priority: int) -> Backend:
    return msgspec.structs.replace(backend, priority=priority)


def _has_port(kind: Provider) -> bool:
    return kind.local and urlsplit(kind.base_url).port is not None


def _is_embedded(backend: Backend) -> bool:
    return backend.base_url.startswith("embedded://")


class _WriteSink:
    """ports.Sink for a caller in this process: pieces go to `write`, an error is raised."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.started = False

    def head(self, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """There is no head."""

    async def write(self, data: bytes) -> None:
        self.started = True
        self._write(data)

    async def close(self, data: bytes) -> None:
        self._write(data)

    async def fail(self, error: HooshError) -> None:
        raise error


async def ask(gateway: Gateway, body: bytes, write: Callable[[bytes], None], answer: ClientDialect) -> None:
    """Answer one OpenAI chat body in this process, in the dialect `answer`. Raises HooshError."""
    call = Call(
        id=new_id(),
        dialect=answer.name,
        request=OPENAI_CHAT.parse(body),
        body=body,
        arrived_ns=gateway.clock.monotonic_ns(),
    )
    await gateway.engine.serve(call, answer, _WriteSink(write))


async def page(gateway: Gateway, path: str) -> bytes:
    """The body of a page of the gateway, without a server: who runs this process needs no key for it."""
    wire = MemoryWire()
    nobody_is_asked = Gate(StaticKeys([]), Strangers(0, gateway.clock))
    await App(gateway.app.routes, nobody_is_asked)(Exchange("GET", path, {}, wire))
    return wire.said
