"""
Replies: one reader for whole bodies and for stream chunks, which differ only in `message` and `delta`.

Read tolerantly: a provider's oddity must not cost the client its answer. What a single provider does
differently is mended before this file sees it (Ways.mends).
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from hoosh.codecs import Frame
from hoosh.core.chat import ChatRequest
from hoosh.core.errors import BadUpstream, Truncated
from hoosh.core.events import Finish, FinishReason, Meaning, Metered, Opened, Reasoning, Refusal, Text, ToolDelta
from hoosh.core.usage import Usage
from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import faults

# Words that providers use beyond OpenAI's own; an unknown word counts as stop.
FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "model_length": "length",
    "insufficient_system_resource": "length",
}


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: dict[str, Any] | None = None


class _Detail(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[_Detail] | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_chunk = msgspec.json.Decoder(_Chunk)
_usage = msgspec.json.Decoder(_Usage)
_models = msgspec.json.Decoder(_Models)
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_NULL = b"null"
_NULLS = (b"", _NULL)


class ChatReader:
    __slots__ = ("_asked", "_calls", "_done", "_finished", "_mends", "_opened", "_stream")

    def __init__(self, asked: ChatRequest, ways: Ways) -> None:
        self._asked = asked
        self._mends = ways.mends
        self._stream = asked.stream
        self._opened = False
        self._finished = False
        self._done = False
        self._calls: dict[int, int] = {}  # choice -> number of its last tool call

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data, raw = frame.data, frame.raw
        if self._done:
            return b"", ()
        if data == b"[DONE]":
            self._done = True
            return b"", ()
        if self._mends:
            data, raw = self._mend(data, raw)
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _foreign(data) from error
        if bytes(chunk.error) not in _NULLS:
            raise faults.in_stream(_json.decode(data))
        events: list[Meaning] = []
        if not self._opened and (chunk.id or chunk.model):
            self._opened = True
            events.append(Opened(chunk.id or "", chunk.model or ""))
        choices = chunk.choices
        for choice in choices or ():
            self._choice(choice, events)
        if (given := bytes(chunk.usage)) and (usage := read_usage(given)):
            events.append(Metered(usage))
            if self._stream and not choices and not self._asked.include_usage:
                raw = b""  # we asked for this chunk, the client did not
        if choices is None and self._stream is False:
            raise _foreign(data)
        return (raw if self._fits(chunk) else b""), events

    def end(self) -> Sequence[Meaning]:
        if not (self._finished or self._done):
            raise Truncated("the provider's reply ended early")
        return ()

    def _fits(self, chunk: _Chunk) -> bool:
        """A whole body where a stream was asked for is told as events instead."""
        return not (self._stream and chunk.choices and chunk.choices[0].message is not None)

    def _mend(self, data: bytes, raw: bytes) -> tuple[bytes, bytes]:
        try:
            payload = _json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _foreign(data) from error
        if not isinstance(payload, dict):
            raise _foreign(data)
        if not any([mend(payload) for mend in self._mends]):  # noqa: C419 - every mend must run
            return data, raw
        data = _encode(payload)
        return data, b"data: %b\n\n" % data if self._stream else data

    def _choice(self, choice: _Choice, events: list[Meaning]) -> None:
        index = choice.index or 0
        delta = choice.delta or choice.message
        if delta is not None:
            self._delta(delta, index, events)
        if choice.finish_reason:
            self._finished = True
            events.append(Finish(FINISH.get(choice.finish_reason, "stop"), index))

    def _delta(self, delta: _Delta, index: int, events: list[Meaning]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            events.append(Reasoning(thought, index=index))
        for detail in delta.reasoning_details or ():
            if detail.signature or detail.data:
                events.append(Reasoning("", detail.signature or "", detail.data or "", index))
            elif detail.text and not thought:
                events.append(Reasoning(detail.text, index=index))
        if delta.content:
            events.append(Text(delta.content, index))
        if delta.refusal:
            events.append(Refusal(delta.refusal, index))
        if delta.function_call:
            delta.tool_calls = [_Call(0, delta.function_call.name, delta.function_call)]
        for call in delta.tool_calls or ():
            events.append(self._call(call, index))

    def _call(self, call: _Call, index: int) -> ToolDelta:
        last = self._calls.get(index, -1)
        number = call.index
        if number is None:  # Mistral's streamed calls come whole and without a number
            number = last if last >= 0 and not call.id else last + 1
        fresh = number > last
        self._calls[index] = max(last, number)
        function = call.function or _Function()
        arguments = function.arguments or ""
        if fresh and arguments == "null":  # Groq's word for no arguments
            arguments = "{}"
        signature = ""
        if call.extra_content:
            google = call.extra_content.get("google")
            signature = str(google.get("thought_signature") or "") if isinstance(google, dict) else ""
        identity = (call.id or f"call_{index}_{number}") if fresh else ""
        return ToolDelta(number, identity, function.name or "" if fresh else "", arguments, signature, index)


def read_usage(data: bytes) -> Usage | None:
    """None for null and for what cannot be a count: an answer is not lost for a bad number."""
    if data == _NULL:
        return None
    try:
        said = _usage.decode(data)
    except msgspec.DecodeError:
        return None
    details, more = said.prompt_tokens_details or _InputDetails(), said.completion_tokens_details or _OutputDetails()
    usage = Usage(
        input=said.prompt_tokens or 0,
        cached=details.cached_tokens or said.prompt_cache_hit_tokens or 0,
        cache_write=details.cache_write_tokens or 0,
        output=said.completion_tokens or 0,
        reasoning=more.reasoning_tokens or 0,
    )
    return usage if min(usage.input, usage.cached, usage.output, usage.reasoning) >= 0 and usage.total else None


def model_ids(body: bytes) -> tuple[str, ...]:
    try:
        return tuple(model.id for model in _models.decode(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadUpstream("the provider's list of models is not one") from error


def _foreign(data: bytes) -> BadUpstream:
    try:
        payload = _json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return BadUpstream("the provider sent what is not JSON")
    if isinstance(payload, dict) and (payload.get("error") or payload.get("detail")):
        return cast("BadUpstream", faults.in_stream(payload))
    return BadUpstream("the provider sent what is not a chat completion")
