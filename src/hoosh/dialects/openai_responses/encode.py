"""
Events to replies, streamed and whole. Raw frames of the same dialect go out as they came, whole replies too.

An encoder knows at any time what `response` a client could be told to have got: the final one, or as much of it as
there was when the call ended otherwise.
"""

from collections.abc import Mapping, Sequence

import msgspec

from hoosh.codecs.sse import SSEDecoder
from hoosh.core.asked import ChatRequest
from hoosh.core.errors import HooshError
from hoosh.core.events import Event, Finish, FinishReason, Meaning, Metered, Opened, Raw, Spoken, Usage
from hoosh.dialects import JSON, Served
from hoosh.dialects.openai.usage import additions
from hoosh.dialects.openai_responses.answer import Answer, Style
from hoosh.dialects.openai_responses.tools import Names

# What a response repeats of its request, and says where that is silent. A stranger to them would miss the fields.
_ECHO: tuple[tuple[str, object], ...] = (
    ("background", False),
    ("instructions", None),
    ("max_output_tokens", None),
    ("max_tool_calls", None),
    ("metadata", {}),
    ("parallel_tool_calls", True),
    ("previous_response_id", None),
    ("prompt_cache_key", None),
    ("reasoning", {"effort": None, "summary": None}),
    ("safety_identifier", None),
    ("service_tier", "default"),
    ("store", True),
    ("temperature", None),
    ("text", {"format": {"type": "text"}}),
    ("tool_choice", "auto"),
    ("tools", []),
    ("top_logprobs", 0),
    ("top_p", None),
    ("truncation", "disabled"),
    ("user", None),
)
# Clients act on these; of all else they know that it is not their fault.
_CODES = frozenset({"rate_limit_exceeded", "context_length_exceeded", "insufficient_quota"})
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ENCRYPTED = "reasoning.encrypted_content"


class _Final(msgspec.Struct):
    response: msgspec.Raw = msgspec.Raw()


class _Summary(msgspec.Struct):
    summary: str | None = None
    generate_summary: str | None = None


_final = msgspec.json.Decoder(_Final)
_summary = msgspec.json.Decoder(_Summary)
_strings = msgspec.json.Decoder(list[str])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def response_id(call_id: str) -> str:
    return f"resp_{call_id}"


def error_object(error: HooshError) -> JSON:
    return {"code": error.code if error.code in _CODES else "server_error", "message": error.message}


class Told:
    """What both encoders know of the reply."""

    def __init__(self, asked: ChatRequest, served: Served, body: Mapping[str, msgspec.Raw]) -> None:
        self.id = response_id(served.id)
        self.model = served.model
        self.reason: FinishReason = "stop"
        self.answer = Answer(served.id, Names(asked.tools), _style(asked))
        self.usage: JSON | None = None
        self._served = served
        self._echo: JSON = {name: body.get(name, default) for name, default in _ECHO}

    @property
    def status(self) -> str:
        """How it ends, if it ends well."""
        return "incomplete" if self.reason in _REASONS else "completed"

    def note(self, event: Meaning) -> None:
        if isinstance(event, Opened):
            self.model = event.model or self.model
        elif isinstance(event, Finish):
            self.reason = event.reason
        elif isinstance(event, Metered):
            self.usage = usage_object(event.usage, self._served)

    def response(self, status: str, error: HooshError | None = None) -> JSON:
        over = status in ("completed", "incomplete")
        cut = {"reason": _REASONS.get(self.reason, "max_output_tokens")} if status == "incomplete" else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._served.created_s,
            "status": status,
            "error": error_object(error) if error else None,
            "incomplete_details": cut,
            "model": self.model,
            "output": self.answer.items(status if over else "incomplete") if status != "in_progress" else [],
            **self._echo,
            "usage": self.usage if status != "in_progress" else None,
        }


