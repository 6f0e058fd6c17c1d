"""
Replies: one reader for whole bodies and for stream chunks, which differ only in `message` and `delta`.

Read tolerantly: a provider's oddity must not cost the client its answer. What a single provider does
differently is mended before this file sees it (Ways.mends).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.codecs import Frame
from hoosh.core.chat import ChatRequest
from hoosh.core.errors import BadUpstream, Truncated, UpstreamError
from hoosh.core.events import Finish, FinishReason, Meaning, Metered, Opened, Reasoning, Refusal, Text, ToolDelta
from hoosh.core.usage import Usage
from hoosh.dialects import Ways
from hoosh.dialects.openai import faults

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
    """`arguments` is an object where a server takes its own tool format for OpenAI's."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: dict[str, Any] | None = None


class _Detail(msgspec.Struct, gc=False):
    text: str | None = None
    summary: str | None = None
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
_NULLS = (b"", b"null")


class ChatReader:
    """Of the events of one payload, Metered comes last."""

    __slots__ = ("_asked", "_calls", "_done", "_finished", "_id", "_mends", "_opened")

    def __init__(self, asked: ChatRequest, ways: Ways) -> None:
        self._asked = asked
        self._mends = ways.mends
        self._opened = False
        self._id = ""
        self._finished: set[int] = set()
        self._done = False
        self._calls: dict[int, _Calls] = {}

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data, raw = frame.data, frame.raw
        if self._done or data == b"[DONE]":
            self._done = True
            return b"", ()
        if self._mends:
            data, raw = self._mend(data, raw)
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not data.strip():
                return b"", ()
            raise _foreign(data) from error
        choices = chunk.choices
        if not choices or bytes(chunk.error) not in _NULLS:
            self._check(frame, data, bare=not choices)
        events: list[Meaning] = []
        if not self._opened and (chunk.id or chunk.model):
            self._opened = True
            self._id = chunk.id or ""
            events.append(Opened(self._id, chunk.model or ""))
        whole = frame.raw is frame.data
        for choice in choices or ():
            if not self._choice(choice, events, whole=whole):
                raw = b""
        if (said := bytes(chunk.usage)) not in _NULLS:
            if usage := read_usage(said):
                events.append(Metered(usage))
            if self._asked.stream and not choices and not self._asked.include_usage:
                raw = b""  # the gateway asked for this chunk, the client did not
        return raw, events

    def end(self) -> Sequence[Meaning]:
        """[DONE] alone proves nothing: ifran ends a reply that failed with it. Nor does one of several answers' end."""
        if not self._finished or not (self._done or len(self._finished) >= self._asked.n):
            raise Truncated("the provider's reply ended early")
        return ()

    def _check(self, frame: Frame, data: bytes, *, bare: bool) -> None:
        """Raises UpstreamError where the payload is the provider's error, or a `bare` one is the whole reply."""
        payload = _json.decode(data)
        if payload.get("error") or payload.get("object") == "error" or frame.event == b"error":
            raise faults.in_stream(payload)
        if bare and frame.raw is frame.data:
            raise _foreign(data)

    def _mend(self, data: bytes, raw: bytes) -> tuple[bytes, bytes]:
        try:
            payload = _json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return data, raw
        # Every mend must have its turn.
        if not isinstance(payload, dict) or True not in [mend(payload) for mend in self._mends]:
            return data, raw
        data = _encode(payload)
        return data, b"data: %b\n\n" % data if self._asked.stream else data

    def _choice(self, choice: _Choice, events: list[Meaning], *, whole: bool) -> bool:
        """Does the choice have the form that was asked for? Else a streamed call is told it as events."""
        index = choice.index or 0
        # Perplexity sends both: in a stream `message` is all so far, in a whole reply `delta` is empty.
        delta = (choice.message or choice.delta) if whole else (choice.delta or choice.message)
        if delta is not None:
            self._delta(delta, index, events)
        reason = choice.finish_reason
        if whole:  # its closing brace proves it complete
            self._done = True
            reason = reason or ("tool_calls" if index in self._calls else "stop")
        if reason and index not in self._finished:  # OpenRouter says it again beside the usage
            self._finished.add(index)
            if index in self._calls:
                events += self._calls[index].rest(index)
            events.append(Finish(FINISH.get(reason, "stop"), index))
        foreign = whole or (choice.delta is None and choice.message is not None)
        return not (self._asked.stream and foreign)

    def _delta(self, delta: _Delta, index: int, events: list[Meaning]) -> None:
        if delta.reasoning_details:
            events += _thoughts(delta.reasoning_content or delta.reasoning or "", delta.reasoning_details, index)
        elif thought := delta.reasoning_content or delta.reasoning:
            events.append(Reasoning(thought, index=index))
        if delta.content:
            events.append(Text(delta.content, index))
        if delta.refusal:
            events.append(Refusal(delta.refusal, index))
        if delta.function_call:
            delta.tool_calls = [_Call(0, delta.function_call.name, delta.function_call)]
        if delta.tool_calls:
            calls = self._calls.get(index)
            if calls is None:
                calls = self._calls[index] = _Calls(f"call_{self._id[-16:]}_{index}_")
            events += [calls.take(call, index) for call in delta.tool_calls]


