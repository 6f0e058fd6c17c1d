"""The embedded engine: the real llama.cpp in its child process, on a model of random weights."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest

import tiny_gguf
from edge.fake_upstream import LOOPS, PATIENCE_S, eventually, run_on
from hoosh.core.errors import ConnectFailed, Reset, UpstreamError
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.local.embedded import EmbeddedTransport, has_engine
from hoosh.local.llama_child import Launch
from hoosh.local.supervisor import COMMAND, EngineSettings, Supervisor
from hoosh.ports import Reply, Transport
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings

pytestmark = pytest.mark.skipif(not has_engine(), reason="the engine (hoosh[llama]) is not installed")

Loop = Callable[[], asyncio.AbstractEventLoop]
PATIENT = Timeouts(connect_s=PATIENCE_S, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S, total_s=2 * PATIENCE_S)
HELLO = [{"role": "user", "content": "Hello"}]
# Longer than a test takes to act on its first piece.
LONG = {"messages": HELLO, "max_tokens": 1900, "ignore_eos": True, "stream": True}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.make(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@asynccontextmanager
async def running(settings: EngineSettings) -> AsyncIterator[tuple[Supervisor, HTTPTransport, EmbeddedTransport]]:
    http = HTTPTransport(TransportSettings())
    supervisor = Supervisor(settings, http)
    try:
        yield supervisor, http, EmbeddedTransport(http, {"tiny": supervisor})
    finally:
        await supervisor.stop()
        await http.aclose()
        assert supervisor.state.phase == "stopped"
        assert supervisor.state.pid is None
        assert http.open_connections == 0


def children() -> list[psutil.Process]:
    """Those that run Python, as an engine does: not a server that other tests share."""
    return [child for child in psutil.Process().children() if child.cmdline()[:1] == [sys.executable]]


def settings_of(weights: Path, command: tuple[str, ...] = COMMAND) -> EngineSettings:
    return EngineSettings(
        model_path=weights, alias="tiny", context_tokens=2048, threads=1, start_s=PATIENCE_S, command=command
    )


def script(code: str) -> tuple[str, ...]:
    """An engine that does no more than this."""
    return (sys.executable, "-c", code)


def run(main: Coroutine[object, object, None]) -> None:
    run_on(asyncio.new_event_loop, main)


def chat(body: dict[str, object]) -> WireRequest:
    return WireRequest(
        "/chat/completions",
        msgspec.json.encode({"model": "tiny", "temperature": 0} | body),
        headers=((b"content-type", b"application/json"),),
    )


async def read_all(reply: Reply) -> bytes:
    pieces = []
    while piece := await reply.read():
        pieces.append(piece)
    return b"".join(pieces)


async def ask(
    transport: Transport, body: dict[str, object], url: str = "embedded://tiny"
) -> tuple[int, dict[str, object]]:
    async with transport.exchange(url, chat(body), PATIENT) as reply:
        answer: dict[str, object] = json.loads(await read_all(reply))
        return reply.status, answer


def is_gone(pid: int) -> bool:
    """A zombie that nobody waits for is as gone as can be."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def has_restarted(supervisor: Supervisor, times: int) -> bool:
    return (supervisor.state.phase, supervisor.state.restarts) == ("ready", times)


def pid_of(supervisor: Supervisor) -> int:
    pid = supervisor.state.pid
    assert pid is not None
    return pid


