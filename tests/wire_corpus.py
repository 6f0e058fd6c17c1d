"""Exchanges with real providers, recorded in ../shared/wire (HOOSH_WIRE names another place), and how to hold a dialect
against them. norm.py, which lies beside the recordings, says what a client must see: it shares no code with hoosh.
"""

import base64
import functools
import importlib.util
import json
import os
import random
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import UpstreamError
from hoosh.core.events import Event, Finish, Meaning, Metered, Opened, Raw, Reasoning, Refusal, Text, ToolDelta
from hoosh.dialects import JSON, Decoder, PassingOn, ProviderDialect, Translating, Ways

ROOT = Path(os.environ.get("HOOSH_WIRE") or Path(__file__).parents[2] / "shared" / "wire")

How = Literal["event", "byte", "random", "whole"]
Record = dict[str, Any]
Folded = dict[str, Any]


class Norm(Protocol):
    def expect(self, rec: Record) -> Folded | None: ...

    def to_openai(self, rec: Record) -> JSON | None: ...


def require_corpus() -> None:
    """Skips the test where the recordings are not."""
    if not (ROOT / "norm.py").is_file() or not any((ROOT / "dev").glob("*.jsonl")):
        pytest.skip(f"no recorded exchanges at {ROOT}; HOOSH_WIRE may name their place")


@functools.cache
def norm() -> Norm:
    require_corpus()
    spec = importlib.util.spec_from_file_location("norm", ROOT / "norm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Norm", module)


@functools.cache
def _all() -> tuple[Record, ...]:
    require_corpus()
    lines = (line for path in sorted((ROOT / "dev").glob("*.jsonl")) for line in path.read_bytes().splitlines())
    return tuple(_unpacked(json.loads(line)) for line in lines if line.strip())


def records(provider: str = "", kinds: Collection[str] = ()) -> list[Record]:
    """Those of `provider` and of one of `kinds` ("chat", "messages", "generateContent", ...); empty means all."""
    return [
        record
        for record in _all()
        if (not provider or record["provider"] == provider) and (not kinds or record["kind"] in kinds)
    ]


def one_of_each_sort(found: Iterable[Record]) -> list[Record]:
    """The first of each provider, dialect, streamed or not, and what the reply holds; none that norm.py cannot read."""
    sorts: dict[tuple[object, ...], Record] = {}
    for record in found:
        if told := expected(record):
            holds = tuple(bool(told.get(name)) for name in ("error", "text", "tools", "reasoning", "usage"))
            sort = (record["provider"], record["kind"], bool(record["stream"]), record["status"], holds)
            sorts.setdefault((*sort, told.get("finish")), record)
    return list(sorts.values())


def _unpacked(record: Record) -> Record:
    """Some recorders kept bodies in base64; no text of a reply is that by chance."""
    try:
        text = base64.b64decode(record.get("response_body") or "", validate=True).decode()
    except ValueError:
        return record
    return {**record, "response_body": text} if text else record


def splits(body: bytes, how: How, seed: int = 0) -> Iterable[bytes]:
    """The body in pieces, as a network might deliver it. "event": an SSE event or, without any, a line at a time."""
    if how == "whole":
        return [body]
    if how == "byte":
        return [body[i : i + 1] for i in range(len(body))]
    if how == "event":
        end = b"\n\n" if b"\n\n" in body else b"\n"
        pieces = [piece + end for piece in body.split(end)]
        return [*pieces[:-1], pieces[-1].removesuffix(end)]
    chance = random.Random(seed)
    cuts, at = [], 0
    while at < len(body):
        size = chance.randint(1, 97)
        cuts.append(body[at : at + size])
        at += size
    return cuts


def fold(events: Iterable[Event]) -> Folded:
    """What events of the first choice add up to, in norm.py's words and a few more."""
    folded: Folded = {"text": "", "reasoning": "", "refusal": "", "tools": [], "finish": None, "usage": None}
    folded |= {"model": "", "signatures": [], "redacted": []}
    for event in events:
        for meaning in event.events if isinstance(event, Raw) else (event,):
            _fold(folded, meaning)
    for tool in folded["tools"]:
        tool["args"] = _arguments(tool["args"])
    return folded


def _fold(folded: Folded, event: Meaning) -> None:
    if getattr(event, "index", 0):
        return
    match event:
        case Text(text=text):
            folded["text"] += text
        case Refusal(text=text):
            folded["refusal"] += text
        case Reasoning():
            folded["reasoning"] += event.text
            folded["signatures"] += [event.signature] if event.signature else []
            folded["redacted"] += [event.redacted] if event.redacted else []
        case ToolDelta():
            tools = folded["tools"]
            assert event.call <= len(tools), f"call {event.call} begins after {len(tools)}"
            if event.call == len(tools):
                tools.append({"name": event.name, "args": "", "id": event.id})
            tools[event.call]["args"] += event.arguments
        case Finish():
            assert folded["finish"] is None, "a choice ends once"
            folded["finish"] = event.reason
        case Metered(usage=usage):
            folded["usage"] = {
                "in": usage.input,
                "out": usage.output,
                "cached": usage.cached,
                "reasoning": usage.reasoning,
            }
        case Opened():
            folded["model"] = event.model


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def expected(record: Record) -> Folded | None:
    """None where norm.py cannot read the record."""
    return norm().expect(record)