class _Calls:
    """The tool calls of one choice, counted from 0 whatever their numbers are."""

    __slots__ = ("_bare", "_ids", "_numbers", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._ids: list[str] = []  # the provider's, "" where it gave none
        self._numbers: dict[int, int] = {}  # the provider's number to ours
        self._bare: dict[int, None] = {}  # calls without arguments so far

    def take(self, call: _Call, index: int) -> ToolDelta:
        function = call.function or _Function()
        said = call.id or ""
        number = self._find(call.index, said, function.name)
        arguments = function.arguments or ""
        if not isinstance(arguments, str):
            arguments = _encode(arguments).decode()
        fresh = number == len(self._ids)
        if fresh:
            self._ids.append(said)
            if arguments == "null":  # Groq's word for no arguments
                arguments = ""
            self._bare[number] = None
        if call.index is not None:
            self._numbers[call.index] = number
        if arguments:
            self._bare.pop(number, None)
        identity, name = (said or f"{self._prefix}{number}", function.name or "") if fresh else ("", "")
        return ToolDelta(number, identity, name, arguments, _signature(call.extra_content), index)

    def rest(self, index: int) -> list[ToolDelta]:
        """What is missing at the end: a call without arguments has an empty object of them."""
        bare, self._bare = self._bare, {}
        return [ToolDelta(number, arguments="{}", index=index) for number in bare]

    def _find(self, given: int | None, said: str, name: str | None) -> int:
        """Mistral streams whole calls without a number; Gemini numbers every call 0 and tells them apart by id."""
        known = len(self._ids) - 1 if given is None else self._numbers.get(given, -1)
        if known < 0:
            return len(self._ids)
        another = self._ids[known] not in ("", said) if said else given is None
        return len(self._ids) if name and another else known


def _signature(extra: dict[str, Any] | None) -> str:
    google = extra.get("google") if extra else None
    return str(google.get("thought_signature") or "") if isinstance(google, dict) else ""


def _thoughts(plain: str, details: list[_Detail], index: int) -> list[Meaning]:
    """OpenRouter says each thought twice, plainly and in detail; only the details carry the proofs."""
    texts = [detail.text or detail.summary or "" for detail in details]
    if plain and (not any(texts) or not any(detail.signature or detail.data for detail in details)):
        texts = [plain, *[""] * (len(details) - 1)]
    return [
        Reasoning(text, detail.signature or "", detail.data or "", index)
        for text, detail in zip(texts, details, strict=True)
        if text or detail.signature or detail.data
    ]


def read_usage(data: bytes) -> Usage | None:
    """None for what cannot be a count: an answer is not lost for a bad number."""
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
    counts = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning)
    return usage if min(counts) >= 0 and usage.total else None


def model_ids(body: bytes) -> tuple[str, ...]:
    try:
        return tuple(model.id for model in _models.decode(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream("the provider's list of models is not one") from error


def _foreign(data: bytes) -> UpstreamError:
    try:
        payload = _json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return BadUpstream("the provider sent what is not JSON")
    if isinstance(payload, dict) and (payload.get("error") or payload.get("detail")):
        return faults.in_stream(payload)
    return BadUpstream("the provider sent what is not a chat completion")
