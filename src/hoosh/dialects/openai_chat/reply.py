"""
Replies: one reader for whole bodies and for stream chunks, which differ only in `message` and `delta`.

Read tolerantly: a provider's oddity must not cost the client its answer. What a single provider does
differently is mended before this file sees it (Ways.mends).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.codecs import Frame
from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream, Truncated, UpstreamError
from hoosh.core.events import Finish, FinishReason, Meaning, Metered, Opened, Reasoning, Refusal, Text, ToolDelta, Usage
from hoosh.dialects import Ways
from hoosh.dialects.openai import faults
from hoosh.dialects.openai_chat import beside
from hoosh.dialects.openai_chat.amend import Found, complete, complete_usage, put_right

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


_ABSENT = msgspec.Raw()


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    extra_content: dict[str, Any] | None = None
    name: str | None = None  # of a flat call
    arguments: str | None = None


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
    annotations: msgspec.Raw = _ABSENT
    images: msgspec.Raw = _ABSENT
    audio: msgspec.Raw = _ABSENT


class _Logprobs(msgspec.Struct):
    content: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    logprobs: _Logprobs | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    citations: msgspec.Raw = _ABSENT
    search_results: msgspec.Raw = _ABSENT


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    input_tokens: int | None = None
    completion_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    num_cached_tokens: int | None = None  # Mistral
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_chunk = msgspec.json.Decoder(_Chunk)
_usage = msgspec.json.Decoder(_Usage, strict=False)  # 12.0 and "12" are counts, too
_models = msgspec.json.Decoder(_Models)
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_NULLS = (b"", b"null")
_NO_PAYLOAD = (b"", b"[DONE]")


class ChatReader:
    """Of the events of one payload, Metered comes last."""

    __slots__ = ("_asked", "_calls", "_cited", "_done", "_finished", "_found", "_id", "_lacking", "_mends", "_opened")

    def __init__(self, asked: ChatRequest, ways: Ways) -> None:
        self._asked = asked
        self._mends = ways.mends
        self._opened = False
        self._id = ""
        self._finished: set[int] = set()
        self._done = False
        self._calls: dict[int, _Calls] = {}
        self._cited: set[str] = set()
        self._found: dict[int, Found] = {}  # by the choice's place in the payload at hand
        self._lacking = False  # one of them lacks something that clients rely on

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data, raw = frame.data, frame.raw
        if self._done or (data[:1] != b"{" and data.strip() in _NO_PAYLOAD):
            self._done = self._done or bool(data.strip())
            return b"", ()
        if self._mends:
            data, raw = self._mend(data, raw)
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            data, chunk = _put_right(data, error)
            raw = self._written(data)
        if self._found:
            self._found = {}
        self._lacking = False
        choices = chunk.choices
        if not choices or bytes(chunk.error) not in _NULLS:
            self._check(frame, data, bare=not choices)
        events: list[Meaning] = []
        if not self._opened and (chunk.id or chunk.model):
            self._opened = True
            self._id = chunk.id or ""
            events.append(Opened(self._id, chunk.model or ""))
        whole = frame.raw is frame.data
        usable = whole or self._asked.stream
        if chunk.search_results is not _ABSENT or chunk.citations is not _ABSENT:
            self._sources(chunk, events)
        for place, choice in enumerate(choices or ()):
            usable = self._choice(choice, events, place, whole=whole) and usable
        if not usable:
            raw = b""
        elif self._lacking:
            data = self._completed(data)
            raw = self._written(data)
        said = bytes(chunk.usage)
        if choices and said in _NULLS:  # Moonshot tells it within the last choice of a stream
            said = bytes(choices[-1].usage)
        if said not in _NULLS:
            if usage := read_usage(said):
                events.append(Metered(usage))
                if raw and not _says_all(bytes(chunk.usage), usage):
                    payload = _json.decode(data)
                    payload["usage"] = complete_usage(_json.decode(said), usage)
                    raw = self._written(_encode(payload))
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

    def _sources(self, chunk: _Chunk, events: list[Meaning]) -> None:
        """Every chunk repeats them."""
        listed = chunk.search_results if beside.is_said(chunk.search_results) else chunk.citations
        for source in beside.sources(listed):
            if source.url not in self._cited:
                self._cited.add(source.url)
                events.append(source)

    def _mend(self, data: bytes, raw: bytes) -> tuple[bytes, bytes]:
        try:
            payload = _json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return data, raw
        # Every mend must have its turn.
        if not isinstance(payload, dict) or True not in [mend(payload) for mend in self._mends]:
            return data, raw
        data = _encode(payload)
        return data, self._written(data)

    def _written(self, data: bytes) -> bytes:
        return b"data: %b\n\n" % data if self._asked.stream else data

    def _completed(self, data: bytes) -> bytes:
        payload = _json.decode(data)
        complete(payload, self._found, stream=self._asked.stream)
        return _encode(payload)

    def _choice(self, choice: _Choice, events: list[Meaning], place: int, *, whole: bool) -> bool:
        """Does the choice have the form that was asked for? Else a streamed call is told it as events."""
        index = choice.index or 0
        if choice.error is not _ABSENT and (error := _json.decode(choice.error)):  # OpenRouter: the vendor failed
            raise faults.in_stream({"error": error})
        # Perplexity sends both: in a stream `message` is all so far, in a whole reply `delta` is empty.
        delta = (choice.message or choice.delta) if whole else (choice.delta or choice.message)
        if delta is not None:
            self._delta(delta, index, events, place)
        elif not whole:
            self._lacking = True
        if choice.logprobs is not None:
            events += beside.logprobs(choice.logprobs.content, index)
        reason = choice.finish_reason
        if whole:  # its closing brace proves it complete
            self._done = True
            reason = reason or ("tool_calls" if index in self._calls else "stop")
        if reason and index not in self._finished:  # OpenRouter says it again beside the usage
            self._finished.add(index)
            if index in self._calls and (rest := self._calls[index].rest(index)):
                events += rest
                self._found.setdefault(place, Found()).rest = rest
                self._lacking = True
            events.append(Finish(FINISH.get(reason, "stop"), index))
        foreign = whole or (choice.delta is None and choice.message is not None)
        return not (self._asked.stream and foreign)

    def _delta(self, delta: _Delta, index: int, events: list[Meaning], place: int) -> None:
        if delta.reasoning_details:
            events += _thoughts(delta.reasoning_content or delta.reasoning or "", delta.reasoning_details, index)
        elif thought := delta.reasoning_content or delta.reasoning:
            events.append(Reasoning(thought, index=index))
        if delta.content:
            events.append(Text(delta.content, index))
        if delta.refusal:
            events.append(Refusal(delta.refusal, index))
        if delta.function_call:
            call = _Call(0, delta.function_call.name, "function", delta.function_call)
            events.append(self._calls_of(index).take(call, index))
        elif delta.tool_calls:
            calls = self._calls_of(index)
            found = [calls.take(call, index) for call in delta.tool_calls]
            self._found[place] = Found(found)
            events += found
            for call, meant in zip(delta.tool_calls, found, strict=True):
                if self._lacks(call, meant):
                    self._lacking = True

        if delta.annotations is not _ABSENT:
            events += beside.citations(delta.annotations, index)
        if delta.images is not _ABSENT:
            events += beside.pictures(delta.images, index)
        if delta.audio is not _ABSENT:
            events += beside.sound(delta.audio, index)

    def _calls_of(self, index: int) -> "_Calls":
        calls = self._calls.get(index)
        if calls is None:
            calls = self._calls[index] = _Calls(f"call_{self._id[-16:]}_{index}_")
        return calls

    def _lacks(self, call: _Call, meant: ToolDelta) -> bool:
        if meant.call != call.index and self._asked.stream:
            return True
        fresh = bool(meant.id)
        return fresh and not (call.id and call.type and call.function and call.function.arguments == meant.arguments)


class _Calls:
    """The tool calls of one choice, counted from 0 whatever their numbers are."""

    __slots__ = ("_bare", "_ids", "_numbers", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._ids: list[str] = []  # the provider's, "" where it gave none
        self._numbers: dict[int, int] = {}  # the provider's number to ours
        self._bare: dict[int, None] = {}  # calls without arguments so far

    def take(self, call: _Call, index: int) -> ToolDelta:
        function = call.function or _Function(call.name, call.arguments)
        said = call.id or ""
        number = self._find(call.index, said, function.name)
        arguments = function.arguments or ""
        fresh = number == len(self._ids)
        if fresh:
            self._ids.append(said)
            if arguments == "null":  # Groq's word for no arguments
                arguments = "{}"
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
    prompt, completion = said.prompt_tokens or said.input_tokens or 0, said.completion_tokens or said.output_tokens or 0
    reasoning = more.reasoning_tokens or 0
    apart = prompt + completion + reasoning == said.total_tokens  # xAI leaves it out of the completion
    if reasoning and (apart or reasoning > completion):
        completion += reasoning
    usage = Usage(
        input=prompt,
        cached=details.cached_tokens or said.prompt_cache_hit_tokens or said.num_cached_tokens or 0,
        cache_write=details.cache_write_tokens or 0,
        output=completion,
        reasoning=reasoning,
        audio_input=details.audio_tokens or 0,
        audio_output=more.audio_tokens or 0,
    )
    counts = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning)
    heard_and_said = (usage.audio_input, usage.audio_output)
    return usage if min(*counts, *heard_and_said) >= 0 and usage.total else None


def _says_all(data: bytes, usage: Usage) -> bool:
    """Does the provider's own usage object say the same, in OpenAI's words or in Mistral's, which stand beside them?"""
    if data in _NULLS:
        return False
    said = _usage.decode(data)
    cached = said.prompt_tokens_details.cached_tokens if said.prompt_tokens_details else None
    told = (said.prompt_tokens, said.completion_tokens, cached or said.num_cached_tokens or 0)
    return told == (usage.input, usage.output, usage.cached)


def model_ids(body: bytes) -> tuple[str, ...]:
    try:
        return tuple(model.id for model in _models.decode(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream("the provider's list of models is not one") from error


def _put_right(data: bytes, error: Exception) -> tuple[bytes, _Chunk]:
    """Raises UpstreamError for what is no payload at all."""
    try:
        payload = _json.decode(data)
        if isinstance(payload, dict):
            put_right(payload)
        data = _encode(payload)
        return data, _chunk.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _foreign(data) from error


def _foreign(data: bytes) -> UpstreamError:
    try:
        payload = _json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return BadUpstream("the provider sent what is not JSON")
    if isinstance(payload, dict) and (payload.get("error") or payload.get("detail")):
        return faults.in_stream(payload)
    return BadUpstream("the provider sent what is not a chat completion")