class StreamEncoder:
    """`done` is the final response as JSON once the client is about to be told of it, b"" until then."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, asked: ChatRequest, served: Served, body: Mapping[str, msgspec.Raw]) -> None:
        self._told = Told(asked, served, body)
        self._served = served
        self._sequence = 0
        self._begun = False
        self._passed: list[Meaning] = []  # what passed by as bytes
        self._passed_id = ""
        self.done = b""

    def feed(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if isinstance(event, Raw):
                self._pass(event)
                out.append(event.data)
            else:
                out.append(self._event(event))
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self, usage: Usage) -> bytes:
        told = self._told
        if self._passed or self.done:
            return b""
        told.usage = usage_object(usage, self._served)
        out = self._begin() + b"".join(map(self._frame, told.answer.close(told.status)))
        self.done = _encode(told.response(told.status))
        return out + self._frame({"type": f"response.{told.status}", "response": msgspec.Raw(self.done)})

    def partial(self, status: str, error: HooshError | None = None) -> bytes:
        """The response as far as it came, as JSON."""
        for event in self._passed:
            self._told.note(event)
            for _ in self._told.answer.take(event):
                pass
        self._passed = []
        self._told.id = self._passed_id or self._told.id
        return _encode(self._told.response(status, error))

    def fault(self, error: HooshError) -> bytes:
        """The official clients raise at the first, Codex looks for the second."""
        said = {"type": error.kind, "code": error.code, "message": error.message, "param": error.param}
        first = self._frame({**said, "type": "error", "error": said})
        failed = msgspec.Raw(self.partial("failed", error))
        return first + self._frame({"type": "response.failed", "response": failed})

    def _pass(self, event: Raw) -> None:
        self._sequence += 1
        self._passed += event.events
        for meaning in event.events:
            if isinstance(meaning, Finish):
                self.done = bytes(_final.decode(SSEDecoder().feed(event.data)[0].data).response)
            elif isinstance(meaning, Opened):
                self._passed_id = meaning.id

    def _event(self, event: Meaning) -> bytes:
        self._told.note(event)
        if isinstance(event, Opened) or _is_other(event):
            return b""
        return self._begin() + b"".join(map(self._frame, self._told.answer.take(event)))

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        response = msgspec.Raw(_encode(self._told.response("in_progress")))
        created = self._frame({"type": "response.created", "response": response})
        return created + self._frame({"type": "response.in_progress", "response": response})

    def _frame(self, event: JSON) -> bytes:
        kind = str(event["type"])
        data = _encode({"type": kind, "sequence_number": self._sequence, **event})
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


class WholeEncoder:
    content_type = b"application/json"

    def __init__(self, asked: ChatRequest, served: Served, body: Mapping[str, msgspec.Raw]) -> None:
        self._told = Told(asked, served, body)
        self._served = served
        self._raw = b""
        self.done = b""

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw = event.data  # a whole reply is one frame
            elif not _is_other(event):
                self._told.note(event)
                for _ in self._told.answer.take(event):
                    pass
        return b""

    def finish(self, usage: Usage) -> bytes:
        told = self._told
        told.usage = usage_object(usage, self._served)
        if not self._raw:
            for _ in told.answer.close(told.status):
                pass
        self.done = self._raw or _encode(told.response(told.status))
        return self.done

    def partial(self, status: str, error: HooshError | None = None) -> bytes:
        return _encode(self._told.response(status, error))

    def fault(self, error: HooshError) -> bytes:  # noqa: ARG002 - nothing was sent: the error is the whole reply
        return b""


def _is_other(event: Meaning) -> bool:
    """Of a second answer: there is room for one."""
    return isinstance(event, Spoken) and event.index > 0


def usage_object(usage: Usage, served: Served) -> JSON:
    """OpenAI's usage with the gateway's additions; `estimated` only where the provider reported nothing."""
    fields: JSON = {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }
    if usage.source == "estimated":
        fields["estimated"] = True
    return fields | additions(served, usage)


def _style(asked: ChatRequest) -> Style:
    extra = dict(asked.extra) if asked.dialect else {}
    wanted = _summary.decode(extra["reasoning"]) if "reasoning" in extra else _Summary()
    include = _strings.decode(extra["include"]) if "include" in extra else []
    return Style(
        summarised=bool(wanted.summary or wanted.generate_summary),
        carried=_ENCRYPTED in include,
    )
