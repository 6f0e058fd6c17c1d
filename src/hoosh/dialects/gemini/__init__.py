"""
Gemini generateContent and the methods beside it, both faces.

Source: https://ai.google.dev/api/generate-content and the pages named at each rule (read 2026-11), and what the API
was recorded to send. request.py writes requests, reply.py reads replies, faults.py reads errors, pieces.py puts
together arguments that come in pieces; count.py and embed.py are methods of their own. For clients, client.py knows the
paths and is imported from there; parse.py, turns.py, schema.py, spelling.py and embedding.py read requests, encode.py
writes replies, told.py errors.
"""

import msgspec

from hoosh.codecs import Splitter
from hoosh.codecs.sniff import EventsOrWhole
from hoosh.core.asked import ChatRequest, Operation
from hoosh.core.errors import UpstreamError
from hoosh.core.wire import WireRequest
from hoosh.dialects import Reader, Ways
from hoosh.dialects.gemini import faults, request
from hoosh.dialects.gemini.count import COUNT
from hoosh.dialects.gemini.embed import EMBED
from hoosh.dialects.gemini.reply import GeminiReader, model_ids

__all__ = ["COUNT", "DIALECT", "EMBED", "LOSSES", "Gemini"]

LOSSES = request.LOSSES


class Gemini:
    """`root` is what stands before "/models" in a path."""

    name = request.NAME
    operation: Operation = "chat"

    def __init__(self, root: str = "/v1beta") -> None:
        self._root = root

    def render(self, asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
        return self._rooted(request.render(asked, model, ways))

    def pass_on(self, asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        return self._rooted(request.pass_on(asked, body, model, ways))

    def _rooted(self, said: WireRequest) -> WireRequest:
        return msgspec.structs.replace(said, path=self._root + said.path)

    def splitter(self, asked: ChatRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (the body says what it is)
        # An error comes as JSON under text/event-stream, and a stream without `alt=sse` is one JSON array.
        return EventsOrWhole()

    def reader(self, asked: ChatRequest, ways: Ways) -> Reader:  # noqa: ARG002 (the payload says what it is)
        return GeminiReader()

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)

    def models_request(self) -> WireRequest:
        return WireRequest(path=f"{self._root}/models?pageSize=1000", method=b"GET")

    def models(self, body: bytes) -> tuple[str, ...]:
        return model_ids(body)


DIALECT = Gemini()
# Vertex AI says the version, the project and the publisher before it: all of that is in the base URL.
VERTEX = Gemini("")
