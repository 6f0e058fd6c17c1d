"""The embedded engines as an upstream like any other: `embedded://<model>` in the place of an address, and `embedded://`
where the list of models is asked for.

Law: knows names, keys and where the engines are just now; speaks no HTTP of its own. Asking for the list starts none.
"""

import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

import msgspec

from hoosh.core.errors import ConnectFailed
from hoosh.core.wire import Headers, Timeouts, WireRequest
from hoosh.local.known import Purpose
from hoosh.local.supervisor import EngineState
from hoosh.ports import Reply, Transport

SCHEME = "embedded://"


class LocalEngine(Protocol):
    """One that this process keeps, or that its parent keeps for it."""

    @property
    def state(self) -> EngineState: ...

    @property
    def purpose(self) -> Purpose: ...

    @property
    def authorization(self) -> Headers: ...

    async def base_url(self) -> str:
        """Where it answers, as soon as it does; starts it if need be. Raises: ConnectFailed."""

    async def base_url_after(self, lost: str) -> str:
        """Where it answers since nobody takes connections at `lost`. Raises: ConnectFailed."""


def has_engine() -> bool:
    """Whether the engine is installed. Does not load it."""
    return importlib.util.find_spec("xllamacpp") is not None


class EmbeddedTransport:
    """Waiting for a start is bounded by the supervisor's own limit, not by `connect_s`: weights take time to load."""

    def __init__(self, inner: Transport, engines: Mapping[str, LocalEngine]) -> None:
        self._inner = inner
        self._engines = engines

    @asynccontextmanager
    async def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> AsyncIterator[Reply]:
        name = base_url.removeprefix(SCHEME)
        if not name and request.method == b"GET":
            yield _Listing(self._names())
            return
        engine = self._engines.get(name)
        if engine is None:
            raise ConnectFailed(f"no embedded engine runs {name!r}")
        signed = msgspec.structs.replace(request, headers=(*request.headers, *engine.authorization))
        here = await engine.base_url()
        async with AsyncExitStack() as stack:
            try:
                reply = await stack.enter_async_context(self._inner.exchange(here, signed, timeouts))
            except ConnectFailed:
                # It may have died this very moment, and nothing was sent: its successor may be asked. Not so after a
                # Reset: what kills one engine would kill the next, and how often that is worth a try is not known here.
                here = await engine.base_url_after(here)
                reply = await stack.enter_async_context(self._inner.exchange(here, signed, timeouts))
            yield reply

    def _names(self) -> list[str]:
        """Raises: ConnectFailed where an engine does not run that should."""
        for engine in self._engines.values():
            if engine.state.phase == "crashed":
                raise ConnectFailed(engine.state.last_error or "")
        return list(self._engines)


class _Listing:
    """ports.Reply: the models in OpenAI's form."""

    def __init__(self, names: list[str]) -> None:
        self.status = 200
        self.headers: dict[bytes, bytes] = {b"content-type": b"application/json"}
        self._body = msgspec.json.encode({"object": "list", "data": [{"id": name} for name in names]})

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body
