"""A provider in OpenAI's words that keeps an account of its own: what it was asked, and how much of it it has answered."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

PROMPT_TOKENS = 21
WORD = "word "
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODEL = "m"


@dataclass
class Entry:
    """`call` is what the last message says. `pieces` were sent; `told`: all of it, and its usage."""

    call: str
    stream: bool
    pieces: int = 0
    told: bool = False
    gone: bool = False  # who asked has hung up


class Message(msgspec.Struct):
    content: str


class Asked(msgspec.Struct):
    messages: list[Message]
    stream: bool = False


# The n-th call to the reply that it gets instead of an answer; None to answer.
Instead = Callable[[int], bytes | None]


class Upstream:
    """`step` is awaited before each piece of an answer."""

    def __init__(self, pieces: int = 4, pause_s: float = 0.0, instead: Instead = lambda _: None) -> None:
        self.account: list[Entry] = []
        self.pieces = pieces
        self.pause_s = pause_s
        self.instead = instead
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            # Cancelled at the end of all, which asyncio would print.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    if head.startswith(b"GET"):
                        await whole(writer, b'{"object":"list","data":[{"id":"%b"}]}' % MODEL.encode())
                        continue
                    size = int(head.lower().partition(b"content-length:")[2].split()[0])
                    asked = msgspec.json.decode(await reader.readexactly(size), type=Asked)
                    await self._serve(asked, reader, writer)
        finally:
            self.connections -= 1
            writer.transport.abort()

    async def _serve(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        entry = Entry(asked.messages[-1].content, asked.stream)
        self.account.append(entry)
        if (reply := self.instead(len(self.account))) is not None:
            writer.write(reply)
            await writer.drain()
            return
        completion = self.pieces
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": completion}
        usage["total_tokens"] = PROMPT_TOKENS + completion
        try:
            if asked.stream:
                await self._stream(entry, usage, reader, writer)
            else:
                await asyncio.sleep(self.pause_s * self.pieces)
                message = {"role": "assistant", "content": WORD * self.pieces}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                answer = {"id": "x", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}
                await whole(writer, json.dumps(answer).encode())
            entry.told = True
        except OSError:
            entry.gone = True
            raise

    async def _stream(
        self, entry: Entry, usage: dict[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(HEAD)
        for n in range(self.pieces):
            if reader.at_eof():
                raise ConnectionResetError
            reason = "stop" if n == self.pieces - 1 else None
            await piece(writer, choices=[{"index": 0, "delta": {"content": WORD}, "finish_reason": reason}])
            entry.pieces += 1
            await asyncio.sleep(self.pause_s)
        await piece(writer, choices=[], usage=usage)
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()


async def piece(writer: asyncio.StreamWriter, **fields: object) -> None:
    data = b"data: %b\n\n" % json.dumps({"id": "x", "model": MODEL, **fields}).encode()
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    await writer.drain()


async def whole(writer: asyncio.StreamWriter, body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> None:
    writer.write(reply(status, body, more))
    await writer.drain()


def reply(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n" % (status, len(body), more)
    return head + body
