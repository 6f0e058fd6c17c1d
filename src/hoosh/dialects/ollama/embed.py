"""
Ollama's own /api/embed, the provider's face: texts in, vectors in the same order out.

Source: https://docs.ollama.com/api/embed (read 2026-11). Errors are {"error": "text"}, which the reading of OpenAI's
knows.
"""

from collections.abc import Sequence

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import EmbedRequest, Operation
from hoosh.core.errors import BadRequest, BadUpstream, Truncated, UpstreamError
from hoosh.core.events import Meaning, Metered, Opened, Usage, Vector
from hoosh.core.features import lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Reader, Ways
from hoosh.dialects.ollama.words import EMBED
from hoosh.dialects.openai import bodies, faults
from hoosh.dialects.openai.vectors import shortened

PATH = "/api/embed"
LOSSES = frozenset({"purpose", "user"})


class _Reply(msgspec.Struct):
    model: str = ""
    embeddings: list[tuple[float, ...]] | None = None
    prompt_eval_count: int | None = None
    error: str = ""


_reply = msgspec.json.Decoder(_Reply)


class OllamaEmbed:
    name = EMBED
    operation: Operation = "embed"

    def render(self, asked: EmbedRequest, model: str, ways: Ways) -> WireRequest:
        """Raises BadRequest for tokens. What is too long is refused, as others do: Ollama would cut it in silence."""
        if not all(isinstance(one, str) for one in asked.inputs):
            raise BadRequest("input: Ollama takes texts only, no tokens", param="input")
        fields: JSON = {"model": model, "input": asked.inputs, "truncate": False}
        if asked.dimensions is not None:
            fields["dimensions"] = asked.dimensions
        request = bodies.request(PATH, fields, ways.quirks)
        return msgspec.structs.replace(request, dropped=lost(asked, LOSSES, EMBED))

    def pass_on(self, asked: EmbedRequest, body: bytes, model: str, ways: Ways) -> WireRequest:  # noqa: ARG002
        """Raises BadRequest."""
        return bodies.passed_on(PATH, body, model, ways.quirks)

    def splitter(self, asked: EmbedRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (always whole)
        return WholeBody()

    def reader(self, asked: EmbedRequest, ways: Ways) -> Reader:  # noqa: ARG002 (nobody deviates)
        return OllamaEmbedReader(asked)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


class OllamaEmbedReader:
    __slots__ = ("_asked", "_done")

    def __init__(self, asked: EmbedRequest) -> None:
        self._asked = asked
        self._done = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        try:
            reply = _reply.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadUpstream("the provider sent what is not a list of embeddings") from error
        if reply.error:
            raise faults.in_stream({"error": reply.error})
        vectors, wanted, dimensions = reply.embeddings or [], len(self._asked.inputs), self._asked.dimensions
        if len(vectors) != wanted:
            raise BadUpstream(f"the provider gave {len(vectors)} vectors for {wanted} inputs")
        events: list[Meaning] = [Opened(model=reply.model)]
        events += [Vector(shortened(values, dimensions), index) for index, values in enumerate(vectors)]
        if reply.prompt_eval_count:
            events.append(Metered(Usage(input=reply.prompt_eval_count)))
        self._done = True
        return frame.raw, events

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise Truncated("the provider's reply ended early")
        return ()


DIALECT = OllamaEmbed()