@pytest.mark.parametrize("loop", LOOPS)
def test_answers_streams_and_leaves_no_process(loop: Loop, weights: Path) -> None:
    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, _, embedded):
            assert supervisor.state.phase == "stopped"
            status, answer = await ask(embedded, {"messages": HELLO, "max_tokens": 5})
            assert status == 200
            assert answer["model"] == "tiny"
            assert answer["usage"]["completion_tokens"] == 5  # type: ignore[index]
            body = {"messages": HELLO, "max_tokens": 9, "stream": True, "stream_options": {"include_usage": True}}
            async with embedded.exchange("embedded://tiny", chat(body), PATIENT) as reply:
                assert reply.headers[b"content-type"].startswith(b"text/event-stream")
                events = (await read_all(reply)).split(b"\n\n")
            assert events[-2:] == [b"data: [DONE]", b""]
            last = json.loads(events[-3].removeprefix(b"data: "))
            assert last["choices"] == []
            assert last["usage"]["completion_tokens"] == 9
            assert has_restarted(supervisor, 0)
            pid = pid_of(supervisor)
            assert not is_gone(pid)
        assert is_gone(pid)
        assert not [child for child in psutil.Process().children(recursive=True) if child.pid == pid]

    run_on(loop, main())


def test_takes_tools_and_json_schemas(weights: Path) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    schema = {"type": "object", "properties": {"ok": {"enum": ["yes", "no"]}}, "required": ["ok"]}

    async def main() -> None:
        async with running(settings_of(weights)) as (_, _, embedded):
            status, plain = await ask(embedded, {"messages": HELLO, "max_tokens": 2})
            assert status == 200
            status, tooled = await ask(embedded, {"messages": HELLO, "max_tokens": 2, "tools": [tool]})
            assert status == 200
            prompt_tokens = [answer["usage"]["prompt_tokens"] for answer in (plain, tooled)]  # type: ignore[index]
            assert prompt_tokens[0] < prompt_tokens[1]
            form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
            status, formed = await ask(embedded, {"messages": HELLO, "max_tokens": 500, "response_format": form})
            assert status == 200
            said = json.loads(formed["choices"][0]["message"]["content"])  # type: ignore[index]
            assert said["ok"] in ("yes", "no")

    run(main())


def test_every_call_has_the_whole_context_that_was_set(weights: Path) -> None:
    async def main() -> None:
        settings = msgspec.structs.replace(settings_of(weights), context_tokens=512, parallel=2)
        async with running(settings) as (_, _, embedded):
            status, answer = await ask(embedded, {"messages": [{"role": "user", "content": "a " * 2000}]})
            assert status == 400
            assert answer["error"]["type"] == "exceed_context_size_error"  # type: ignore[index]
            assert answer["error"]["n_ctx"] == 512  # type: ignore[index]

    run(main())


def test_only_the_gateway_may_use_the_port_and_no_secret_is_passed_on(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-provider")

    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, http, _):
            url = await supervisor.base_url()
            assert url.startswith("http://127.0.0.1:")
            status, answer = await ask(http, {"messages": HELLO}, url)
            assert status == 401
            assert "choices" not in answer
            engine = psutil.Process(pid_of(supervisor))
            key = supervisor.authorization[0][1].removeprefix(b"Bearer ").decode()
            seen = " ".join([*engine.cmdline(), *engine.environ().values()])
            assert key not in seen
            assert "sk-of-a-provider" not in seen
            assert str(weights) not in seen

    run(main())


