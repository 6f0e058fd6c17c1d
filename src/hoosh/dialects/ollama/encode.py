"""
Events to /api/chat and /api/generate replies: lines of JSON, or one object. A reply of Ollama's own goes out as it
came.

Source: https://docs.ollama.com/api/chat, /api/generate and /api/usage (read 2026-11). Times are nanoseconds.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream
from hoosh.core.events import Event, Finish, Logprobs, Media, Raw, Reasoning, Refusal, Spoken, Text, ToolDelta, Usage
from hoosh.core.whole_calls import WholeCall, WholeCalls
from hoosh.dialects import JSON, Served, one_line

_encode = msgspec.json.Encoder().encode
_json = msgspec.json.Decoder()

Shape = Callable[[JSON], JSON]


def chat(message: JSON) -> JSON:
    """A message as /api/chat tells it."""
    return {"message": {"role": "assistant", "content": "", **message}}


def generate(message: JSON) -> JSON:
    """A message as /api/generate tells it."""
    return {"response": message.get("content", ""), **{n: v for n, v in message.items() if n != "content"}}


def when(unix_s: int) -> str:
    """In RFC 3339."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Answer:
    """What is common to both: the calls, how it ends, the figures of the last object."""

    def __init__(self, asked: ChatRequest, served: Served, shape: Shape) -> None:
        self._stream = asked.stream
        self._served = served
        self._shape = shape
        self._head: JSON = {"model": asked.model, "created_at": when(served.created_s)}
        self._calls = WholeCalls()
        self._called = 0
        self._reason = "stop"

    def said(self, event: Event) -> list[JSON]:
        """Messages that the event adds. A call goes out when it is whole; Ollama gives one answer."""
        if not isinstance(event, Spoken) or event.index:
            return []
        if isinstance(event, ToolDelta):
            self._calls.add(event)
            return []
        if isinstance(event, Finish):
            self._reason = "stop" if event.reason == "tool_calls" else event.reason
            return self._whole_calls()
        before = self._whole_calls() if self._calls.are_complete() else []
        return before + _shown(event)

    def line(self, message: JSON, more: JSON) -> bytes:
        logprobs = {"logprobs": message.pop("logprobs")} if "logprobs" in message else {}
        return one_line(_encode({**self._head, **self._shape(message), **logprobs, **more}))

    def ending(self, usage: Usage) -> JSON:
        """How long the prompt took is not told apart from the rest where a reply came whole."""
        total_ns = max(1, self._served.elapsed_ns())
        first_ns = min(self._served.first_event_ns, total_ns - 1) if self._stream else 0
        return {
            "done": True,
            "done_reason": self._reason,
            "total_duration": total_ns,
            "load_duration": 0,
            "prompt_eval_count": usage.input,
            "prompt_eval_duration": first_ns,
            "eval_count": usage.output,
            "eval_duration": total_ns - first_ns,
        }

    def _whole_calls(self) -> list[JSON]:
        calls = [self._call(call) for call in self._calls.take() if call.is_object or self._reason != "length"]
        return [{"tool_calls": calls}] if calls else []

    def _call(self, call: WholeCall) -> JSON:
        """Raises BadUpstream for arguments that cannot be said here."""
        if not call.is_object:
            raise BadUpstream(f"the model called {call.name!r} with arguments that are no JSON object")
        index, self._called = self._called, self._called + 1
        said: JSON = {"index": index, "name": call.name, "arguments": msgspec.Raw(call.arguments.encode())}
        return {"id": call.id, "function": said} if call.id else {"function": said}


def _shown(event: Spoken) -> list[JSON]:
    match event:
        case Text(text=text) | Refusal(text=text):
            return [{"content": text}] if text else []
        case Reasoning(text=text):
            return [{"thinking": text}] if text else []
        case Media(data=data) if data:
            return [{"images": [data]}]
        case Logprobs(content=content):
            return [{"logprobs": _json.decode(content)}]
    return []


class LinesEncoder:
    content_type = b"application/x-ndjson"

    def __init__(self, asked: ChatRequest, served: Served, shape: Shape) -> None:
        self._answer = _Answer(asked, served, shape)
        self._is_raw = False

    def feed(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def finish(self, usage: Usage) -> bytes:
        return b"" if self._is_raw else self._answer.line({}, self._answer.ending(usage)) + b"\n"

    def _event(self, event: Event) -> bytes:
        if isinstance(event, Raw):
            self._is_raw = True
            return event.data
        if self._is_raw:
            return b""
        lines = [self._answer.line(message, {"done": False}) + b"\n" for message in self._answer.said(event)]
        return b"".join(lines)


class WholeEncoder:
    content_type = b"application/json; charset=utf-8"

    def __init__(self, asked: ChatRequest, served: Served, shape: Shape) -> None:
        self._answer = _Answer(asked, served, shape)
        self._raw = b""
        self._message: JSON = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw += event.data
                continue
            for said in self._answer.said(event):
                for name, value in said.items():  # texts and lists both add up
                    self._message[name] = self._message[name] + value if name in self._message else value
        return b""

    def finish(self, usage: Usage) -> bytes:
        return self._raw or self._answer.line(self._message, self._answer.ending(usage))
