"""The embedded engines as an upstream like any other: `embedded://<model>` in the place of an address, and `embedded://`
where the list of models is asked for.

Law: knows names, keys and where the engines are just now; speaks no HTTP of its own. Asking for the list starts none.
"""

import importlib.util
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from hoosh.core.errors import ConnectFailed
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.local.supervisor import Supervisor
from hoosh.ports import Reply, Transport

SCHEME = "embedded://"


def has_engine() -> bool:
    """Whether the engine is installed. Does not load it."""
    return importlib.util.find_spec("xllamacpp") is not None


class EmbeddedTransport:
    """Waiting for a start is bounded by the supervisor's own limit, not by `connect_s`: weights take time to load."""

    def __init__(self, inner: Transport, supervisors: Mapping[str, Supervisor]) -> None:
        self._inner = inner
        self._supervisors = supervisors

    @asynccontextmanager
    async def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> AsyncIterator[Reply]:
        name = base_url.removeprefix(SCHEME)
        if not name and request.method == b"GET":
            yield _Listing(self._names())
            return
        supervisor = self._supervisors.get(name)
        if supervisor is None:
            raise ConnectFailed(f"no embedded engine runs {name!r}")
        signed = msgspec.structs.replace(request, headers=(*request.headers, *supervisor.authorization))
        here = await supervisor.base_url()
        async with AsyncExitStack() as stack:
            try:
                reply = await stack.enter_async_context(self._inner.exchange(here, signed, timeouts))
            except ConnectFailed:
                # It may have died this very moment, and nothing was sent: its successor may be asked. Not so after a
                # Reset: what kills one engine would kill the next, and how often that is worth a try is not known here.
                here = await supervisor.base_url_after(here)
                reply = await stack.enter_async_context(self._inner.exchange(here, signed, timeouts))
            yield reply

    def _names(self) -> list[str]:
        """Raises: ConnectFailed where an engine does not run that should."""
        for supervisor in self._supervisors.values():
            if supervisor.state.phase == "crashed":
                raise ConnectFailed(supervisor.state.last_error or "")
        return list(self._supervisors)


class _Listing:
    """ports.Reply: the models in OpenAI's form."""

    def __init__(self, names: list[str]) -> None:
        self.status = 200
        self.headers: dict[bytes, bytes] = {b"content-type": b"application/json"}
        self._body = msgspec.json.encode({"object": "list", "data": [{"id": name} for name in names]})

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body
