"""/api/pull and /api/delete: models known to this gateway go to its own store, all others to an Ollama server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec

from hoosh.core.errors import HooshError, UnknownModel, UnsupportedMedia
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect
from hoosh.engine.backend import Backend
from hoosh.http.exchange import Exchange
from hoosh.http.ollama.servers import JSON_TYPE, LIMITS, OWN, Named, Servers, named, refused
from hoosh.http.request import check_json
from hoosh.http.sink import ReplySink
from hoosh.policy.scopes import check_model
from hoosh.ports import Shelf

_NDJSON = b"application/x-ndjson"
_SUCCESS = {"status": "success"}
# A line for each percent and no more.
_STEPS = 100
_encode = msgspec.json.Encoder().encode
_Line = dict[str, object]


class Keeping:
    """`dialect` words the errors."""

    def __init__(self, servers: Servers, shelf: Shelf, dialect: ClientDialect) -> None:
        self._servers = servers
        self._shelf = shelf
        self._dialect = dialect

    async def pull(self, exchange: Exchange) -> None:
        asked = await _asked(exchange)
        if digest := self._shelf.pullable(asked.model):
            check_model(exchange.principal, OWN, asked.model)
            lines = self._pull_own(asked.model, digest)
        elif server := self._servers.to_pull(asked.model):
            check_model(exchange.principal, server[0].name, server[1])
            lines = self._pull_there(*server)
        else:
            raise UnknownModel(
                f"model '{asked.model}' cannot be pulled: hoosh does not know it, and no Ollama server is configured",
                param="model",
            )
        if asked.stream:
            await self._stream(exchange, lines)
        else:
            await _answer(exchange, lines)

    async def delete(self, exchange: Exchange) -> None:
        asked = await _asked(exchange)
        if served := self._servers.of(asked.model):
            backend, model = served
            check_model(exchange.principal, backend.name, model)
            request = WireRequest("/api/delete", _encode({"model": model}), method=b"DELETE", headers=JSON_TYPE)
            status, body = await self._servers.ask(backend, request)
            if status != 200:
                raise refused(backend, status, body, asked.model)
        else:
            check_model(exchange.principal, OWN, asked.model)
            await asyncio.to_thread(self._shelf.remove, asked.model)
        await exchange.reply(200, b"", b"text/plain; charset=utf-8", ())

    async def _stream(self, exchange: Exchange, lines: AsyncIterator[_Line]) -> None:
        sink = ReplySink(exchange, self._dialect)
        sink.head(_NDJSON, [])
        try:
            async for line in lines:
                await sink.write(_encode(line) + b"\n")
        except HooshError as error:
            await sink.fail(error)
        else:
            await sink.close(b"")

    async def _pull_own(self, name: str, digest: str) -> AsyncIterator[_Line]:
        """The pull runs in a thread. If the client leaves, it goes on, and the next one finds what it has brought.

        Of its phases only the first is told, the download: clients draw one bar for a digest.
        """
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()

        def progress(done_bytes: int, total_bytes: int) -> None:
            with suppress(RuntimeError):  # the gateway has stopped
                loop.call_soon_threadsafe(steps.put_nowait, (done_bytes, total_bytes))

        yield {"status": "pulling manifest"}
        work = loop.run_in_executor(None, self._shelf.pull, name, progress)
        work.add_done_callback(lambda _: steps.put_nowait(None))
        first_total, last = 0, -1
        while (step := await steps.get()) is not None:
            done_bytes, total_bytes = step
            first_total = first_total or total_bytes
            at = done_bytes * _STEPS // max(1, total_bytes)
            if total_bytes == first_total and at != last:
                last = at
                told = {"digest": f"sha256:{digest}", "total": total_bytes, "completed": done_bytes}
                yield {"status": f"pulling {digest[:12]}", **told}
        await work  # raises what went wrong
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        yield dict(_SUCCESS)

    async def _pull_there(self, backend: Backend, model: str) -> AsyncIterator[_Line]:
        body = _encode({"model": model, "stream": True})
        async with self._servers.open(backend, WireRequest("/api/pull", body, headers=JSON_TYPE)) as reply:
            said = b""
            while piece := await reply.read():
                *lines, said = (said + piece).split(b"\n")
                if reply.status == 200:
                    for line in lines:
                        yield _line(line, backend, model)
                else:
                    said = b"\n".join([*lines, said])[: LIMITS.body_limit_bytes]
            if reply.status != 200:
                raise refused(backend, reply.status, said, model)
            if said.strip():
                yield _line(said, backend, model)


def _line(line: bytes, backend: Backend, model: str) -> _Line:
    """Raises HooshError for one that tells an error."""
    try:
        said = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refused(backend, 502, line, model) from None
    if said.get("error"):
        raise refused(backend, 500, line, model)
    return said


async def _answer(exchange: Exchange, lines: AsyncIterator[_Line]) -> None:
    last: _Line = {}
    async for line in lines:
        last = line
    await exchange.answer(last or _SUCCESS)


async def _asked(exchange: Exchange) -> Named:
    """A web page can send a body of no type at all unasked: what changes this machine must say that it is JSON."""
    if b"content-type" not in exchange.headers:
        raise UnsupportedMedia("send the body as content-type: application/json")
    check_json(exchange.headers)
    return named(await exchange.body(LIMITS))
