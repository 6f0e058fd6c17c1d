"""How many input tokens a request would take: both faces of `POST /v1/messages/count_tokens`.

Source: https://platform.claude.com/docs/en/api/messages/count-tokens (read 2026-11).
"""

from collections.abc import Sequence

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import CountRequest, Operation
from hoosh.core.errors import BadUpstream, HooshError, Truncated, UpstreamError
from hoosh.core.events import Counted, Event, Meaning, Raw, Usage
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.anthropic_messages import faults, request
from hoosh.dialects.anthropic_messages.parse import parse_count
from hoosh.dialects.anthropic_messages.words import NAME, RELAYS

PATH = "/v1/messages/count_tokens"
# Any other field is refused: "max_tokens: Extra inputs are not permitted".
_COUNTED = frozenset({"model", "system", "messages", "tools", "tool_choice", "thinking", "output_config"})
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Count(msgspec.Struct):
    input_tokens: int


_count = msgspec.json.Decoder(_Count)


class CountReader:
    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        try:
            tokens = _count.decode(frame.data).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadUpstream("the provider's count is not in the Messages format") from error
        self._read = True
        return frame.raw, [Counted(tokens)]

    def end(self) -> Sequence[Meaning]:
        if not self._read:
            raise Truncated("the provider's count did not come")
        return ()


class CountEncoder:
    content_type = b"application/json"

    def __init__(self) -> None:
        self._reply = b""

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._reply = event.data
            elif isinstance(event, Counted):
                self._reply = _encode({"input_tokens": event.tokens})
        return b""

    def finish(self, usage: Usage) -> bytes:  # noqa: ARG002 (counting uses nothing)
        return self._reply


class MessagesCount:
    name = NAME
    operation: Operation = "count"
    relays = RELAYS

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> CountRequest:
        return CountRequest(chat=parse_count(body))

    def encoder(self, asked: CountRequest, served: Served) -> Encoder:  # noqa: ARG002 (a count names nobody)
        return CountEncoder()

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return faults.frame(error, request_id)

    def render(self, asked: CountRequest, model: str, ways: Ways) -> WireRequest:
        whole = request.render(asked.chat, model, ways)
        return msgspec.structs.replace(whole, path=PATH, body=_only_counted(whole.body))

    def pass_on(self, asked: CountRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return msgspec.structs.replace(request.pass_on(asked.chat, body, model, ways), path=PATH)

    def splitter(self, asked: CountRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (it is never streamed)
        return WholeBody()

    def reader(self, asked: CountRequest, ways: Ways) -> Reader:  # noqa: ARG002 (there is one form)
        return CountReader()

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


def _only_counted(body: bytes) -> bytes:
    fields: JSON = dict(_fields.decode(body))
    return _encode({name: value for name, value in fields.items() if name in _COUNTED})
