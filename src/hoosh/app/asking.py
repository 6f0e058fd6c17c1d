"""Asking a gateway in this process, without a server."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from hoosh.core.call import Call
from hoosh.core.errors import HooshError
from hoosh.dialects import ClientDialect
from hoosh.dialects.openai_chat import DIALECT as OPENAI_CHAT
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.http.request import new_id
from hoosh.http.routes import App, Gate
from hoosh.http.strangers import Strangers
from hoosh.stores.memory import StaticKeys

if TYPE_CHECKING:
    from hoosh.app import Gateway


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


async def ask(gateway: "Gateway", body: bytes, write: Callable[[bytes], None], answer: ClientDialect) -> None:
    """Answer one OpenAI chat body in this process, in the dialect `answer`. Raises HooshError."""
    call = Call(
        id=new_id(),
        dialect=answer.name,
        request=OPENAI_CHAT.parse(body),
        body=body,
        arrived_ns=gateway.clock.monotonic_ns(),
    )
    await gateway.engine.serve(call, answer, _WriteSink(write))


async def page(
    gateway: "Gateway", path: str, body: bytes = b"", headers: Mapping[bytes, bytes] = MappingProxyType({})
) -> bytes:
    """A page of the gateway, or the answer to `body`, without a server: who runs this process needs no key for it."""
    wire = MemoryWire(body)
    path, _, query = path.partition("?")
    method = "POST" if body else "GET"
    nobody_is_asked = Gate(StaticKeys([]), Strangers(0, gateway.clock))
    await App(gateway.app.routes, nobody_is_asked)(Exchange(method, path, headers, wire, query.encode()))
    return wire.said
