"""Replies: a stream of events or one whole message, told apart by what the payload says it is.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming (read 2026-11), which promises that new
events, blocks and deltas will come: what is not known here is passed on and means nothing.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from hoosh.codecs import Frame
from hoosh.core.errors import BadUpstream, Truncated
from hoosh.core.events import (
    Citation,
    Finish,
    FinishReason,
    Meaning,
    Metered,
    Opened,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects.anthropic_messages.faults import Fault, in_stream

_T = TypeVar("_T")
_NULL = msgspec.Raw(b"null")
_NOT_THE_DIALECT = "the provider's reply is not in the Messages format"

# pause_turn: a server tool took long; the client may send the reply back to let it go on.
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    index: int | None = None
    delta: msgspec.Raw = _NULL
    content_block: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    content: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Tagged(msgspec.Struct, gc=False):
    type: str


class _Delta(_Tagged, gc=False):
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: "_Source | None" = None


class _Source(msgspec.Struct, gc=False):
    """Of the web; a place in a document has no address."""

    url: str | None = None
    title: str | None = None
    cited_text: str | None = None


class _Block(_Tagged, gc=False):
    text: str | None = None
    citations: list[_Source] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _StopDetails(msgspec.Struct):
    explanation: str | None = None


class _End(msgspec.Struct):
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(_End):
    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | str | None = None
    usage: msgspec.Raw = _NULL


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_event = msgspec.json.Decoder(_Event)
_tagged = msgspec.json.Decoder(_Tagged)
_delta = msgspec.json.Decoder(_Delta)
_block = msgspec.json.Decoder(_Block)
_end = msgspec.json.Decoder(_End)
_usage: "msgspec.json.Decoder[_Usage | None]" = msgspec.json.Decoder(_Usage | None, strict=False)
_message = msgspec.json.Decoder(_Message)
_fault = msgspec.json.Decoder(Fault)
_models = msgspec.json.Decoder(_Models)

_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_DELTAS = frozenset({"text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"})
_OTHER_BLOCK = _Block("")
_OTHER_DELTA = _Delta("")
_STOPPED = _End("end_turn")  # a reply that is complete without saying why


def model_ids(body: bytes) -> tuple[str, ...]:
    try:
        return tuple(model.id for model in _models.decode(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream("the provider's list of models is not in the Messages format") from error


class MessagesReader:
    """Calls are counted by client tools alone: `index` on the wire counts all blocks, and a server tool's call
    (server_tool_use, mcp_tool_use) is the provider's own business.
    """

    __slots__ = ("_calls", "_complete", "_id", "_unsaid", "_used")

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}  # a tool_use block's index -> the call's number
        self._unsaid: dict[int, str] = {}  # a tool_use block's index -> its arguments, if no piece of them comes
        self._used = _Usage()
        self._complete = False
        self._id = ""

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        try:
            return frame.raw, self._meaning(_event.decode(frame.data), frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if self._complete:  # an end mark of another dialect, say: nothing is lost by it
                return frame.raw, ()
            raise BadUpstream(_NOT_THE_DIALECT) from error

    def end(self) -> Sequence[Meaning]:
        if not self._complete:
            raise Truncated("the provider's reply ended before it was complete")
        return ()

    def _meaning(self, event: _Event, data: bytes) -> Sequence[Meaning]:
        match event.type or "":
            case "content_block_delta":
                return self._piece(event.index or 0, event.delta)
            case "content_block_start":
                return self._begin(event.index or 0, event.content_block)
            case "content_block_stop":
                return self._finish_call(event.index or 0)
            case "message_start":
                message = _message.decode(event.message)
                return [self._open(message), *self._meter(message.usage)]
            case "message_delta":
                end = _end.decode(event.delta) if event.delta != _NULL else _End()
                return [*self._meter(event.usage), *self._ending(end)]
            case "message_stop":
                return self._ending(_STOPPED)
            case "error":
                raise in_stream(_fault_in(event.error))
            case kind if event.error != _NULL:
                raise in_stream(_fault_in(event.error))
            case kind if kind == "message" or (not kind and event.content != _NULL):
                return self._whole(_message.decode(data))
            case "":
                raise BadUpstream(_NOT_THE_DIALECT)
        return ()

    def _open(self, message: _Message) -> Opened:
        self._id = message.id or ""
        return Opened(self._id, message.model or "")

    def _whole(self, message: _Message) -> list[Meaning]:
        events: list[Meaning] = [self._open(message)]
        content = message.content or ()
        if isinstance(content, str):
            events.append(Text(content))
            content = ()
        for index, block in enumerate(content):
            events += self._begin(index, block)
            events += self._finish_call(index)
        # Its closing brace proves it complete.
        end = message if message.stop_reason else _STOPPED
        return [*events, *self._meter(message.usage), *self._ending(end)]

    def _begin(self, index: int, raw: msgspec.Raw) -> Sequence[Meaning]:
        block = _known(raw, _block, _BLOCKS, _OTHER_BLOCK)
        match block.type:
            case "text":
                return [*([Text(block.text)] if block.text else ()), *_cited(block.citations or ())]
            case "thinking":
                said, proof = block.thinking or "", block.signature or ""
                return [Reasoning(said, proof)] if said or proof else ()
            case "redacted_thinking":
                return [Reasoning(redacted=block.data or "")]
            case "tool_use":
                call = self._calls.setdefault(index, len(self._calls))
                self._unsaid[index] = "{}" if block.input == _NULL else bytes(block.input).decode()
                return [ToolDelta(call, block.id or f"toolu_{self._id[-24:]}_{call}", block.name or "")]
        return ()

    def _piece(self, index: int, raw: msgspec.Raw) -> Sequence[Meaning]:
        delta = _known(raw, _delta, _DELTAS, _OTHER_DELTA)
        match delta.type:
            case "text_delta":
                return [Text(delta.text)] if delta.text else ()
            case "input_json_delta":
                if delta.partial_json and (call := self._calls.get(index)) is not None:
                    self._unsaid.pop(index, None)
                    return [ToolDelta(call, arguments=delta.partial_json)]
            case "thinking_delta":
                return [Reasoning(delta.thinking)] if delta.thinking else ()
            case "signature_delta":
                return [Reasoning(signature=delta.signature)] if delta.signature else ()
            case "citations_delta":
                return _cited((delta.citation,) if delta.citation else ())
        return ()

    def _finish_call(self, index: int) -> Sequence[Meaning]:
        arguments = self._unsaid.pop(index, None)
        return () if arguments is None else [ToolDelta(self._calls[index], arguments=arguments)]

    def _ending(self, end: _End) -> list[Meaning]:
        if not end.stop_reason or self._complete:
            return []
        # message_stop adds nothing to it, and its blank line is what a stream is likeliest to lack.
        self._complete = True
        events: list[Meaning] = []
        for index in tuple(self._unsaid):
            events += self._finish_call(index)
        if end.stop_details and end.stop_details.explanation:
            events.append(Refusal(end.stop_details.explanation))
        reason = _FINISH.get(end.stop_reason, "stop")
        events.append(Finish("tool_calls" if end is _STOPPED and self._calls else reason))
        return events

    def _meter(self, raw: msgspec.Raw) -> list[Meaning]:
        """Counts are cumulative: a later one replaces, and what a later report leaves out still stands."""
        usage = _used(raw)
        if usage is None:
            return []
        new = {name: value for name, value in msgspec.structs.asdict(usage).items() if value is not None}
        used = self._used = msgspec.structs.replace(self._used, **new)
        cached = used.cache_read_input_tokens or 0
        written = used.cache_creation_input_tokens or 0
        details = used.output_tokens_details or _OutputDetails()
        by_time = used.cache_creation or _CacheCreation()
        return [
            Metered(
                Usage(
                    input=(used.input_tokens or 0) + written + cached,
                    cached=cached,
                    cache_write=written,
                    cache_write_1h=max(0, by_time.ephemeral_1h_input_tokens or 0),
                    output=used.output_tokens or 0,
                    reasoning=details.thinking_tokens or 0,
                )
            )
        ]


def _cited(sources: Sequence[_Source]) -> list[Meaning]:
    return [Citation(one.url, one.title or "", one.cited_text or "") for one in sources if one.url]


def _used(raw: msgspec.Raw) -> _Usage | None:
    """None for what is no count: an answer is not lost for a bad number."""
    try:
        return _usage.decode(raw)
    except msgspec.ValidationError:
        return None


def _fault_in(raw: msgspec.Raw) -> Fault:
    try:
        return _fault.decode(raw)
    except msgspec.ValidationError:
        return Fault(message=bytes(raw).decode(errors="replace").strip('"'))


def _known(raw: msgspec.Raw, decoder: "msgspec.json.Decoder[_T]", types: frozenset[str], other: _T) -> _T:
    """`other` for a type that is not known here: such a block or delta may look like anything."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        if _tagged.decode(raw).type in types:
            raise
        return other