def test_ends_with_its_standard_input(weights: Path) -> None:
    launch = Launch(model_path=str(weights), alias="tiny", api_key="k", context_tokens=512, parallel=1, threads=1)
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(msgspec.json.encode(launch) + b"\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["base_url"].startswith("http://127.0.0.1:")
        assert child.stdout.read() == b""
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(PATIENCE_S) == 0


GATEWAY = """
import asyncio, sys
from pathlib import Path
from hoosh.local.supervisor import EngineSettings, Supervisor
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings

async def main():
    settings = EngineSettings(model_path=Path(sys.argv[1]), alias="tiny", context_tokens=512, threads=1)
    supervisor = Supervisor(settings, HTTPTransport(TransportSettings()))
    await supervisor.base_url()
    print(supervisor.state.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_ends_with_a_gateway_that_is_killed(weights: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", GATEWAY, str(weights)], stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout
        pid = int(gateway.stdout.readline())
        assert not is_gone(pid)
        gateway.kill()

    async def main() -> None:
        await eventually(lambda: is_gone(pid))

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_killed_in_the_middle_of_a_stream(loop: Loop, weights: Path) -> None:
    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, _, embedded):
            async with embedded.exchange("embedded://tiny", chat(LONG), PATIENT) as reply:
                assert await reply.read()
                os.kill(pid_of(supervisor), signal.SIGKILL)
                with pytest.raises(UpstreamError):
                    await read_all(reply)
            try:
                status, _ = await ask(embedded, {"messages": HELLO, "max_tokens": 2})
            except Reset:
                # Its port may outlive the stream by a moment; the engine then tries again.
                status, _ = await ask(embedded, {"messages": HELLO, "max_tokens": 2})
            assert status == 200
            assert has_restarted(supervisor, 1)
            assert "it died of SIGKILL" in (supervisor.state.last_error or "")

    run_on(loop, main())


def test_killed_while_idle_it_is_started_again_unasked(weights: Path) -> None:
    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, _, _):
            await supervisor.base_url()
            first = pid_of(supervisor)
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: has_restarted(supervisor, 1))
            assert pid_of(supervisor) != first

    run(main())


def test_a_call_that_finds_nobody_goes_to_the_successor(weights: Path) -> None:
    class Gone:
        """Lets the engine die just before an exchange."""

        def __init__(self, inner: Transport) -> None:
            self.inner = inner
            self.victim: Callable[[], int] | None = None

        def exchange(
            self, base_url: str, request: WireRequest, timeouts: Timeouts
        ) -> AbstractAsyncContextManager[Reply]:
            if self.victim:
                os.kill(self.victim(), signal.SIGKILL)
                self.victim = None
                raise ConnectFailed("refused")
            return self.inner.exchange(base_url, request, timeouts)

    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, http, _):
            await supervisor.base_url()
            inner = Gone(http)
            inner.victim = lambda: pid_of(supervisor)
            status, _ = await ask(EmbeddedTransport(inner, {"tiny": supervisor}), {"messages": HELLO, "max_tokens": 2})
            assert status == 200
            assert inner.victim is None
            assert supervisor.state.restarts == 1

    run(main())


def test_calls_at_the_same_time_share_one_start_and_survive_each_other(weights: Path) -> None:
    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, _, _):
            impatient, *patient = [asyncio.create_task(supervisor.base_url()) for _ in range(5)]
            await asyncio.sleep(0)
            impatient.cancel()
            assert len(set(await asyncio.gather(*patient))) == 1
            assert impatient.cancelled()
            assert supervisor.state.restarts == 0
            assert len(children()) == 1

    run(main())


def broken(folder: Path) -> Path:
    path = folder / "broken.gguf"
    path.write_bytes(b"these are no weights at all")
    return path


def test_after_too_many_crashes_it_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        settings = msgspec.structs.replace(
            settings_of(broken(tmp_path)), crash_limit=3, crash_window_s=3600.0, cool_down_s=3600.0
        )
        async with running(settings) as (supervisor, _, embedded):
            for _ in range(3):
                with pytest.raises(ConnectFailed, match=r"did not start: it ended with exit code 1; .*magic") as caught:
                    await ask(embedded, {"messages": HELLO})
                assert str(tmp_path) not in caught.value.message
            assert supervisor.state.restarts == 2
            with pytest.raises(ConnectFailed, match=r"crashed 3 times, \d+ s to the next try: .*magic") as caught:
                await ask(embedded, {"messages": HELLO})
            assert caught.value.retry_after_s is not None
            assert 0 < caught.value.retry_after_s <= 3600
            state = supervisor.state
            assert (state.phase, state.pid, state.restarts) == ("crashed", None, 2)

    run(main())


def test_after_the_cool_down_it_is_tried_again(tmp_path: Path, weights: Path) -> None:
    path = broken(tmp_path)

    async def main() -> None:
        settings = msgspec.structs.replace(settings_of(path), crash_limit=2, cool_down_s=0.0)
        async with running(settings) as (supervisor, _, embedded):
            for _ in range(3):
                with pytest.raises(ConnectFailed, match="did not start"):
                    await ask(embedded, {"messages": HELLO})
            path.write_bytes(weights.read_bytes())
            assert (await ask(embedded, {"messages": HELLO, "max_tokens": 2}))[0] == 200
            assert supervisor.state.restarts == 3

    run(main())


def test_an_engine_that_keeps_dying_when_ready_is_left_alone(weights: Path) -> None:
    async def main() -> None:
        settings = msgspec.structs.replace(
            settings_of(weights), crash_limit=2, crash_window_s=3600.0, cool_down_s=3600.0
        )
        async with running(settings) as (supervisor, _, _):
            await supervisor.base_url()
            for restarts in range(2):
                await eventually(partial(has_restarted, supervisor, restarts))
                os.kill(pid_of(supervisor), signal.SIGKILL)
            await eventually(lambda: supervisor.state.phase == "crashed")
            with pytest.raises(ConnectFailed, match="crashed 2 times"):
                await supervisor.base_url()

    run(main())


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import time; time.sleep(600)", "no token within 0.2 s; it died of SIGTERM"),
        ("print('hello', flush=True); input(); input()", "it ended with exit code 1; .*EOFError"),
        (
            """print('{"base_url": "http://127.0.0.1:1/v1"}', flush=True); input(); input()""",
            "127.0.0.1.*; it ended with exit code 1",
        ),
        ("import sys; sys.exit('no engine here')", "it ended with exit code 1; no engine here"),
        ("import os; os.abort()", "it died of SIGABRT"),
        ("import sys; sys.stderr.write('x' * 1_000_000); sys.exit(3)", "it ended with exit code 3; x{500}$"),
    ],
    ids=["silent", "another protocol", "nobody on the port", "says why", "aborts", "endless line"],
)
def test_engines_that_do_not_start(weights: Path, code: str, why: str) -> None:
    async def main() -> None:
        start_s = 0.2 if "0.2 s" in why else PATIENCE_S
        settings = msgspec.structs.replace(settings_of(weights, script(code)), start_s=start_s)
        async with running(settings) as (supervisor, _, embedded):
            with pytest.raises(ConnectFailed, match=why):
                await ask(embedded, {"messages": HELLO})
            assert supervisor.state.phase == "crashed"
            assert not children()

    run(main())


def test_an_engine_that_cannot_be_run_at_all(weights: Path) -> None:
    async def main() -> None:
        async with running(settings_of(weights, ("/nonexistent/engine",))) as (_, _, embedded):
            with pytest.raises(ConnectFailed, match=r"did not start: .*No such file"):
                await ask(embedded, {"messages": HELLO})

    run(main())


def test_stop_ends_one_that_will_not_hear(weights: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"

    async def main() -> None:
        settings = settings_of(weights, script(deaf))
        async with running(settings) as (supervisor, _, _):
            waiting = asyncio.create_task(supervisor.base_url())
            await eventually(lambda: supervisor.state.pid is not None)
            pid = pid_of(supervisor)
            await supervisor.stop()
            assert is_gone(pid)
            with pytest.raises(ConnectFailed):
                await waiting
            with pytest.raises(ConnectFailed, match="shut down"):
                await supervisor.base_url()

    run(main())


def test_stop_before_there_is_a_process(weights: Path) -> None:
    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, _, _):
            waiting = asyncio.create_task(supervisor.base_url())
            await asyncio.sleep(0)
            await supervisor.stop()
            with pytest.raises(ConnectFailed):
                await waiting
            assert not children()

    run(main())


def test_names_that_no_engine_runs(weights: Path) -> None:
    async def main() -> None:
        async with running(settings_of(weights)) as (supervisor, _, embedded):
            with pytest.raises(ConnectFailed, match="no embedded engine runs 'huge'"):
                await ask(embedded, {"messages": HELLO}, "embedded://huge")
            assert supervisor.state.phase == "stopped"

    run(main())
