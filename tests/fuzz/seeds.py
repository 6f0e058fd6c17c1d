"""What fuzzing starts from: replies as our own encoders write them, requests as our own dialects render them, and the
recorded exchanges where they are at hand.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuzz.clients import CLIENTS
from hoosh.core.asked import (
    ChatRequest,
    CompleteRequest,
    CountRequest,
    EmbedRequest,
    Message,
    ModerationRequest,
    Request,
    RerankRequest,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
)
from hoosh.core.errors import ClientError
from hoosh.core.events import (
    Counted,
    Event,
    Finish,
    Judged,
    Metered,
    Opened,
    Ranked,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
    Vector,
)
from hoosh.dialects import Served, Ways
from hoosh.engine.backend import tongues_of
from hoosh.providers.registry import PROVIDERS

_CUTS = b"\x07\x1f"
_EVENTS: tuple[Event, ...] = (
    Opened("id", "model"),
    Reasoning("hm", "proof"),
    Text("Hé\u2028llo"),
    Refusal("no"),
    ToolDelta(0, "call_1", "f", '{"a":'),
    ToolDelta(0, arguments="1}"),
    Metered(Usage(input=5, cached=2, output=7, reasoning=1)),
    Finish("tool_calls"),
)
_ASKED = ChatRequest(
    model="m",
    messages=(
        Message("system", (TextPart("be brief"),)),
        Message("user", (TextPart("hi"),)),
        Message("assistant", (ToolCall("call_1", "f", '{"a":1}'),)),
        Message("tool", (ToolResult("call_1", (TextPart("ok"),)),)),
    ),
    tools=(Tool("f", "d", b'{"type":"object"}'),),
    effort="low",
    stream=True,
)
_PLAIN = ChatRequest(model="m", messages=(Message("user", (TextPart("hi"),)),), n=2)
# What is asked besides a chat, and a reply to it.
_OTHERS: dict[str, tuple[Request, tuple[Event, ...]]] = {
    "count": (CountRequest(chat=_ASKED), (Counted(7),)),
    "complete": (CompleteRequest(model="m", prompts=("a", (1, 2))), (Text("b"), Text("c", 1), Finish("stop"))),
    "embed": (EmbedRequest(model="m", inputs=("a", "b")), (Vector((0.5, -1.0), 0), Vector((1e-9,), 1))),
    "moderate": (ModerationRequest(model="m", inputs=("a",)), (Judged(True, (("x", True),), (("x", 0.9),)),)),
    "rerank": (RerankRequest(model="m", query="q", documents=("a", "b")), (Ranked(0.9, 1), Ranked(0.1, 0))),
}
_KINDS = {
    "anthropic_messages": "messages",
    "gemini": "generateContent",
    "ollama": "ollama_chat",
    "openai_completions": "completions",
    "openai_embeddings": "embeddings",
    "openai_moderations": "moderation",
    "rerank": "rerank",
    "openai_chat": "chat",
    "openai_responses": "responses",
}
_RECORDED = 12


def seeds(target: str) -> Iterator[bytes]:
    kind, _, rest = target.partition(":")
    dialect = rest.partition(":")[0]
    if kind == "parse":
        yield from _requests(dialect)
    elif kind in ("read", "split"):
        names = [dialect] if dialect in CLIENTS else list(CLIENTS)
        for name in names:
            yield from _replies(name)
    if kind in ("read", "refusal", "parse"):
        yield from _recorded(kind, dialect)


def _replies(name: str) -> Iterator[bytes]:
    operation = getattr(CLIENTS[name], "operation", "chat")
    streams = [
        (ChatRequest(model="m", messages=(), stream=stream, include_usage=stream), _EVENTS) for stream in (False, True)
    ]
    for asked, events in [_OTHERS[operation]] if operation in _OTHERS else streams:
        encoder = CLIENTS[name].encoder(asked, Served(id="1", created_s=1, provider="p", model="m"))
        yield _CUTS + encoder.feed(events) + encoder.finish(Usage(input=5, output=7))


def _requests(name: str) -> Iterator[bytes]:
    for kind in PROVIDERS:
        for tongue in tongues_of(kind):
            if tongue.dialect.name != name:
                continue
            operation = tongue.dialect.operation
            for asked in [_OTHERS[operation][0]] if operation in _OTHERS else [_ASKED, _PLAIN]:
                with suppress(ClientError):  # what this dialect cannot say
                    yield tongue.dialect.render(asked, "m", Ways()).body


def _recorded(kind: str, dialect: str) -> Iterator[bytes]:
    root = Path(os.environ.get("HOOSH_WIRE") or Path(__file__).parents[3] / "shared" / "wire") / "dev"
    found = 0
    for path in sorted(root.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            record = json.loads(line)
            if record["kind"] != _KINDS.get(dialect) or (kind == "refusal") != (record["status"] >= 400):
                continue
            said = json.dumps(record["request_body"]) if kind == "parse" else record["response_body"]
            if said and len(said) < 8000 and sum(record["id"].encode()) % 5 == 0:
                yield (b"" if kind == "parse" else _CUTS) + said.encode()
                found += 1
            if found == _RECORDED:
                return