def body_of(record: Record) -> bytes:
    return (record["response_body"] or "").encode()


def headers_of(record: Record) -> dict[bytes, bytes]:
    return {name.lower().encode(): value.encode() for name, value in (record["response_headers"] or {}).items()}


def run_reader(dialect: ProviderDialect, ways: Ways, record: Record, how: How) -> Folded | UpstreamError:
    """The record's response through the dialect: what it means, or the error that it is."""
    headers, body = headers_of(record), body_of(record)
    if record["status"] >= 400:
        return dialect.refusal(record["status"], headers, body)
    asked = ChatRequest(model="m", messages=(), stream=bool(record["stream"]))
    splitter = dialect.splitter(asked, headers.get(b"content-type", b""))
    try:
        return fold(_decoded(Translating(splitter, dialect.reader(asked, ways)), body, how))
    except UpstreamError as error:
        return error


def _decoded(decoder: Decoder, body: bytes, how: How) -> list[Event]:
    events: list[Event] = []
    for piece in splits(body, how):
        events += decoder.feed(piece)
    return events + decoder.eof()


def passed_on(dialect: ProviderDialect, ways: Ways, record: Record, how: How) -> tuple[bytes, Folded]:
    """The bytes that a client of the same dialect gets of the record's response, and what they mean."""
    asked = ChatRequest(model="m", messages=(), stream=bool(record["stream"]))
    splitter = dialect.splitter(asked, headers_of(record).get(b"content-type", b""))
    events = _decoded(PassingOn(splitter, dialect.reader(asked, ways)), body_of(record), how)
    return b"".join(event.data for event in events if isinstance(event, Raw)), fold(events)


def differences(wanted: Folded, got: Folded | UpstreamError) -> list[str]:
    """What a client would see otherwise than norm.py says; empty is agreement."""
    if isinstance(got, UpstreamError):
        if not wanted.get("error"):
            return [f"{type(got).__name__}: {got.message}"]
        status = wanted.get("status", got.upstream_status)
        return [] if got.upstream_status == status and got.message else [f"status {status} != {got.upstream_status}"]
    if wanted.get("error"):
        return ["an error was swallowed"]
    found = [name for name in ("text", "reasoning", "finish") if (wanted[name] or "") != (got[name] or "")]
    if [(tool["name"], tool["args"]) for tool in wanted["tools"]] != [(t["name"], t["args"]) for t in got["tools"]]:
        found.append("tools")
    ids = [tool["id"] for tool in got["tools"]]
    if len(set(ids)) != len(ids) or not all(ids):
        found.append("tool ids")
    for name, count in (wanted["usage"] or {}).items():
        if count is not None and count != (got["usage"] or {}).get(name):
            found.append(f"usage.{name} {count} != {(got['usage'] or {}).get(name)}")
    return found


def asked_in_openai(record: Record) -> ChatRequest | None:
    """The chat request that an OpenAI client would have sent for the record; None where it has no words for it."""
    from hoosh.dialects.openai_chat import DIALECT

    body = norm().to_openai(record)
    if body is None or not body.get("messages"):
        return None
    body.setdefault("model", "m")
    return DIALECT.parse(json.dumps(body).encode())


def check_render(
    dialect: ProviderDialect, ways: Ways, record: Record, plain: Callable[[JSON], JSON]
) -> list[str] | None:
    """Where the rendered request says something else than the recorded one; None where the request has no words in
    OpenAI's dialect. `plain` puts two bodies that mean the same into the same form."""
    asked = asked_in_openai(record)
    if asked is None:
        return None
    rendered = json.loads(dialect.render(asked, asked.model, ways).body)
    return _unlike(plain(record["request_body"]), plain(rendered), "")


def _unlike(wanted: Any, got: Any, where: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [
            line
            for key in sorted(wanted.keys() | got.keys())
            for line in _unlike(wanted.get(key), got.get(key), f"{where}.{key}".lstrip("."))
        ]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            line for i, pair in enumerate(zip(wanted, got, strict=True)) for line in _unlike(*pair, f"{where}[{i}]")
        ]
    return [] if wanted == got else [f"{where}: {json.dumps(wanted)[:160]} != {json.dumps(got)[:160]}"]
