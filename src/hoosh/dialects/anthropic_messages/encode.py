"""Events to a client's Messages reply, streamed and whole. What came in the dialect goes out as it came.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming (read 2026-11). Blocks follow each other and do
not overlap, also where a provider's tool calls do. The dialect has no words for log probabilities, and none for
pictures that a model makes.
"""

from collections.abc import Sequence

import msgspec

from hoosh.core.events import (
    Event,
    Finish,
    Meaning,
    Metered,
    Opened,
    Raw,
    Refusal,
    ToolDelta,
    Usage,
)
from hoosh.dialects import JSON, Served
from hoosh.dialects.anthropic_messages.blocks import Block, Blocks, is_whole

_encode = msgspec.json.Encoder().encode
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


class _Ending:
    """Why the answer ended, in this dialect's words."""

    def __init__(self) -> None:
        self._reason = "end_turn"
        self._stop = ""
        self._called = self._refused = False

    def take(self, event: Meaning) -> None:
        if isinstance(event, Finish):
            self._reason, self._stop = _STOPS[event.reason], event.stop
        elif isinstance(event, ToolDelta):
            self._called = True
        elif isinstance(event, Refusal):
            self._refused = True

    def said(self) -> JSON:
        reason = self._reason
        if reason == "end_turn":
            # Some providers stop at a call without a word of it.
            reason = "refusal" if self._refused else "tool_use" if self._called else reason
            reason = "stop_sequence" if self._stop else reason
        return {"stop_reason": reason, "stop_sequence": self._stop or None}


class StreamEncoder:
    """Anthropic tells the usage twice: in the first event, where providers have not yet told it, as a guess, and in the
    last but one as it is.
    """

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._model = served.model
        self._begun = Usage(input=served.input_tokens)
        self._blocks = Blocks(served.id)
        self._ending = _Ending()
        self._started = False
        self._ended = self._passes = False

    def feed(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if not isinstance(event, Raw):
                self._take(event, out)
            elif is_whole(event.data):  # a provider that does not stream though it was asked to
                for inner in event.events:
                    self._take(inner, out)
            else:
                self._passes = self._started = True
                self._ended = self._ended or b'"message_stop"' in event.data
                out.append(event.data)
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self, usage: Usage) -> bytes:
        if self._passes:
            return b"" if self._ended else _END
        out: list[bytes] = []
        self._start(out)
        out += map(_frame, self._blocks.end())
        out.append(_frame({"type": "message_delta", "delta": self._ending.said(), "usage": usage_object(usage)}))
        out.append(_END)
        return b"".join(out)

    def _take(self, event: Meaning, out: list[bytes]) -> None:
        if isinstance(event, Opened):
            self._model = event.model or self._model
        elif isinstance(event, Metered):
            self._begun = event.usage
        elif not self._passes and getattr(event, "index", 0) == 0:
            self._ending.take(event)
            if said := self._blocks.take(event):
                self._start(out)
                out += map(_frame, said)

    def _start(self, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        message = _message(self._served, self._model, [], {"stop_reason": None, "stop_sequence": None}, self._begun)
        out.append(_frame({"type": "message_start", "message": message}))
        out.append(_PING)


class WholeEncoder:
    content_type = b"application/json"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._model = served.model
        self._blocks = Blocks(served.id)
        self._ending = _Ending()
        self._raw = b""
        self._content: list[Block] = []

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if not isinstance(event, Raw):
                self._take(event)
            elif is_whole(event.data):
                self._raw = event.data
            else:  # a provider that streams though it was not asked to
                for inner in event.events:
                    self._take(inner)
        return b""

    def finish(self, usage: Usage) -> bytes:
        if self._raw:
            return self._raw
        self._collect(self._blocks.end())
        content = [block.content() for block in self._content]
        return _encode(_message(self._served, self._model, content, self._ending.said(), usage))

    def _take(self, event: Meaning) -> None:
        if isinstance(event, Opened):
            self._model = event.model or self._model
        elif getattr(event, "index", 0) == 0:
            self._ending.take(event)
            self._collect(self._blocks.take(event))

    def _collect(self, said: list[JSON]) -> None:
        for event in said:
            if event["type"] == "content_block_start":
                self._content.append(Block(event["content_block"]))
            elif event["type"] == "content_block_delta":
                self._content[-1].add(event["delta"])


def usage_object(usage: Usage) -> JSON:
    """Anthropic counts what came from its cache and what went there apart from the rest of the input. The three add up
    to the input also where a provider (OpenRouter was seen to) counts the same tokens as read and as written.
    """
    written = max(0, min(usage.cache_write, usage.input - usage.cached))
    said: JSON = {
        "input_tokens": max(0, usage.input - usage.cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said


def _message(served: Served, model: str, content: list[JSON], ending: JSON, usage: Usage) -> JSON:
    return {
        "id": f"msg_{served.id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **ending,
        "usage": usage_object(usage),
    }


def _frame(event: JSON) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event))
