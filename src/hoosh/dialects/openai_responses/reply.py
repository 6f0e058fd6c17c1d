"""
Replies: a stream of events, or one response object, which is also what the last event of a stream holds.

What a provider tells twice (a delta, then the whole text) counts once, and what it tells only at the end counts too:
servers leave out deltas, `done` events, or the output of the last event, each its own.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from hoosh.codecs import Frame
from hoosh.core.asked import ChatRequest
from hoosh.core.errors import Truncated, UpstreamError
from hoosh.core.events import (
    Citation,
    Finish,
    FinishReason,
    Logprobs,
    Meaning,
    Media,
    Metered,
    Opened,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects.openai import faults
from hoosh.dialects.openai.replies import foreign
from hoosh.dialects.openai_responses.thoughts import carried_in
from hoosh.dialects.openai_responses.tools import Names, wrapped

# What a delta is a part of, where no event told that before.
_KINDS = MappingProxyType(
    {
        "output_text.delta": "message",
        "refusal.delta": "message",
        "reasoning_summary_text.delta": "reasoning",
        "reasoning_text.delta": "reasoning",
        "function_call_arguments.delta": "function_call",
    }
)


class _Citation(msgspec.Struct):
    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[_Citation] | None = None
    logprobs: msgspec.Raw = msgspec.Raw()


class _Item(msgspec.Struct):
    """Of `arguments`, `summary` and the like only those of the types below are known to be text."""

    type: str = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Any = None
    input: Any = None
    result: Any = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    object: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[msgspec.Raw] | None = None
    incomplete_details: _Incomplete | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = msgspec.Raw()
    item: msgspec.Raw = msgspec.Raw()
    annotation: msgspec.Raw = msgspec.Raw()
    logprobs: msgspec.Raw = msgspec.Raw()
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None


class _Told:
    """What has been told of one output item so far."""

    __slots__ = ("arguments", "call", "cited", "is_known", "parts", "proved")

    def __init__(self) -> None:
        self.is_known = False
        self.call = -1
        self.arguments = False
        self.parts: set[tuple[str, int]] = set()
        self.cited = 0
        self.proved = False


_event = msgspec.json.Decoder(_Event)
_response = msgspec.json.Decoder(_Response)
_item = msgspec.json.Decoder(_Item)
_citation = msgspec.json.Decoder(_Citation)
_usage = msgspec.json.Decoder(_Usage, strict=False)
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_NULLS = (b"", b"null", b"[]")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ResponsesReader:
    """Of the events of the last payload, Metered comes last."""

    __slots__ = ("_asked", "_calls", "_done", "_id", "_items", "_kinds", "_names", "_opened", "_proofs")

    def __init__(self, asked: ChatRequest) -> None:
        self._asked = asked
        self._names = Names(asked.tools)
        self._items: dict[int, _Told] = {}
        self._kinds: dict[str, list[_Told]] = {}
        self._calls = 0
        self._proofs: dict[str, str] = {}
        self._opened = False
        self._id = ""
        self._done = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data = frame.data
        if data.strip() in (b"", b"[DONE]"):  # OpenRouter ends its streams as those of chats end
            return frame.raw, ()
        events: list[Meaning] = []
        if frame.raw is frame.data:
            self._whole(data, events)
            return b"" if self._asked.stream else frame.raw, events
        try:
            event = _event.decode(data)
        except _UNREADABLE as error:
            raise _foreign(data) from error
        self._streamed(event, data, events)
        return frame.raw if self._asked.stream else b"", events

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise Truncated("the provider's reply ended early")
        return ()

    def _whole(self, data: bytes, events: list[Meaning]) -> None:
        response = self._read_response(data)
        if response.output is None and response.object != "response":
            raise _foreign(data)
        self._open(response, events)
        self._finish(response, events)

    def _streamed(self, event: _Event, data: bytes, events: list[Meaning]) -> None:
        told = self._items.setdefault(event.output_index, _Told())
        kind = event.type.removeprefix("response.")
        if kind in _KINDS:
            self._know(told, _KINDS[kind])
        match kind:
            case "created" | "in_progress" | "queued":
                self._open(self._read_response(event.response), events)
            case "output_item.added":
                self._begun(told, _decode_item(event.item), events)
            case "output_item.done":
                self._item(told, _decode_item(event.item), events)
            case "output_text.delta":
                self._text(told, event, events)
            case "refusal.delta" if text := _text(event.delta):
                told.parts.add(("content", event.content_index))
                events.append(Refusal(text))
            case "reasoning_summary_text.delta" if text := _text(event.delta):
                told.parts.add(("summary", event.summary_index))
                events.append(Reasoning(text))
            case "reasoning_text.delta" if text := _text(event.delta):
                told.parts.add(("content", event.content_index))
                events.append(Reasoning(text))
            case "function_call_arguments.delta" if text := _text(event.delta):
                told.arguments = True
                events.append(ToolDelta(self._number(told), arguments=text))
            case "output_text.annotation.added":
                told.cited += 1
                events += _cited(_citation.decode(event.annotation))
            case "completed" | "incomplete" | "failed" | "cancelled":
                self._finish(self._read_response(event.response), events)
            case "error":
                raise faults.in_stream(_json.decode(data))
            case "":
                raise _foreign(data)

    def _open(self, response: _Response, events: list[Meaning]) -> None:
        if not self._opened and (response.id or response.model):
            self._opened = True
            self._id = response.id or ""
            events.append(Opened(self._id, response.model or ""))

    def _know(self, told: _Told, kind: str) -> None:
        """What the last event repeats is found by its kind and place among those: indices and ids are not the same
        there with every server, nor are all items.
        """
        if not told.is_known:
            told.is_known = True
            self._kinds.setdefault(kind, []).append(told)

    def _begun(self, told: _Told, item: _Item, events: list[Meaning]) -> None:
        """The provider has taken the request: what it does may take long before it says a word."""
        self._know(told, item.type)
        if item.type == "function_call":
            events.append(self._called(told, item))
        elif item.type not in ("message", "custom_tool_call"):
            events.append(Reasoning())

    def _called(self, told: _Told, item: _Item) -> ToolDelta:
        arguments = _arguments(item.arguments)
        told.arguments = bool(arguments)
        number = self._number(told)
        identity = item.call_id or f"call_{self._id[-16:]}_{number}"
        name = self._names.declared(item.namespace or "", item.name or "")
        return ToolDelta(number, identity, name, arguments, self._proofs.get(identity, ""))

    def _number(self, told: _Told) -> int:
        if told.call < 0:
            told.call, self._calls = self._calls, self._calls + 1
        return told.call

    def _text(self, told: _Told, event: _Event, events: list[Meaning]) -> None:
        if text := _text(event.delta):
            told.parts.add(("content", event.content_index))
            events.append(Text(text))
        if bytes(event.logprobs) not in _NULLS:
            events.append(Logprobs(bytes(event.logprobs)))

    def _item(self, told: _Told, item: _Item, events: list[Meaning]) -> None:
        """All of an item, of which some has been told."""
        self._know(told, item.type)
        match item.type:
            case "message":
                for k, part in enumerate(item.content or ()):
                    self._part(told, k, part, events)
            case "reasoning":
                self._thought(told, item, events)
            case "function_call":
                if told.call < 0:
                    events.append(self._called(told, item))
                if not told.arguments:  # nothing at all is an object, too
                    told.arguments = True
                    events.append(ToolDelta(told.call, arguments=_arguments(item.arguments) or "{}"))
            case "custom_tool_call" if told.call < 0:
                item.arguments = wrapped(_text(item.input))
                events.append(self._called(told, item))
            case "image_generation_call" if not told.proved and isinstance(item.result, str) and item.result:
                told.proved = True
                events.append(Media("image/png", item.result))

    def _part(self, told: _Told, k: int, part: _Part, events: list[Meaning]) -> None:
        if ("content", k) not in told.parts:
            told.parts.add(("content", k))
            if part.type == "refusal" or part.refusal:
                events += [Refusal(part.refusal)] if part.refusal else []
            elif part.text:
                events.append(Text(part.text))
                if bytes(part.logprobs) not in _NULLS:
                    events.append(Logprobs(bytes(part.logprobs)))
        for citation in (part.annotations or ())[told.cited :]:
            told.cited += 1
            events += _cited(citation)

    def _thought(self, told: _Told, item: _Item, events: list[Meaning]) -> None:
        """Its summary; its own words only where there is none, so that a thought is not told twice."""
        for kind, parts in (("summary", item.summary), ("content", item.content)):
            for k, part in enumerate(parts or ()):
                if part.text and (kind, k) not in told.parts and not any(one[0] != kind for one in told.parts):
                    told.parts.add((kind, k))
                    events.append(Reasoning(part.text))
        if item.encrypted_content and not told.proved:
            told.proved = True
            carried = carried_in(item.encrypted_content)  # where the provider is a gateway of this kind
            if carried is None:
                events.append(Reasoning(redacted=item.encrypted_content))
            elif carried.call_id:
                self._proofs[carried.call_id] = carried.signature
            elif carried.signature or carried.redacted:
                events.append(Reasoning("", carried.signature, carried.redacted))

    def _finish(self, response: _Response, events: list[Meaning]) -> None:
        if response.error or response.status == "failed":
            raise faults.in_stream({"error": response.error or "the provider's response failed"})
        if self._done:
            return
        known = {kind: list(reversed(told)) for kind, told in self._kinds.items()}
        for raw in response.output or ():
            item = _decode_item(raw)
            left = known.get(item.type)
            self._item(left.pop() if left else _Told(), item, events)
        self._done = True
        events.append(Finish(self._reason(response)))
        if usage := read_usage(bytes(response.usage)):
            events.append(Metered(usage))

    def _reason(self, response: _Response) -> FinishReason:
        if self._calls:
            return "tool_calls"
        if response.status == "incomplete" or response.incomplete_details:
            reason = response.incomplete_details.reason if response.incomplete_details else None
            return "content_filter" if reason == "content_filter" else "length"
        return "stop"

    def _read_response(self, data: bytes | msgspec.Raw) -> _Response:
        try:
            return _response.decode(data)
        except _UNREADABLE as error:
            raise _foreign(bytes(data)) from error


def _decode_item(raw: msgspec.Raw) -> _Item:
    """An item of a shape that nobody here knows says nothing."""
    try:
        return _item.decode(raw)
    except _UNREADABLE:
        return _Item()


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _arguments(given: Any) -> str:
    if given is None or isinstance(given, str):
        return given or ""
    return _encode(given).decode()


def _cited(citation: _Citation) -> list[Meaning]:
    if citation.type != "url_citation" or not citation.url:
        return []
    start, end = citation.start_index or 0, citation.end_index or 0
    return [Citation(citation.url, citation.title or "", start=start, end=end)]


def read_usage(data: bytes) -> Usage | None:
    """None for what cannot be a count: an answer is not lost for a bad number."""
    try:
        said = _usage.decode(data)
    except msgspec.DecodeError:
        return None
    into, out = said.input_tokens_details or _InputDetails(), said.output_tokens_details or _OutputDetails()
    usage = Usage(
        input=said.input_tokens or 0,
        cached=into.cached_tokens or 0,
        cache_write=into.cache_write_tokens or 0,
        output=said.output_tokens or 0,
        reasoning=out.reasoning_tokens or 0,
    )
    counts = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning)
    return usage if min(counts) >= 0 and usage.total else None


def _foreign(data: bytes) -> UpstreamError:
    return foreign(data, "a response")
