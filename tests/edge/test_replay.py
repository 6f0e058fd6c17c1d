"""The replay server as a client meets it on the wire, and the transport that replays without one."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.fake_upstream import LOOPS, eventually, run_on
from engine_world import FINISH, HELLO, ROLE, WORLD, Stage
from gateway import PATIENCE_S, Answer, Running, clean_environ, running
from hoosh.core.errors import HooshError, Idle, NoFirstEvent, Reset, Truncated
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.engine.engine import Engine, World
from hoosh.http.replay import ReplayServer
from hoosh.recordings.match import Library
from hoosh.recordings.player import Player
from hoosh.recordings.record import NULL, Record, json_or_none, to_line
from hoosh.recordings.script import Play, parse_play
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.replay import ReplayTransport
from hoosh.transport.settings import TransportSettings

HI = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}'
SSE = (ROLE + HELLO + WORLD + FINISH + b"data: [DONE]\n\n").decode()
PATH = "/v1/chat/completions"
RECORD = Record(
    id="stream",
    provider="openai",
    url_path=PATH,
    status=200,
    request_body=json_or_none(HI) or NULL,
    response_headers={"content-type": "text/event-stream", "x-request-id": "7"},
    response_body=SSE,
    stream=True,
)
MODELS = Record(id="models", provider="openai", url_path="/v1/models", method="GET", status=200, response_body="[]")
BOTH = ["over a socket", "in process"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("replay")
    (home / "t.jsonl").write_bytes(to_line(RECORD) + to_line(MODELS))
    with running(home, "replay", str(home / "t.jsonl"), "--port", "0") as serving:
        yield serving


def play(how: str, options: str, ask: Callable[[Any, str], Awaitable[None]], *records: Record) -> Player:
    """Run `ask(transport, base_url)` with both ways to replay."""
    player = Player(Library(records or (RECORD, MODELS)), parse_play(options, Play()))

    async def main() -> None:
        if how == "in process":
            await ask(ReplayTransport(player), "http://replay/p/openai/v1")
            return
        listening = socket.create_server(("127.0.0.1", 0))
        server, transport = ReplayServer(player), HTTPTransport(TransportSettings())
        await server.open(listening)
        try:
            await ask(transport, f"http://127.0.0.1:{listening.getsockname()[1]}/p/openai/v1")
        finally:
            await transport.aclose()
            await eventually(lambda: not server.peers)
            await server.aclose()

    for loop in LOOPS:
        run_on(loop, main())
    return player


async def pull(transport: Any, base_url: str, timeouts: Timeouts = Timeouts()) -> list[bytes]:
    pieces = []
    async with transport.exchange(base_url, WireRequest("/chat/completions", HI), timeouts) as reply:
        assert reply.status == 200
        assert reply.headers[b"x-request-id"] == b"7"
        while piece := await reply.read():
            pieces.append(piece)
    return pieces


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize("chunk", ["recorded", "event", "byte", "random", "whole"])
def test_the_body_arrives_whole_in_every_chunking(how: str, chunk: str) -> None:
    async def ask(transport: Any, base_url: str) -> None:
        pieces = await pull(transport, base_url)
        assert b"".join(pieces) == SSE.encode()
        if how == "in process" and chunk == "byte":
            assert {len(piece) for piece in pieces} == {1}

    player = play(how, f"chunk={chunk}", ask)
    assert [(seen.sent_bytes, seen.left) for seen in player.log] == [(len(SSE), False)] * 2


@pytest.mark.parametrize("how", BOTH)
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("cut=100", Truncated),
        ("cut=0", Truncated),
        ("cut=99999", Truncated),
        ("cut", Reset),
        ("reset=100", Truncated),
        ("reset", Reset),
        ("stall=100", Idle),
        ("stall", NoFirstEvent),
    ],
)
def test_each_fault_is_the_error_that_it_should_be(how: str, options: str, error: type[HooshError]) -> None:
    async def ask(transport: Any, base_url: str) -> None:
        with pytest.raises(error):
            await pull(transport, base_url, Timeouts(first_byte_s=0.05, idle_s=0.05))

    play(how, f"{options},chunk=random", ask)


@pytest.mark.parametrize("how", BOTH)
def test_a_pause_is_played_at_the_pace_of_the_recording_only(how: str) -> None:
    hour_us = 3_600_000_000
    paused = msgspec.structs.replace(RECORD, pieces=((0, 100), (hour_us, len(SSE) - 100)))

    async def meet(transport: Any, base_url: str) -> None:
        with pytest.raises(Idle):
            await pull(transport, base_url, Timeouts(idle_s=0.05))

    async def skip(transport: Any, base_url: str) -> None:
        assert b"".join(await pull(transport, base_url)) == SSE.encode()

    assert [seen.sent_bytes for seen in play(how, "pace=recorded", meet, paused).log] == [100, 100]
    play(how, "pace=instant", skip, paused)


@pytest.mark.parametrize("how", BOTH)
def test_a_client_that_leaves_a_stall_is_noticed(how: str) -> None:
    async def ask(transport: Any, base_url: str) -> None:
        async with transport.exchange(base_url, WireRequest("/chat/completions", HI), Timeouts()) as reply:
            assert await reply.read()

    player = play(how, "stall=100,chunk=whole", ask)
    assert [(seen.sent_bytes, seen.left) for seen in player.log] == [(100, True)] * 2


@pytest.mark.parametrize("how", BOTH)
def test_a_miss_is_a_404_that_says_what_was_near(how: str) -> None:
    async def ask(transport: Any, base_url: str) -> None:
        other = WireRequest("/chat/completions", HI.replace(b"Hi", b"Ho"))
        async with transport.exchange(base_url, other, Timeouts()) as reply:
            assert reply.status == 404
            error = json.loads(await reply.read())["error"]
            assert error["nearest"][0] == {"id": "stream", "differs": ["messages"]}

    play(how, "", ask)


class OnReplay(Engine):
    def __init__(self, world: World) -> None:
        replay = ReplayTransport(Player(Library([RECORD]), Play(chunk="byte")))
        super().__init__(
            World(**{name: getattr(world, name) for name in world.__struct_fields__} | {"transport": replay})
        )


def test_an_engine_over_a_recording() -> None:
    async def main() -> None:
        stage = Stage(OnReplay, a=())
        await stage.serve(HI)
        assert b"Hello" in stage.sink.out
        assert stage.sink.out.endswith(b"data: [DONE]\n\n")
        assert stage.sink.error is None
        await stage.check()

    asyncio.run(main())


# The server's own door


def ask(server: Running, path: str, *headers: str, body: bytes = HI) -> Answer:
    return server.ask(body, *headers, path=path)


def control(server: Running, method: str, path: str, value: object = None) -> Answer:
    body = b"" if value is None else json.dumps(value).encode()
    return server.ask(body, method=method, path=path)


@pytest.fixture
def fresh(server: Running) -> Running:
    assert control(server, "POST", "/_reset").value == {"ok": True}
    return server


def test_it_says_where_each_provider_is(server: Running) -> None:
    assert f"  openai       {server.url}/p/openai/v1  2 exchanges\n" in server.banner
    assert control(server, "GET", "/_records").value["records"][1] == {
        "id": "models", "provider": "openai", "method": "GET", "url_path": "/v1/models", "status": 200,
        "stream": False, "end": "complete",
    }  # fmt: skip


def test_options_in_a_header(fresh: Running) -> None:
    answer = ask(fresh, f"/p/openai{PATH}", "x-replay: status=429,retry-after=3")
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")
    assert ask(fresh, f"/p/openai{PATH}", "x-replay: cut=oops").error["param"] == "cut"


def test_options_in_a_path(fresh: Running) -> None:
    answer = ask(fresh, f"/f/status=503/p/openai{PATH}")
    assert answer.status == 503
    assert ask(fresh, f"/f/cut=oops/p/openai{PATH}").status == 400


def test_the_log_says_what_was_asked(fresh: Running) -> None:
    ask(fresh, f"/p/openai{PATH}?key=secret", "authorization: Bearer secret")
    ask(fresh, "/p/openai/v1/nothing")
    first, second = control(fresh, "GET", "/_log").value["log"]
    assert first["body"] == json.loads(HI)
    assert first["match"] == "exact"
    assert first["id"] == "stream"
    assert first["sent_bytes"] == len(SSE)
    assert (second["match"], second["id"]) == ("none", None)
    assert "secret" not in json.dumps([first, second])


def test_a_pin_over_the_wire(fresh: Running) -> None:
    assert control(fresh, "POST", "/_pin", {"ids": ["models"]}).value == {"ok": True}
    assert ask(fresh, f"/p/openai{PATH}").body == b"[]"
    assert ask(fresh, f"/p/openai{PATH}").body != b"[]"


@pytest.mark.parametrize(
    ("line", "value", "status", "why"),
    [
        ("POST /_pin", {"ids": ["zzz"]}, 400, "no record has the id 'zzz'"),
        ("POST /_pin", {"id": "models"}, 400, "unknown field `id`"),
        ("GET /_pin", None, 405, "use POST"),
        ("GET /_nothing", None, 404, "no such path"),
    ],
)
def test_a_wrong_control_is_told(fresh: Running, line: str, value: object, status: int, why: str) -> None:
    method, path = line.split()
    answer = control(fresh, method, path, value)
    assert answer.status == status
    assert why in answer.error["message"]


def test_a_page_that_calls_this_machine_by_its_own_name_gets_nothing(fresh: Running) -> None:
    assert fresh.ask(b"", "host: evil.test", method="GET", path="/_log").status == 403


def test_what_is_no_http_is_refused(server: Running) -> None:
    assert Answer(server.raw(b"NONSENSE\r\n\r\n")).status == 400


def test_a_connection_serves_many_requests_in_their_order(server: Running) -> None:
    one = b"GET /p/openai/v1/models HTTP/1.1\r\nhost: localhost\r\n"
    chat = b"POST /p/openai%b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n" % (PATH.encode(), len(HI))
    data = server.raw(one + b"\r\n" + chat + b"\r\n" + HI + one + b"connection: close\r\n\r\n")
    assert data.count(b"HTTP/1.1 200") == 3
    assert data.index(b"x-replay-id: models") < data.index(b"x-replay-id: stream")
    assert data.endswith(b"[]")


def test_a_client_that_waits_for_continue(server: Running) -> None:
    head = b"POST /p/openai%b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head % (PATH.encode(), len(HI)))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(HI)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_end_does_not_wait_for_a_stall(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(to_line(RECORD))
    with running(tmp_path, "replay", str(tmp_path / "t.jsonl"), "--port", "0", "--fault", "stall=10") as server:
        head = b"POST /p/openai%b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (PATH.encode(), len(HI))
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
        connection.sendall(head + HI)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        connection.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["missing.jsonl"], "hoosh: cannot read missing.jsonl: No such file or directory"),
        (["bad.jsonl"], "hoosh: bad.jsonl:2: not a recorded exchange: JSON is malformed"),
        (["good.jsonl", "--fault", "cut=x"], "hoosh: --fault: cut: expected a whole number"),
        ([], "hoosh: "),
    ],
)
def test_a_wrong_command_is_one_line(words: list[str], why: str, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(to_line(RECORD))
    (tmp_path / "bad.jsonl").write_bytes(to_line(RECORD) + b"oops\n")
    command = [sys.executable, "-m", "hoosh", "replay", *words, "--port", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=clean_environ(tmp_path), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(why)
    assert done.stderr.count("\n") == 1
