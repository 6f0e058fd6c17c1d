"""Recorded requests of Anthropic's clients through `hoosh serve` to a replay of Anthropic: what comes back, and what
went up, are the bytes that were recorded.
"""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import PATIENCE_S, PATIENT, QUIET, Answer, Running, serving
from wire_corpus import ROOT, Record, body_of, records, require_corpus

BETAS = "interleaved-thinking-2025-05-14,context-1m-2025-08-07"
# Refused by the gateway with the status that Anthropic gave, so that nothing went up; and why.
REFUSED_HERE = {
    "anthropic-ddtracepy-e1e2e8ed": "messages.0",  # a message that is a text
    "anthropic-rig-50043f97": "tools.0.input_schema",  # a schema that is `true`
    "anthropic-rig-bdbd4964": "temperature",  # -5
}
# The replay does not unpack what a recorder kept in base64.
PACKED = {"anthropic-rubyllm-17220581", "anthropic-rubyllm-3d50de56"}
# Its last event lacks the blank line without which it is none; the gateway's has one.
UNENDED = {"anthropic-rig-736fcf1a"}
# Tried again, as an overloaded provider may be.
RETRIED = {529}


class Replay:
    """../shared/wire/replay.py in a process of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/p/anthropic"

    def control(self, method: str, path: str, value: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request(method, f"/__control/{path}", json.dumps(value) if value is not None else None)
        body = connection.getresponse().read()
        connection.close()
        return json.loads(body)

    def seen(self) -> list[Any]:
        found: list[Any] = self.control("GET", "log")["log"]
        return found


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    require_corpus()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    corpus = [str(ROOT / "dev" / name) for name in ("anthropic.jsonl", "errors_reported.jsonl")]
    command = [sys.executable, str(ROOT / "replay.py"), "--port", str(port), "--chunk", "random", "--corpus", *corpus]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("replay: ")  # it listens
        yield Replay(port)
        process.kill()


@pytest.fixture(scope="module")
def gateway(replay: Replay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    provider = f'[[providers]]\ntype = "anthropic"\nname = "a"\nbase_url = "{replay.url}"\napi_key = "sk-ant-secret"\n'
    config = f'{QUIET}\n{PATIENT}{provider}models = ["*"]\n'
    with serving(tmp_path_factory.mktemp("recorded"), config) as running:
        yield running


def through(gateway: Running, replay: Replay, record: Record) -> tuple[Answer, list[Any]]:
    """The gateway's answer to the recorded request, and what it asked of the replay."""
    replay.control("DELETE", "log")
    replay.control("POST", "pin", {"id": record["id"]})
    body = json.dumps(record["request_body"], ensure_ascii=False).encode()
    headers = ("content-type: application/json", "anthropic-version: 2023-06-01", f"anthropic-beta: {BETAS}")
    answer = gateway.ask(body, *headers, path=record["url_path"])
    return answer, replay.seen()


def whole(answer: Answer) -> bytes:
    """The body without its chunks."""
    if "chunked" not in answer.headers.get("transfer-encoding", ""):
        return answer.body
    parts, rest = [], answer.body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        n = int(size, 16)
        parts.append(rest[:n])
        rest = rest[n + 2 :]
    return b"".join(parts)


def test_recorded_exchanges_pass_through_unchanged(gateway: Running, replay: Replay) -> None:
    found = records("anthropic", ("messages", "count_tokens"))
    found = [record for record in found if record["request_body"] and record["id"] not in PACKED]
    assert len(found) >= 250
    bad = {}
    for record in found:
        answer, seen = through(gateway, replay, record)
        if wrong := _differences(record, answer, seen):
            bad[record["id"]] = wrong
    assert not bad, f"{len(bad)} of {len(found)} differ: {bad}"


def _differences(record: Record, answer: Answer, seen: list[Any]) -> list[str]:
    if record["id"] in REFUSED_HERE:
        named = REFUSED_HERE[record["id"]] in answer.error["message"]
        return [] if (answer.status, named, seen) == (400, True, []) else ["not refused here"]
    bad = [] if len(seen) == 1 or record["status"] in RETRIED else [f"{len(seen)} requests went up"]
    sent = seen[0]
    if sent["body"] != record["request_body"] or list(sent["body"]) != list(record["request_body"]):
        bad.append("another body went up")
    if sent["headers"].get("anthropic-beta") != BETAS or sent["auth"] != ["x-api-key"]:
        bad.append("other headers went up")
    if record["status"] >= 400:
        wanted = json.loads(body_of(record))["error"]
        if (answer.value["type"], answer.error) != ("error", {**answer.error, "message": wanted["message"]}):
            bad.append(f"error {answer.error}")
        if answer.error["type"] != wanted["type"]:
            bad.append(f"error type {answer.error['type']}, not {wanted['type']}")
    elif whole(answer) != body_of(record) + (b"\n" if record["id"] in UNENDED else b""):
        bad.append("another body came back")
    return bad


def test_a_body_goes_up_to_the_byte(gateway: Running, replay: Replay, tmp_path: Path) -> None:
    """The replay keeps bodies as values, so the bytes are looked at where they differ from what a JSON library writes."""
    record = next(one for one in records("anthropic", ("messages",)) if one["status"] == 200 and not one["stream"])
    text = json.dumps(record["request_body"], indent=3)
    replay.control("POST", "pin", {"id": record["id"]})
    answer = gateway.ask(text.encode(), "content-type: application/json", path="/v1/messages?beta=true")
    assert answer.status == 200
    length = replay.seen()[-1]["headers"]["content-length"]
    assert int(length) == len(text)
