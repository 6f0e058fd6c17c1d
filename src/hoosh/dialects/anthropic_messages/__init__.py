"""Anthropic Messages, both faces: what Claude speaks, and what Claude Code and Anthropic's SDKs send.

Source: https://platform.claude.com/docs/en/api/messages and the pages named at each rule (read 2026-11), and what
the API was recorded to send. For providers request.py writes requests and reply.py reads replies; for clients parse.py
reads requests, encode.py and blocks.py write replies. faults.py does errors, count.py and listing.py two more pages.
"""

from hoosh.codecs import Splitter
from hoosh.codecs.sniff import EventsOrWhole
from hoosh.core.asked import ChatRequest, Operation
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.anthropic_messages import faults, request
from hoosh.dialects.anthropic_messages.count import MessagesCount
from hoosh.dialects.anthropic_messages.encode import StreamEncoder, WholeEncoder
from hoosh.dialects.anthropic_messages.parse import parse
from hoosh.dialects.anthropic_messages.reply import MessagesReader, model_ids
from hoosh.dialects.anthropic_messages.words import NAME, RELAYS

LOSSES = request.LOSSES


class AnthropicMessages:
    name = NAME
    operation: Operation = "chat"
    relays = RELAYS

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> ChatRequest:
        return parse(body)

    def encoder(self, asked: ChatRequest, served: Served) -> Encoder:
        return StreamEncoder(served) if asked.stream else WholeEncoder(served)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return faults.frame(error, request_id)

    def render(self, asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
        return request.render(asked, model, ways)

    def pass_on(self, asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return request.pass_on(asked, body, model, ways)

    def splitter(self, asked: ChatRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (the body says what it is)
        # An error, or the reply of a server that does not stream, may come whole where a stream was asked for.
        return EventsOrWhole()

    def reader(self, asked: ChatRequest, ways: Ways) -> Reader:  # noqa: ARG002 (the payload itself says what it is)
        return MessagesReader()

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)

    def models_request(self) -> WireRequest:
        return WireRequest(path="/v1/models?limit=1000", method=b"GET", headers=(request.VERSION,))

    def models(self, body: bytes) -> tuple[str, ...]:
        return model_ids(body)


DIALECT = AnthropicMessages()
COUNT = MessagesCount()
