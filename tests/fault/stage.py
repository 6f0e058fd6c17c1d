"""What stands around a gateway in these tests: a loop in a thread of its own for upstreams, proxies and callers."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fault.faultproxy import FaultProxy, reset
from fault.upstream import MODEL, WORD, Upstream
from gateway import PATIENCE_S, QUIET, Running

T = TypeVar("T")
Leave = Literal["", "fin", "rst"]


class Stage:
    """Upstreams, each behind a proxy."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.upstreams: list[Upstream] = []
        self.proxies: list[FaultProxy] = []

    def run(self, work: Coroutine[Any, Any, T], patience_s: float = PATIENCE_S) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(patience_s)

    def add(self, upstream: Upstream) -> FaultProxy:
        async def open_both() -> FaultProxy:
            await upstream.open()
            proxy = FaultProxy(upstream.port)
            await proxy.open()
            return proxy

        proxy = self.run(open_both())
        self.upstreams.append(upstream)
        self.proxies.append(proxy)
        return proxy

    def config(self, *, local: bool = True, network: str = "", more: str = "") -> str:
        text = f"{QUIET}\n[routing]\nstrategy = 'round_robin'\nkeep_decisions = 200\n[network]\n{network}\n{more}\n"
        for n, proxy in enumerate(self.proxies):
            text += f'[[providers]]\ntype = "vllm"\nname = "u{n}"\nbase_url = "http://127.0.0.1:{proxy.port}/v1"\n'
            text += f"models = ['{MODEL}']\nlocal = {str(local).lower()}\n"
        return text

    @property
    def calls(self) -> int:
        return sum(len(upstream.account) for upstream in self.upstreams)


@contextmanager
def stage(*upstreams: Upstream) -> Iterator[Stage]:
    one = Stage()
    thread = threading.Thread(target=one.loop.run_forever, daemon=True)
    thread.start()
    try:
        for upstream in upstreams:
            one.add(upstream)
        yield one
    finally:
        one.run(_end(one))
        one.loop.call_soon_threadsafe(one.loop.stop)
        thread.join()
        one.loop.close()


async def _end(one: Stage) -> None:
    for proxy in one.proxies:
        proxy.kill()
    for upstream in one.upstreams:
        upstream.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Told:
    """What a client heard. `whole`: the reply came to the end that its framing says."""

    status: int
    head: bytes
    body: bytes
    whole: bool
    took_s: float

    @property
    def words(self) -> int:
        return self.body.count(WORD.encode())

    @property
    def done(self) -> bool:
        return b"data: [DONE]" in self.body

    @property
    def error(self) -> bool:
        return b'"error"' in self.body

    def is_answer(self, pieces: int, *, stream: bool) -> bool:
        is_ended = self.done if stream else self.whole
        return self.status == 200 and self.words == pieces and is_ended and not self.error


async def ask(port: int, call: str, *, stream: bool, leave: Leave = "", after: int = 0, **fields: object) -> Told:
    """One request on a connection of its own. Who leaves does so when `after` pieces have come."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": call}], "max_tokens": 50, "stream": stream}
    body = json.dumps({**asked, **fields}).encode()
    began_s = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = b""
    try:
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
        while not leave or data.count(WORD.encode()) < after:
            if not (got := await reader.read(1 << 16)):
                break
            data += got
        if leave == "rst":
            reset(writer)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return _told(data, time.monotonic() - began_s)


def _told(data: bytes, took_s: float) -> Told:
    head, _, rest = data.partition(b"\r\n\r\n")
    head = head.lower()
    status = int(head[9:12] or b"0")
    if b"transfer-encoding: chunked" not in head:
        size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or b"-1")
        return Told(status, head, rest, len(rest) == size, took_s)
    body = b""
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            return Told(status, head, body, True, took_s)
        body, rest = body + rest[:size], rest[size + 2 :]
    return Told(status, head, body, False, took_s)


def page(gateway: Running, path: str) -> bytes:
    return gateway.ask(b"", path=path, method="GET").body


def eventually(holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
