"""Recorded requests to the Responses APIs of six providers, sent as they are through a real gateway to a server that
plays the providers: the same bytes come back, for one request each.
"""

import base64
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from gateway import PATIENT, QUIET, Running, serving
from wire_corpus import ROOT, Record, body_of, records, require_corpus

PROVIDERS = ("openai", "xai", "deepseek", "openrouter", "azure", "mistralrs")
# The path or a stored prompt named the model; the gateway must know where to send it.
WITHOUT_A_MODEL = {"openai-ddtracepy-5c9d89d9", "openai-ddtracepy-5f03dad1", "openai-ddtracepy-ba3d908b"}
# What a stream ends in that belongs to no event.
COMMENTS = b": keepalive\n"


class Replayer:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def control(self, method: str, path: str, value: object = None) -> Any:
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}/__control/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)


@pytest.fixture(scope="module")
def replayer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayer]:
    require_corpus()
    corpus = tmp_path_factory.mktemp("corpus") / "responses.jsonl"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in recorded()))
    command = [sys.executable, str(ROOT / "replay.py"), "--port", "0", "--corpus", str(corpus)]
    program = f"import asyncio,re,runpy,sys\nsys.argv={command[1:]!r}\n{_ANY_PORT}runpy.run_path(sys.argv[0], run_name='__main__')"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"port (\d+)", line)
            assert found, line
            yield Replayer(int(found[1]))
        finally:
            process.kill()


# replay.py prints the port that it was given; of port 0 nobody would know what it became.
_ANY_PORT = """
start = asyncio.start_server
async def told(*a, **k):
    server = await start(*a, **k)
    print('port', server.sockets[0].getsockname()[1], flush=True)
    return server
asyncio.start_server = told
"""


def recorded() -> list[Record]:
    return [
        _unpacked(record)
        for name in PROVIDERS
        for record in records(name, ("responses",))
        if isinstance(record["request_body"], dict) and record["id"] not in WITHOUT_A_MODEL
    ]


def _unpacked(record: Record) -> Record:
    """Some recorders kept bodies in base64; the providers sent what is in it."""
    try:
        text = base64.b64decode(record["response_body"], validate=True).decode()
    except ValueError:
        return record
    return {**record, "response_body": text}


@pytest.fixture(scope="module")
def gateway(replayer: Replayer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = QUIET + PATIENT + "[retry]\ntries = 1\nmax_attempts = 1\n"
    for name in PROVIDERS:
        base = next(record["url_path"] for record in recorded() if record["provider"] == name).partition("/responses")[
            0
        ]
        config += (
            f'[[providers]]\ntype = "openai"\nname = "{name}"\nbase_url = "{replayer.url}/p/{name}{base}"\n'
            'api_key = "k"\nresponses = true\nmodels = ["*"]\n'
        )
    with serving(tmp_path_factory.mktemp("home"), config) as running:
        yield running


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_same_bytes_come_back(provider: str, gateway: Running, replayer: Replayer) -> None:
    seen = 0
    for record in recorded():
        if record["provider"] != provider:
            continue
        replayer.control("DELETE", "log")
        replayer.control("POST", "pin", {"id": record["id"]})
        sent = json.dumps(record["request_body"]).encode()
        answer = gateway.ask(
            sent, f"x-hoosh-provider: {provider}", "content-type: application/json", path="/v1/responses"
        )
        log = replayer.control("GET", "log")["log"]
        assert [(one["id"], one["body"]) for one in log] == [(record["id"], record["request_body"])]
        if record["status"] >= 400:
            assert answer.status in (400, 401, 404), record["id"]
            assert answer.error["message"]
        else:
            body = _dechunked(answer.body) if "chunked" in answer.headers.get("transfer-encoding", "") else answer.body
            left = body_of(record).removeprefix(body)
            assert left != body_of(record), record["id"]
            assert left.replace(COMMENTS, b"").strip(b"\n: ") == b"", record["id"]
        seen += 1
    assert seen > 0


def _dechunked(body: bytes) -> bytes:
    whole, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return whole
