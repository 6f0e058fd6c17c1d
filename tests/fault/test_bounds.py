"""What grows stays small: names that callers make up, connections beyond the limit, prompts without measure. F2, L1, M2, Q2."""

import asyncio
import json
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from fault.stage import ask, eventually, page, stage
from fault.upstream import Upstream, reply
from gateway import Running, serving
from prometheus_text import Page

Reached = Callable[[str, str], None]
PIECES = 2
KEY = "a-token-of-good-length"
KEYED = f'[[keys]]\nname = "laptop"\ntoken = "{KEY}"\n'
MADE_UP = 100_000
FILES = 256
CLIENTS = 600


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_made_up_models_keys_and_prompts_fill_no_map(tmp_path: Path, reached: Reached) -> None:
    """Half of the models answer; what a key is not known for is refused, by an address of its own limit."""
    gone = reply(b"404 Not Found", b'{"error":{"message":"no such model","code":"model_not_found"}}')
    with stage(Upstream(PIECES, instead=lambda n: gone if n % 2 else None)) as at:
        config = at.config(more=KEYED).replace("models = ['m']", "models = ['*']")
        with serving(tmp_path, config) as gateway:
            process = psutil.Process(gateway.process.pid)
            sizes = [process.memory_info().rss]
            for n in range(4):
                at.run(_made_up(gateway.port, range(n * MADE_UP // 4, (n + 1) * MADE_UP // 4)), 400)
                sizes.append(process.memory_info().rss)
            metrics = page_of(gateway)
        grown, late = sizes[-1] - sizes[0], sizes[-1] - sizes[-2]
        print([size >> 10 for size in sizes])
        labels = {sample.labels["model"] for sample in metrics.all("hoosh_requests_total")}
        assert len(labels) <= 210
        assert grown < 64 << 20
        assert late < 4 << 20
        reached("M2", f"{MADE_UP} requests: RSS +{grown / 2**20:.1f} MiB, of the last quarter {late / 2**20:+.1f} MiB")


def page_of(gateway: Running) -> Page:
    return Page(gateway.ask(b"", f"authorization: Bearer {KEY}", path="/metrics", method="GET").body)


async def _made_up(port: int, numbers: range) -> None:
    callers = 8
    await asyncio.gather(*(_one_line(port, numbers[n::callers]) for n in range(callers)))


async def _one_line(port: int, numbers: range) -> None:
    """Requests on one connection, each with names of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for n in numbers:
        asked = {"model": f"made-up-{n}", "messages": [{"role": "user", "content": f"prompt {n}"}], "user": f"u{n}"}
        body = json.dumps(asked).encode()
        token = f"{KEY}-{n}" if n % 4 == 3 else KEY
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nx-session-id: s{n}\r\n"
        )
        writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(told.partition(b"content-length:")[2].split(b"\r\n")[0]))
        if b"connection: close" in told:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def test_more_clients_than_files_stop_the_accepting_and_nothing_else(tmp_path: Path, reached: Reached) -> None:
    with stage(Upstream(PIECES)) as at, serving(tmp_path, at.config()) as gateway:
        process = psutil.Process(gateway.process.pid)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        with socket.create_connection(("127.0.0.1", gateway.port)) as early:
            assert _is_alive(early)
            crowd = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(CLIENTS)]
            eventually(lambda: process.num_fds() >= FILES - 10 or not _is_alive(early))
            before, began_s = process.cpu_times(), time.monotonic()
            for _ in range(20):
                assert _is_alive(early)  # who is in is served
                time.sleep(0.1)
            after, passed_s = process.cpu_times(), time.monotonic() - began_s
            part = (after.user + after.system - before.user - before.system) / passed_s
            for one in crowd:
                one.close()
            eventually(lambda: at.run(ask(gateway.port, "after", stream=True)).is_answer(PIECES, stream=True))
        said = len((tmp_path / "stderr.log").read_text().splitlines())
        print(f"{part:.3f} of a core, {said} lines")
        assert part < 0.5
        assert said < 50
        reached("F2", f"{CLIENTS} clients with {FILES} files: {100 * part:.0f} % of a core, {said} lines of log")


def _is_alive(line: socket.socket) -> bool:
    line.settimeout(30)
    line.sendall(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
    return line.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_prompts_of_a_million_tokens_hold_up_nobody(tmp_path: Path, reached: Reached) -> None:
    """Four at once, again and again, of some 4 bytes a token and of what is dearest to look at."""
    prompt = "word " * 800_000 + '\u65e5\u672c\\"\n' * 100_000
    with stage(Upstream(PIECES)) as at, serving(tmp_path, at.config()) as gateway:

        async def four_at_once() -> list[float]:
            async def caller(n: int) -> None:
                for m in range(4):
                    assert (await ask(gateway.port, f"{prompt}{n}{m}", stream=True)).is_answer(PIECES, stream=True)

            calls = [asyncio.ensure_future(caller(n)) for n in range(4)]
            took: list[float] = []
            while not all(call.done() for call in calls):
                _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                writer.close()
                await asyncio.sleep(0.02)
            await asyncio.gather(*calls)
            return took

        at.run(four_at_once())
        lag_s = Page(page(gateway, "/metrics")).value("hoosh_event_loop_lag_seconds")
        print(f"{lag_s:.3f} s")
        assert lag_s < 0.25
        reached(
            "L1",
            f"16 prompts of {len(prompt.encode()) / 1e6:.1f} MB, 4 at once: the loop was late by {1e3 * lag_s:.0f} ms at most",
        )


def test_a_thousand_idle_connections_cost_little(tmp_path: Path, reached: Reached) -> None:
    with stage(Upstream(PIECES)) as at, serving(tmp_path, at.config()) as gateway:
        process = psutil.Process(gateway.process.pid)
        lines = []
        try:
            for n in range(1100):
                line = socket.create_connection(("127.0.0.1", gateway.port))
                lines.append(line)
                assert _is_alive(line)
                if n == 99:
                    before = process.memory_info().rss
            each = (process.memory_info().rss - before) / 1000
            assert at.run(ask(gateway.port, "beside them", stream=True)).is_answer(PIECES, stream=True)
        finally:
            for line in lines:
                line.close()
        assert each <= 25_000
        reached("Q2", f"1,000 idle connections: {each / 1e3:.1f} kB each")
