"""A provider that does what it is asked, and remembers what each call has used: the truth.

Every call has a model of its own, so that a call can be told from all others in every account there is.
"""

import asyncio
import json
from contextlib import suppress

import msgspec

PROMPT_TOKENS = 21
PIECES = 4


class Served(msgspec.Struct):
    """One call as the provider saw it. `told`: it has sent all of the answer, and what that used."""

    tokens: int
    calls: int = 1
    told: bool = False


class Asked(msgspec.Struct):
    model: str
    max_tokens: int
    stream: bool = False


_asked = msgspec.json.Decoder(Asked)


class Upstream:
    """Serves OpenAI's chat on a free port of 127.0.0.1. An answer takes `pause_s` for each of its pieces."""

    def __init__(self, pause_s: float) -> None:
        self.served: dict[str, Served] = {}
        self._pause_s = pause_s
        self._server: asyncio.Server | None = None

    async def open(self) -> str:
        """Where it is."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled at the end of all, which asyncio's own callback would otherwise print.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET"):
                    await _answer(writer, b'{"object":"list","data":[]}')
                    continue
                size = int(head.lower().partition(b"content-length:")[2].split()[0])
                await self._serve(_asked.decode(await reader.readexactly(size)), writer)
        writer.close()

    async def _serve(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        """All of `max_tokens` is used: what was held for the answer is what it takes."""
        known = self.served.get(asked.model)
        if known is None:
            known = self.served[asked.model] = Served(PROMPT_TOKENS + asked.max_tokens)
        else:
            known.calls += 1
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": asked.max_tokens, "total_tokens": known.tokens}
        if asked.stream:
            await self._stream(asked.model, usage, writer)
        else:
            await asyncio.sleep(self._pause_s * PIECES)
            message = {"role": "assistant", "content": "word"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = {"id": "x", "object": "chat.completion", "model": asked.model, "choices": [choice], "usage": usage}
            await _answer(writer, json.dumps(answer).encode())
        known.told = True

    async def _stream(self, model: str, usage: dict[str, int], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for n in range(PIECES):
            delta, reason = {"content": "word "}, "stop" if n == PIECES - 1 else None
            await self._piece(writer, model, [{"index": 0, "delta": delta, "finish_reason": reason}])
            await asyncio.sleep(self._pause_s)
        await self._piece(writer, model, [], usage=usage)
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()

    async def _piece(self, writer: asyncio.StreamWriter, model: str, choices: list[object], **more: object) -> None:
        data = b"data: %b\n\n" % json.dumps({"id": "x", "model": model, "choices": choices, **more}).encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()


async def _answer(writer: asyncio.StreamWriter, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    writer.write(head + body)
    await writer.drain()
