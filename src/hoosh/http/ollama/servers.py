"""The Ollama servers among the providers: what they know of their models, nobody else can tell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from hoosh.core.call import Wishes
from hoosh.core.errors import BadRequest, BadUpstream, HooshError, UnknownModel
from hoosh.core.wire import WireRequest
from hoosh.dialects.ollama.chat import NAME
from hoosh.engine.backend import Backend
from hoosh.engine.catalog import Catalog
from hoosh.engine.router import Router
from hoosh.http.request import Limits
from hoosh.policy.hidden_keys import hide_key
from hoosh.ports import Reply, Transport

# A page waits this long for the slowest of them.
PATIENCE_S = 5.0
# The provider of this gateway's own models.
OWN = "embedded"
MAX_PAGE_BYTES = 16 << 20
LIMITS = Limits(body_limit_bytes=64 << 10)
JSON_TYPE = ((b"content-type", b"application/json"),)
Row = dict[str, object]


class _Page(msgspec.Struct):
    models: list[Row]


class _Named(msgspec.Struct):
    model: str | None = None
    name: str | None = None
    stream: bool | None = None


class Named(msgspec.Struct, frozen=True):
    """A request about one model. Older clients call it `name`."""

    model: str
    stream: bool


_page = msgspec.json.Decoder(_Page)
_named = msgspec.json.Decoder(_Named)


def named(body: bytes) -> Named:
    """Raises BadRequest."""
    try:
        said = _named.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the request body is not what is asked here: {error}", param="body") from error
    model = said.model or said.name
    if not model:
        raise BadRequest("model is required", param="model")
    return Named(model, said.stream is not False)


class Servers:
    def __init__(self, catalog: Catalog, router: Router, transport: Transport) -> None:
        self._catalog = catalog
        self._router = router
        self._transport = transport

    @property
    def all(self) -> list[Backend]:
        return [backend for backend in self._catalog.backends.values() if is_ollama(backend)]

    def of(self, model: str) -> tuple[Backend, str] | None:
        """The server that has the model, and its name there. None where another provider has it, or nobody."""
        try:
            target = self._router.who(model, Wishes())
        except HooshError:
            return None
        backend = self._catalog.backends[target.provider]
        return (backend, target.model) if is_ollama(backend) else None

    def to_pull(self, model: str) -> tuple[Backend, str] | None:
        """The server that a new model goes to: the one named before a slash, else the first."""
        head, _, rest = model.partition("/")
        for backend in self.all:
            if backend.name == head and rest:
                return backend, rest
        return (self.all[0], model) if self.all else None

    async def rows(self, path: str) -> dict[tuple[str, str], Row]:
        """What they list at `path`, by provider and model. A server that does not answer lists nothing."""
        pages = await asyncio.gather(*(self._page(backend, path) for backend in self.all))
        found: dict[tuple[str, str], Row] = {}
        for backend, rows in zip(self.all, pages, strict=True):
            for row in rows:
                found[backend.name, str(row.get("model") or row.get("name"))] = row
        return found

    async def _page(self, backend: Backend, path: str) -> list[Row]:
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, body = await self.ask(backend, WireRequest(path=path, method=b"GET"))
            return _page.decode(body).models if status == 200 else []
        except (HooshError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError):
            return []

    async def ask(self, backend: Backend, request: WireRequest) -> tuple[int, bytes]:
        """Raises UpstreamError."""
        async with self.open(backend, request) as reply:
            parts: list[bytes] = []
            size_bytes = 0
            while piece := await reply.read():
                parts.append(piece)
                size_bytes += len(piece)
                if size_bytes > MAX_PAGE_BYTES:
                    raise BadUpstream("the provider's page is too long")
            return reply.status, b"".join(parts)

    @asynccontextmanager
    async def open(self, backend: Backend, request: WireRequest) -> AsyncIterator[Reply]:
        """Raises UpstreamError."""
        exchange = self._transport.exchange(backend.base_url, backend.signed(request, 0), backend.timeouts)
        async with exchange as reply:
            yield reply


def is_ollama(backend: Backend) -> bool:
    return backend.provider.dialect.name == NAME


def refused(backend: Backend, status: int, body: bytes, model: str) -> HooshError:
    """The server's own words. What it does not have is the client's mistake."""
    error = backend.provider.dialect.refusal(status, {}, body)
    hide_key(error, backend.secrets)
    return UnknownModel(error.message or f"model '{model}' not found", param="model") if status == 404 else error
