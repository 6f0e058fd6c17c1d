"""
OpenAI Chat Completions, both faces: what clients send and most providers speak.

Source: https://platform.openai.com/docs/api-reference/chat (read 2026-11) and what compatible servers really send.
request.py reads and writes requests, reply.py reads replies, encode.py writes them; errors are in dialects/openai.
"""

from hoosh.codecs import Splitter
from hoosh.codecs.sniff import EventsOrWhole
from hoosh.core.asked import ChatRequest, Operation
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.openai import faults
from hoosh.dialects.openai_chat import request
from hoosh.dialects.openai_chat.encode import StreamEncoder, WholeEncoder
from hoosh.dialects.openai_chat.render import NAME
from hoosh.dialects.openai_chat.reply import ChatReader, model_ids

LOSSES = request.LOSSES


class OpenAIChat:
    name = NAME
    operation: Operation = "chat"
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> ChatRequest:
        return request.parse(body)

    def encoder(self, asked: ChatRequest, served: Served) -> Encoder:
        return StreamEncoder(asked, served) if asked.stream else WholeEncoder(served)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return b"data: %b\n\n" % faults.body(error, request_id)

    def render(self, asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
        return request.render(asked, model, ways)

    def pass_on(self, asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return request.pass_on(asked, body, model, ways)

    def splitter(self, asked: ChatRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (the body says what it is)
        """A refusal, or a server that cannot stream, may answer whole where a stream was asked for, and a server that
        only streams the other way round.
        """
        return EventsOrWhole()

    def reader(self, asked: ChatRequest, ways: Ways) -> Reader:
        return ChatReader(asked, ways)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)

    def models_request(self) -> WireRequest:
        return WireRequest(path="/models", method=b"GET")

    def models(self, body: bytes) -> tuple[str, ...]:
        return model_ids(body)


DIALECT = OpenAIChat()
