"""
OpenAI's older Completions (a prompt that is gone on with), both faces.

One prompt in words is a chat of one message, so any provider can answer it; providers that have this API get it as it
is. Several prompts at once and prompts in tokens are for the latter alone: an operation of their own.

Source: https://platform.openai.com/docs/api-reference/completions (read 2026-11) and what compatible servers send.
request.py reads and writes requests, reply.py reads replies, encode.py writes them.
"""

from hoosh.codecs import Splitter
from hoosh.codecs.sniff import EventsOrWhole
from hoosh.core.asked import ChatRequest, CompleteRequest, Operation
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.openai import faults
from hoosh.dialects.openai_completions import request
from hoosh.dialects.openai_completions.encode import StreamEncoder, WholeEncoder
from hoosh.dialects.openai_completions.reply import CompletionsReader
from hoosh.dialects.openai_completions.request import NAME

LOSSES = request.LOSSES


class OpenAICompletions:
    name = NAME
    relays: frozenset[bytes] = frozenset()

    def __init__(self, operation: Operation) -> None:
        self.operation: Operation = operation

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> ChatRequest | CompleteRequest:
        return request.parse(body)

    def encoder(self, asked: ChatRequest | CompleteRequest, served: Served) -> Encoder:
        return StreamEncoder(served, includes_usage=asked.include_usage) if asked.stream else WholeEncoder(served)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return b"data: %b\n\n" % faults.body(error, request_id)

    def render(self, asked: ChatRequest | CompleteRequest, model: str, ways: Ways) -> WireRequest:
        return request.render(asked, model, ways)

    def pass_on(self, asked: ChatRequest | CompleteRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return request.pass_on(asked, body, model, ways)

    def splitter(self, asked: ChatRequest | CompleteRequest, content_type: bytes) -> Splitter:  # noqa: ARG002
        """The body says what it is: a refusal may come whole where a stream was asked for."""
        return EventsOrWhole()

    def reader(self, asked: ChatRequest | CompleteRequest, ways: Ways) -> Reader:
        return CompletionsReader(asked, ways)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


DIALECT = OpenAICompletions("chat")
MANY = OpenAICompletions("complete")
BOTH = (DIALECT, MANY)
