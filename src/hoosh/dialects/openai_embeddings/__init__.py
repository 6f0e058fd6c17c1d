"""
OpenAI Embeddings, both faces.

Source: https://platform.openai.com/docs/api-reference/embeddings (read 2026-11) and what compatible servers send.
request.py reads and writes requests, reply.py reads replies, encode.py writes them.
"""

from hoosh.codecs import Splitter
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import EmbedRequest, Operation
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.openai import faults
from hoosh.dialects.openai_embeddings import request
from hoosh.dialects.openai_embeddings.encode import EmbeddingsEncoder
from hoosh.dialects.openai_embeddings.reply import EmbeddingsReader
from hoosh.dialects.openai_embeddings.request import NAME

LOSSES = request.LOSSES


class OpenAIEmbeddings:
    name = NAME
    operation: Operation = "embed"
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> EmbedRequest:
        return request.parse(body)

    def encoder(self, asked: EmbedRequest, served: Served) -> Encoder:
        return EmbeddingsEncoder(asked, served)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def render(self, asked: EmbedRequest, model: str, ways: Ways) -> WireRequest:
        return request.render(asked, model, ways)

    def pass_on(self, asked: EmbedRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return request.pass_on(asked, body, model, ways)

    def splitter(self, asked: EmbedRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (always whole)
        return WholeBody()

    def reader(self, asked: EmbedRequest, ways: Ways) -> Reader:
        return EmbeddingsReader(asked, ways, passes=asked.dialect == NAME)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


DIALECT = OpenAIEmbeddings()
