"""Replies: one reader for whole bodies and for stream chunks, which look alike here."""

from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.codecs import Frame
from hoosh.core.asked import ChatRequest, CompleteRequest
from hoosh.core.errors import Truncated
from hoosh.core.events import Finish, FinishReason, Meaning, Metered, Opened, Text, Usage
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai import faults, replies
from hoosh.dialects.openai_completions.logprobs import Offsets

_FINISH: dict[str, FinishReason] = {"length": "length", "content_filter": "content_filter"}


class _Choice(msgspec.Struct):
    text: str | None = None
    index: int | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_chunk = msgspec.json.Decoder(_Chunk)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
# llama.cpp begins a stream of several answers with a null.
_NO_PAYLOAD = (b"", b"null", b"[DONE]")


class CompletionsReader:
    """Of the events of one payload, Metered comes last where the payload's own `usage` says the same."""

    __slots__ = ("_answers", "_asked", "_done", "_each", "_finished", "_mends", "_offsets", "_opened", "_total")

    def __init__(self, asked: ChatRequest | CompleteRequest, ways: Ways) -> None:
        self._asked = asked
        self._answers = asked.n * (len(asked.prompts) if isinstance(asked, CompleteRequest) else 1)
        self._each = ways.usage_each and self._answers > 1
        self._mends = ways.mends
        self._opened = False
        self._finished: set[int] = set()
        self._done = False
        self._offsets = Offsets()
        self._total = Usage()

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data = frame.data
        if self._done or data.strip() in _NO_PAYLOAD:
            self._done = self._done or data.strip() == b"[DONE]"
            return b"", ()
        try:
            chunk = _chunk.decode(data)
        except replies.UNREADABLE as error:
            raise replies.foreign(data, "a completion") from error
        whole = frame.raw is frame.data
        if chunk.error or frame.event == b"error":
            raise faults.in_stream(_json.decode(data))
        if whole and not chunk.choices:
            raise replies.foreign(data, "a completion")
        events: list[Meaning] = []
        if not self._opened and (chunk.id or chunk.model):
            self._opened = True
            events.append(Opened(chunk.id or "", chunk.model or ""))
        for choice in chunk.choices or ():
            self._choice(choice, events, whole=whole)
        self._meter(chunk, events, whole=whole)
        return self._passed(frame, chunk, whole=whole), events

    def end(self) -> Sequence[Meaning]:
        """[DONE] alone proves nothing, nor does one of several answers' end."""
        if not self._finished or not (self._done or len(self._finished) >= self._answers):
            raise Truncated("the provider's reply ended early")
        return ()

    def _choice(self, choice: _Choice, events: list[Meaning], *, whole: bool) -> None:
        index, reason = choice.index or 0, choice.finish_reason
        if choice.text:
            events.append(Text(choice.text, index))
        if whole:  # its closing brace proves it complete
            self._done = True
            reason = reason or "stop"
        if reason and index not in self._finished:
            self._finished.add(index)
            events.append(Finish(_FINISH.get(reason, "stop"), index))

    def _meter(self, chunk: _Chunk, events: list[Meaning], *, whole: bool) -> None:
        used = _usage(chunk.usage)
        if used is None or (self._each and whole):  # then an estimate of all is nearer than the count of one
            return
        if not self._each:
            events.append(Metered(used))
            return
        total, first = self._total, chunk.choices[0].index or 0 if chunk.choices else 0
        is_first_of_prompt = first % self._asked.n == 0
        self._total = Usage(
            input=total.input + used.input * is_first_of_prompt,
            cached=total.cached + used.cached * is_first_of_prompt,
            reasoning=total.reasoning + used.reasoning,
            output=total.output + used.output,
        )
        events.insert(0, Metered(self._total))

    def _passed(self, frame: Frame, chunk: _Chunk, *, whole: bool) -> bytes:
        """b"" for what the client did not ask for: the chunk of the usage, a whole reply in the place of a stream."""
        asked = self._asked
        if whole == asked.stream or (asked.stream and not chunk.choices and chunk.usage and not asked.include_usage):
            return b""
        data = replies.mended(self._in_lists(self._without_usage(frame.data, chunk), chunk), self._mends)
        return frame.raw if data is frame.data else data if whole else b"data: %b\n\n" % data

    def _without_usage(self, data: bytes, chunk: _Chunk) -> bytes:
        """A client gets the sum at the end."""
        if not (self._each and chunk.usage):
            return data
        return _encode({name: value for name, value in _fields.decode(data).items() if name != "usage"})

    def _in_lists(self, data: bytes, chunk: _Chunk) -> bytes:
        """llama.cpp gives logprobs in chat's form."""
        written = {
            i: self._offsets.in_lists(_encode(choice.logprobs["content"]), choice.index or 0)
            for i, choice in enumerate(chunk.choices or ())
            if isinstance(choice.logprobs, dict) and choice.logprobs.get("content")
        }
        if not written:
            return data
        fields: JSON = dict(_fields.decode(data))
        choices: list[JSON] = [dict(given) for given in _items.decode(fields["choices"])]
        for i, logprobs in written.items():
            choices[i]["logprobs"] = logprobs
        return _encode({**fields, "choices": choices})


def _usage(given: object) -> Usage | None:
    """None for what cannot be a count: an answer is not lost for a bad number."""
    try:
        said = msgspec.convert(given, _Usage | None)
    except msgspec.ValidationError:
        return None
    if said is None:
        return None
    details = said.prompt_tokens_details or _Details()
    reasoning = (said.completion_tokens_details or _OutputDetails()).reasoning_tokens or 0
    counts = (said.prompt_tokens or 0, details.cached_tokens or 0, said.completion_tokens or 0, reasoning)
    if min(counts) < 0 or not counts[0] + counts[2]:
        return None
    return Usage(input=counts[0], cached=counts[1], output=counts[2], reasoning=reasoning)
