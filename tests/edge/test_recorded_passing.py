"""Recorded requests of Gemini's and Ollama's own clients, sent as they are: whoever speaks to its own vendor through the
gateway gets the vendor's bytes, and the vendor gets one request with the client's own body.
"""

import contextlib
import http.client
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import PATIENCE_S, QUIET, Running, clean_environ, serving
from wire_corpus import ROOT, Record, records, require_corpus

KINDS = ("generateContent", "count_tokens", "embeddings", "ollama_chat", "ollama_generate", "ollama_embed")


# One recorder kept bodies in base64, and they are played so.
GARBLED = "is base64"


class Replay:
    """../shared/wire/replay.py in a process of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.port}/p/{provider}"

    def play(self, record_id: str) -> None:
        self._control("pin", {"id": record_id, "sticky": True})
        self._control("log", method="DELETE")

    def asked(self) -> list[dict[str, Any]]:
        log: list[dict[str, Any]] = self._control("log")["log"]
        return log

    def _control(self, what: str, value: object = None, method: str = "") -> Any:
        data = None if value is None else json.dumps(value).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/__control/{what}", data, method=method or None)
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as reply:
            return json.loads(reply.read())


def _free_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextlib.contextmanager
def _replaying(home: Path) -> Iterator[Replay]:
    port = _free_port()
    corpus = [str(ROOT / "dev" / f"{name}*.jsonl") for name in ("google", "ollama")]
    command = [sys.executable, str(ROOT / "replay.py"), "--corpus", *corpus, "--port", str(port), "--chunk", "random"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environ(home))
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("replay:")
        yield Replay(port)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    require_corpus()
    with _replaying(tmp_path_factory.mktemp("replay")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(replay: Replay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    names = (("google", "google"), ("ollama", "ollama"))
    providers = "".join(
        f'[[providers]]\ntype = "{kind}"\nname = "{name}"\nbase_url = "{replay.url(name)}"\napi_key = "recorded"\n'
        'models = ["*"]\n'
        for kind, name in names
    )
    with serving(tmp_path_factory.mktemp("gateway"), f"{QUIET}\n[retry]\ntries = 1\n{providers}") as running:
        yield running


def _post(port: int, path: str, body: bytes, *, provider: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        headers = {"content-type": "application/json", "x-hoosh-provider": provider}
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def _recorded() -> list[Record]:
    found = [record for name in ("google", "ollama") for record in records(name, KINDS)]
    return [record for record in found if record["request_body"] and record["status"] == 200]


def _sent(record: Record) -> bytes:
    return json.dumps(record["request_body"], ensure_ascii=False).encode()


def test_the_vendors_bytes_come_through(gateway: Running, replay: Replay) -> None:
    found = _recorded()
    assert len(found) > 300
    wrong = [f"{record['id']}: {what}" for record in found if (what := _difference(record, gateway, replay))]
    garbled = [line for line in wrong if line.endswith(GARBLED)]
    wrong = [line for line in wrong if line not in garbled]
    assert len(garbled) == 5
    assert not wrong, "\n".join(wrong)


def _difference(record: Record, gateway: Running, replay: Replay) -> str:
    provider, path, body = record["provider"], record["url_path"], _sent(record)
    replay.play(record["id"])
    wanted = _post(replay.port, f"/p/{provider}{path}", body, provider=provider)
    if wanted[1].startswith((b"ZGF0YTo", b"ewog")):
        return GARBLED
    replay.play(record["id"])
    got = _post(gateway.port, path, body, provider=provider)
    asked = replay.asked()
    if len(asked) != 1:
        return f"{len(asked)} requests upstream"
    if got != wanted:
        return f"{got[0]} {got[1][:300]!r} instead of {wanted[0]} {wanted[1][:300]!r}"
    sent = {**asked[0]["body"], "model": record["request_body"].get("model")}  # of Ollama's it knows the whole name
    return "" if _plain(sent) == _plain(record["request_body"]) else "another body went up"


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def test_a_stream_without_events_is_one_array_of_the_same_replies(gateway: Running, replay: Replay) -> None:
    streamed = [record for record in _recorded() if record["kind"] == "generateContent" and record["stream"]]
    assert len(streamed) > 50
    for record in streamed:
        if GARBLED in _difference(record, gateway, replay):
            continue
        replay.play(record["id"])
        path = record["url_path"].partition("?")[0]
        status, body = _post(gateway.port, path, _sent(record), provider="google")
        events = re.findall(r"^data: ?(.*)$", record["response_body"].replace("\r\n", "\n"), re.MULTILINE)
        assert (status, json.loads(body)) == (200, [json.loads(event) for event in events]), record["id"]
