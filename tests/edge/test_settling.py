"""A call is settled once and right, wherever its client leaves, its provider breaks off, and however usage is told.

The provider does what the prompt says, and keeps an account of its own: that is the truth.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway import PATIENCE_S, Chat, Provider, Running, one_provider, provider, serving

CHUNKS = 6
PROMPT_TOKENS = 9
BUDGET = '[[budgets]]\nname = "default"\ncapacity = 1_000_000_000\n'
DRAIN = '[server]\non_disconnect = "drain"\n'


class Obedient(Chat):
    """`usage`: how it is told. `cut`: after so many pieces the connection ends. `hold`: after so many it waits for
    whoever has `server.go`.
    """

    server: "ObedientProvider"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        script = json.loads(asked["messages"][0]["content"])
        try:
            self._stream_of(asked["model"], script) if asked.get("stream") else self._whole(asked["model"], script)
        except OSError:
            self.server.hung_up.set()
        self.close_connection = True

    def _whole(self, model: str, script: dict[str, Any]) -> None:
        self._hold(script, 0)
        message = {"role": "assistant", "content": "word " * CHUNKS}
        answer: dict[str, Any] = {"id": "x", "model": model, "choices": [{"index": 0, "message": message}]}
        answer["choices"][0]["finish_reason"] = "stop"
        if script["usage"] != "none":
            answer["usage"] = _usage()
        self._reply(200, answer)

    def _stream_of(self, model: str, script: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for n in range(CHUNKS):
            self._hold(script, n)
            if script.get("cut") == n:
                return
            beside = {"usage": _usage()} if script["usage"] == "beside" and n == CHUNKS - 1 else {}
            self._send(model, [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}], **beside)
        self._hold(script, CHUNKS)
        if script.get("cut") == CHUNKS:
            return
        self._send(model, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        for _ in range({"none": 0, "beside": 0, "twice": 2}.get(script["usage"], 1)):
            self._send(model, [], usage=_usage())
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, model: str, choices: list[Any], **more: object) -> None:
        chunk = {"id": "x", "model": model, "choices": choices, **more}
        self.wfile.write(b"data: %b\n\n" % json.dumps(chunk).encode())
        self.wfile.flush()

    def _hold(self, script: dict[str, Any], n: int) -> None:
        if script.get("hold") == n:
            self.server.is_held.set()
            self.server.go.wait(PATIENCE_S)
            self.server.go.clear()


def _usage() -> dict[str, int]:
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": CHUNKS, "total_tokens": PROMPT_TOKENS + CHUNKS}


class ObedientProvider(Provider):
    def __init__(self, handler: type[Chat] = Obedient) -> None:
        super().__init__(handler)
        self.go, self.is_held = threading.Event(), threading.Event()


class House(NamedTuple):
    gateway: Running
    fake: ObedientProvider
    log: Path

    def ask(self, *, stream: bool = True, **script: object) -> Any:
        return self.gateway.json(self.body(stream=stream, **script))

    def body(self, *, stream: bool = True, **script: object) -> dict[str, Any]:
        told = json.dumps({"usage": "last", **script})
        return {"model": "echo", "messages": [{"role": "user", "content": told}], "max_tokens": 50, "stream": stream}

    def standing(self) -> tuple[int, int]:
        pool = self.gateway.ask(b"", path="/v1/tokens/pools/default", method="GET").value
        return pool["used"], pool["reserved"]

    def receipts(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line.get("event") == "call" and line.get("provider")]

    def settled(self, before: tuple[int, int], known: int) -> tuple[int, dict[str, Any]]:
        """What the one call since then is charged, and its line in the log. Nothing of it is held."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.receipts()) == known or self.standing()[1]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (receipt,) = self.receipts()[known:]
        charged = self.standing()[0] - before[0]
        assert charged == receipt["input_tokens"] + receipt["output_tokens"]
        return charged, receipt

    def leave(self, after: int, *, stream: bool = True) -> tuple[int, dict[str, Any]]:
        """A client that goes when so many pieces have come; then the provider goes on."""
        before, known = self.standing(), len(self.receipts())
        self.fake.is_held.clear()
        self.fake.hung_up.clear()
        body = json.dumps(self.body(stream=stream, hold=after)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
        with socket.create_connection(("127.0.0.1", self.gateway.port), PATIENCE_S) as line:
            line.sendall(f"{head}content-type: application/json\r\n\r\n".encode() + body)
            seen = b""
            while seen.count(b"word ") < (after if stream else 0):
                seen += line.recv(65536)
            assert self.fake.is_held.wait(PATIENCE_S)
        if not self.drains:
            self.settled(before, known)
        self.fake.go.set()
        return self.settled(before, known)

    @property
    def drains(self) -> bool:
        return "drain" in (self.log.parent / "hoosh.toml").read_text()


@pytest.fixture(scope="module", params=["cancel", "drain"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home, fake = tmp_path_factory.mktemp("house"), ObedientProvider()
    thread = threading.Thread(target=fake.serve_forever, daemon=True)
    thread.start()
    config = one_provider(fake.url) + BUDGET + (DRAIN if request.param == "drain" else "")
    try:
        with serving(home, config) as gateway:
            yield House(gateway, fake, home / "stderr.log")
    finally:
        fake.shutdown()
        fake.server_close()
        thread.join()


@pytest.mark.parametrize("after", range(CHUNKS + 1))
def test_a_client_leaves_at_each_piece(house: House, after: int) -> None:
    charged, receipt = house.leave(after)
    assert receipt["outcome"] == "cancelled"
    if house.drains:
        assert (charged, receipt["usage"]) == (PROMPT_TOKENS + CHUNKS, "reported")
    else:
        assert receipt["usage"] == "estimated"
        assert receipt["input_tokens"] > 0
        assert (receipt["output_tokens"] > 0) == (after > 0)


def test_a_client_leaves_before_an_answer_that_is_not_streamed(house: House) -> None:
    charged, receipt = house.leave(0, stream=False)
    assert receipt["outcome"] == "cancelled"
    if house.drains:
        assert (charged, receipt["usage"]) == (PROMPT_TOKENS + CHUNKS, "reported")
    else:
        assert (receipt["usage"], receipt["output_tokens"]) == ("estimated", 0)


@pytest.mark.parametrize("cut", range(CHUNKS + 1))
def test_a_provider_breaks_off_at_each_piece(house: House, cut: int) -> None:
    before, known = house.standing(), len(house.receipts())
    told = house.ask(cut=cut)
    assert told.status == (502 if cut == 0 else 200)
    charged, receipt = house.settled(before, known)
    assert receipt["outcome"] == "failed"
    assert receipt["usage"] == "estimated"
    assert charged > 0
    assert (receipt["output_tokens"] > 0) == (cut > 0)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("usage", ["last", "twice", "beside", "none"])
def test_usage_counts_once_however_it_is_told(house: House, usage: str, stream: bool) -> None:
    before, known = house.standing(), len(house.receipts())
    assert house.ask(stream=stream, usage=usage).status == 200
    charged, receipt = house.settled(before, known)
    assert receipt["outcome"] == "ok"
    if usage == "none":
        assert receipt["usage"] == "estimated"
        assert receipt["output_tokens"] > 0
    else:
        assert (charged, receipt["usage"]) == (PROMPT_TOKENS + CHUNKS, "reported")


def test_the_end_of_a_gateway_that_drains_settles_what_it_still_reads(tmp_path: Path) -> None:
    with provider(Chat) as fake, suppress(ConnectionError):
        config = one_provider(fake.url) + BUDGET + DRAIN
        with serving(tmp_path, config) as gateway:
            body = json.dumps({"model": "silent", "messages": [{"role": "user", "content": "Hi"}]}).encode()
            with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_S) as line:
                head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
                line.sendall(f"{head}content-type: application/json\r\n\r\n".encode() + body)
                deadline = time.monotonic() + PATIENCE_S
                while not fake.bodies:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            assert not fake.hung_up.wait(0.2)
        assert fake.hung_up.wait(PATIENCE_S)
    lines = [json.loads(line) for line in (tmp_path / "stderr.log").read_text().splitlines()]
    assert [line["outcome"] for line in lines if line.get("event") == "call"] == ["cancelled"]
    assert not list((tmp_path / "hoosh" / "journals").iterdir())
