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
    Finish,
    FinishReason,
    Meaning,
    Metered,
    Opened,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
)
from hoosh.core.usage import Usage
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
    type: str = ""
    index: int = 0
    delta: msgspec.Raw = _NULL
    content_block: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Tagged(msgspec.Struct, gc=False):
    type: str


class _Delta(_Tagged, gc=False):
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""


class _Block(_Tagged, gc=False):
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _StopDetails(msgspec.Struct):
    explanation: str | None = None


class _End(msgspec.Struct):
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(_End):
    id: str = ""
    model: str = ""
    content: list[msgspec.Raw] = []
    usage: _Usage | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_event = msgspec.json.Decoder(_Event)
_tagged = msgspec.json.Decoder(_Tagged)
_delta = msgspec.json.Decoder(_Delta)
_block = msgspec.json.Decoder(_Block)
_end = msgspec.json.Decoder(_End)
_usage = msgspec.json.Decoder(_Usage | None)
_message = msgspec.json.Decoder(_Message)
_fault = msgspec.json.Decoder(Fault)
_models = msgspec.json.Decoder(_Models)

_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
_DELTAS = frozenset({"text_delta", "thinking_delta", "signature_delta", "input_json_delta"})
_OTHER_BLOCK = _Block("")
_OTHER_DELTA = _Delta("")


def model_ids(body: bytes) -> tuple[str, ...]:
    try:
        return tuple(model.id for model in _models.decode(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadUpstream("the provider's list of models is not in the Messages format") from error


class MessagesReader:
    """Calls are counted by client tools alone: `index` on the wire counts all blocks, and a server tool's call
    (server_tool_use, mcp_tool_use) is the provider's own business.
    """

    __slots__ = ("_calls", "_complete", "_unsaid", "_used")

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}  # a tool_use block's index -> the call's number
        self._unsaid: dict[int, str] = {}  # a tool_use block's index -> its arguments, if no piece of them comes
        self._used = _Usage()
        self._complete = False

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
        match event.type:
            case "content_block_delta":
                return self._piece(event.index, event.delta)
            case "content_block_start":
                return self._begin(event.index, event.content_block)
            case "content_block_stop":
                return self._finish_call(event.index)
            case "message_start":
                message = _message.decode(event.message)
                return [Opened(message.id, message.model), *self._meter(message.usage)]
            case "message_delta":
                end = _end.decode(event.delta)
                return [*self._meter(_usage.decode(event.usage)), *self._ending(end)]
            case "message_stop":
                self._complete = True
            case "message":
                return self._whole(_message.decode(data))
            case "error":
                raise in_stream(_fault.decode(event.error))
            case "":
                raise BadUpstream(_NOT_THE_DIALECT)
        return ()

    def _whole(self, message: _Message) -> list[Meaning]:
        events: list[Meaning] = [Opened(message.id, message.model)]
        for index, block in enumerate(message.content):
            events += self._begin(index, block)
            events += self._finish_call(index)
        return [*events, *self._meter(message.usage), *self._ending(message)]

    def _begin(self, index: int, raw: msgspec.Raw) -> Sequence[Meaning]:
        block = _known(raw, _block, _BLOCKS, _OTHER_BLOCK)
        match block.type:
            case "text":
                return [Text(block.text)] if block.text else ()
            case "thinking":
                return [Reasoning(block.thinking, block.signature)] if block.thinking or block.signature else ()
            case "redacted_thinking":
                return [Reasoning(redacted=block.data)]
            case "tool_use":
                call = self._calls.setdefault(index, len(self._calls))
                self._unsaid[index] = "{}" if block.input == _NULL else bytes(block.input).decode()
                return [ToolDelta(call, block.id, block.name)]
        return ()

    def _piece(self, index: int, raw: msgspec.Raw) -> Sequence[Meaning]:
        delta = _known(raw, _delta, _DELTAS, _OTHER_DELTA)
        match delta.type:
            case "text_delta":
                return [Text(delta.text)]
            case "input_json_delta":
                if delta.partial_json and (call := self._calls.get(index)) is not None:
                    self._unsaid.pop(index, None)
                    return [ToolDelta(call, arguments=delta.partial_json)]
            case "thinking_delta":
                return [Reasoning(delta.thinking)]
            case "signature_delta":
                return [Reasoning(signature=delta.signature)]
        return ()

    def _finish_call(self, index: int) -> Sequence[Meaning]:
        arguments = self._unsaid.pop(index, None)
        return () if arguments is None else [ToolDelta(self._calls[index], arguments=arguments)]

    def _ending(self, end: _End) -> list[Meaning]:
        if end.stop_reason is None or self._complete:
            return []
        # message_stop adds nothing to it, and its blank line is what a stream is likeliest to lack.
        self._complete = True
        events: list[Meaning] = []
        for index in tuple(self._unsaid):
            events += self._finish_call(index)
        if end.stop_details and end.stop_details.explanation:
            events.append(Refusal(end.stop_details.explanation))
        events.append(Finish(_FINISH.get(end.stop_reason, "stop")))
        return events

    def _meter(self, usage: _Usage | None) -> list[Meaning]:
        """Counts are cumulative: a later one replaces, and what a later report leaves out still stands."""
        if usage is None:
            return []
        new = {name: value for name, value in msgspec.structs.asdict(usage).items() if value is not None}
        used = self._used = msgspec.structs.replace(self._used, **new)
        cached = used.cache_read_input_tokens or 0
        written = used.cache_creation_input_tokens or 0
        details = used.output_tokens_details or _OutputDetails()
        return [
            Metered(
                Usage(
                    input=(used.input_tokens or 0) + written + cached,
                    cached=cached,
                    cache_write=written,
                    output=used.output_tokens or 0,
                    reasoning=details.thinking_tokens or 0,
                )
            )
        ]


def _known(raw: msgspec.Raw, decoder: "msgspec.json.Decoder[_T]", types: frozenset[str], other: _T) -> _T:
    """`other` for a type that is not known here: such a block or delta may look like anything."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        if _tagged.decode(raw).type in types:
            raise
        return other
