"""
OpenAI Responses, both faces: what Codex and OpenAI's newer clients speak, and OpenAI, xAI, DeepSeek, OpenRouter serve.

Source: https://platform.openai.com/docs/api-reference/responses (read 2026-11) and what the four were recorded to send.
request.py, items.py and tools.py read requests, render.py writes them; reply.py reads replies, encode.py and answer.py
write them; thoughts.py carries what other vendors' models thought; keep.py is about what the gateway keeps.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from hoosh.codecs import Splitter
from hoosh.codecs.sniff import EventsOrWhole
from hoosh.core.asked import ChatRequest, Operation
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.openai import faults
from hoosh.dialects.openai_responses import request
from hoosh.dialects.openai_responses.encode import StreamEncoder, WholeEncoder
from hoosh.dialects.openai_responses.reply import ResponsesReader
from hoosh.dialects.openai_responses.tools import NAME

LOSSES = request.LOSSES | {"reply.choices"}
_NO_BODY: Mapping[str, msgspec.Raw] = MappingProxyType({})
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class OpenAIResponses:
    name = NAME
    operation: Operation = "chat"
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> ChatRequest:
        return request.parse(body)

    def encoder(self, asked: ChatRequest, served: Served) -> Encoder:
        return encoder(asked, served, _NO_BODY)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        """Where nobody followed the call: see Followed."""
        said = {"type": error.kind, "code": error.code, "message": error.message, "param": error.param}
        event = {**said, "type": "error", "sequence_number": 0, "error": {**said, "request_id": request_id}}
        return b"event: error\ndata: %b\n\n" % _encode(event)

    def render(self, asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
        return request.rendered(asked, model, ways)

    def pass_on(self, asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return request.pass_on(asked, body, model, ways)

    def splitter(self, asked: ChatRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (the body says what it is)
        """A refusal, or a server that cannot stream, may answer whole where a stream was asked for."""
        return EventsOrWhole()

    def reader(self, asked: ChatRequest, ways: Ways) -> Reader:  # noqa: ARG002 (nobody needs mending)
        return ResponsesReader(asked)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


DIALECT = OpenAIResponses()


def encoder(asked: ChatRequest, served: Served, body: Mapping[str, msgspec.Raw]) -> StreamEncoder | WholeEncoder:
    """`body` is the client's, whose fields the response repeats."""
    return StreamEncoder(asked, served, body) if asked.stream else WholeEncoder(asked, served, body)


class Followed(OpenAIResponses):
    """The dialect during one call: it remembers the encoder, so that what was said can be kept, and an error in the
    middle of a stream can say where it stands.
    """

    def __init__(self, body: bytes) -> None:
        self._body = _fields.decode(body)
        self.encoding: StreamEncoder | WholeEncoder | None = None

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def encoder(self, asked: ChatRequest, served: Served) -> Encoder:
        self.encoding = encoder(asked, served, self._body)
        return self.encoding

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return self.encoding.fault(error) if self.encoding else super().fault_frame(error, request_id)

    def draft(self, model: str, call_id: str, created_s: int) -> bytes:
        """The response of a call that has not begun, as JSON."""
        served = Served(id=call_id, created_s=created_s, provider="", model=model)
        return WholeEncoder(ChatRequest(model=model, messages=()), served, self._body).partial("in_progress")
