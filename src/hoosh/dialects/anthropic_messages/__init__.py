"""Anthropic Messages, the provider's face: what Claude speaks.

Source: https://platform.claude.com/docs/en/api/messages and the pages named at each rule (read 2026-11), and what
the API was recorded to send. request.py writes requests, reply.py reads replies, faults.py reads errors.
"""

from hoosh.codecs import Splitter
from hoosh.codecs.sse import SSEDecoder
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import Operation
from hoosh.core.chat import ChatRequest
from hoosh.core.errors import UpstreamError
from hoosh.core.wire import WireRequest
from hoosh.dialects import Reader, Ways
from hoosh.dialects.anthropic_messages import faults, request
from hoosh.dialects.anthropic_messages.reply import MessagesReader, model_ids

LOSSES = request.LOSSES


class AnthropicMessages:
    name = request.NAME
    operation: Operation = "chat"

    def render(self, asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
        return request.render(asked, model, ways)

    def pass_on(self, asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return request.pass_on(asked, body, model, ways)

    def splitter(self, asked: ChatRequest, content_type: bytes) -> Splitter:
        # An error, or the reply of a server that does not stream, may come whole where a stream was asked for.
        return SSEDecoder() if asked.stream and b"json" not in content_type else WholeBody()

    def reader(self, asked: ChatRequest, ways: Ways) -> Reader:  # noqa: ARG002 (the payload itself says what it is)
        return MessagesReader()

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)

    def models_request(self) -> WireRequest:
        return WireRequest(path="/v1/models?limit=1000", method=b"GET", headers=(request.VERSION,))

    def models(self, body: bytes) -> tuple[str, ...]:
        return model_ids(body)


DIALECT = AnthropicMessages()
