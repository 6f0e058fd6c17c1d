"""Recorded replies in other clothes: what a network, a proxy or another version of the same server may change without
changing what is said. Each must mean what it meant.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import UpstreamError
from hoosh.dialects import JSON, ProviderDialect, Translating, Ways, anthropic_messages, gemini, openai_chat
from hoosh.dialects.ollama import chat as ollama
from hoosh.providers.registry import find
from wire_corpus import Folded, Record, body_of, fold, headers_of, one_of_each_sort, records, splits

DIALECTS: dict[str, ProviderDialect] = {
    "chat": openai_chat.DIALECT,
    "messages": anthropic_messages.DIALECT,
    "generateContent": gemini.DIALECT,
    "ollama_chat": ollama.DIALECT,
}
# What the provider counts, makes up or repeats for itself; arguments of calls are the model's.
_UNREAD = frozenset({"created", "object", "system_fingerprint", "created_at", "role", "service_tier"})
_ARGUMENTS = frozenset({"input", "args", "arguments", "partialArgs"})


def ways(record: Record) -> Ways:
    kind, dialect = find(record["provider"]), DIALECTS[record["kind"]]
    return kind.ways if kind is not None and kind.dialect.name == dialect.name else Ways()


def read(record: Record, body: bytes, stream: bool, content_type: bytes) -> Folded | UpstreamError:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    dialect = DIALECTS[record["kind"]]
    decoder = Translating(dialect.splitter(asked, content_type), dialect.reader(asked, ways(record)))
    try:
        folded = fold([event for piece in splits(body, "random") for event in decoder.feed(piece)] + decoder.eof())
    except UpstreamError as error:
        return error
    for tool in folded["tools"]:
        del tool["id"]  # may be made from the reply's own
    return {name: value for name, value in folded.items() if name != "model"}


def meaning(record: Record, change: Callable[[bytes], bytes] = bytes) -> Folded | UpstreamError:
    return read(record, change(body_of(record)), bool(record["stream"]), headers_of(record).get(b"content-type", b""))


def each_object(change: Callable[[JSON], JSON]) -> Callable[[bytes], bytes]:
    """`change` of every object of every payload."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return change({name: inner if name in _ARGUMENTS else walk(inner) for name, inner in value.items()})
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    def payload(text: str) -> str:
        try:
            return json.dumps(walk(json.loads(text)), ensure_ascii=False)
        except ValueError:
            return text

    def body(data: bytes) -> bytes:
        text = data.decode()
        if re.match(r"\s*(data|event|id|retry)?:", text):
            return re.sub(r"(?m)^data: ?(\{.*)$", lambda found: f"data: {payload(found[1])}", text).encode()
        whole = payload(text)
        return (whole if whole != text else "\n".join(payload(line) for line in text.split("\n"))).encode()

    return body


def _floats(value: JSON) -> JSON:
    counts = {name: value[name] for name in value if "token" in name.lower() or name.endswith("_count")}
    return value | {name: float(count) for name, count in counts.items() if type(count) is int}


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "CRLF ends the lines": lambda body: body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "white space before it": lambda body: b"\n \n" + body,
    "nothing after the last word": lambda body: body.rstrip(),
    "comments between events": lambda body: body.replace(b"\n\ndata:", b"\n\n: here\n\ndata:"),
    "no end mark": lambda body: re.sub(rb"data: ?\[DONE\]\s*$", b"", body),
    "fields nobody knows": each_object(lambda value: {"x_new": {"a": [None]}, **value, "x_null": None}),
    "counts with a point": each_object(_floats),
    "fields left out": each_object(lambda value: {name: value[name] for name in value if name not in _UNREAD}),
    "fields that are null": each_object(
        lambda value: {name: None if name in _UNREAD else value[name] for name in value}
    ),
}


@pytest.fixture(scope="module")
def sorts() -> list[tuple[Record, Folded]]:
    found = [record for record in records(kinds=DIALECTS) if record["status"] < 400 and record["provider"] in PROVIDERS]
    told = [(record, meaning(record)) for record in one_of_each_sort(found)]
    return [(record, said) for record, said in told if not isinstance(said, UpstreamError)]


PROVIDERS = frozenset({"openai", "anthropic", "google", "mistral", "groq", "xai", "deepseek", "openrouter", "ollama"})


@pytest.mark.parametrize("change", CHANGES)
def test_a_reply_in_other_clothes_means_the_same(change: str, sorts: list[tuple[Record, Folded]]) -> None:
    assert len(sorts) >= 80
    assert sum(CHANGES[change](body_of(record)) != body_of(record) for record, _ in sorts) >= 10
    bad = [record["id"] for record, said in sorts if meaning(record, CHANGES[change]) != said]
    assert bad == []


@pytest.mark.parametrize("content_type", [b"", b"application/json", b"text/event-stream", b"text/plain", b"?"])
def test_the_content_type_is_not_believed(content_type: bytes, sorts: list[tuple[Record, Folded]]) -> None:
    for record, said in sorts:
        told = read(record, body_of(record), bool(record["stream"]), content_type)
        assert (record["id"], told) == (record["id"], said)


def test_nor_is_what_was_asked_for(sorts: list[tuple[Record, Folded]]) -> None:
    """Servers stream though they should not, and the other way round."""
    for record, said in sorts:
        told = read(record, body_of(record), not record["stream"], headers_of(record).get(b"content-type", b""))
        assert (record["id"], told) == (record["id"], said)
