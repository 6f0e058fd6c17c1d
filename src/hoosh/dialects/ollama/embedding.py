"""
/api/embed and its predecessor /api/embeddings, which takes one text and calls it a prompt: the client's faces.

Source: https://docs.ollama.com/api/embed (read 2026-11).
"""

from collections.abc import Sequence

import msgspec

from hoosh.core.asked import EmbedRequest
from hoosh.core.errors import BadRequest, HooshError
from hoosh.core.events import Event, Raw, Usage, Vector
from hoosh.dialects import JSON, ClientDialect, Encoder, Served
from hoosh.dialects.ollama.client import fault
from hoosh.dialects.ollama.words import EMBED, EMBED_ONE
from hoosh.dialects.openai.bodies import checked_model, decode, unknown

MAX_INPUTS = 2048
_encode = msgspec.json.Encoder().encode


class _Several(msgspec.Struct):
    model: str | None = None
    input: str | list[str] | None = None
    dimensions: int | None = None


class _One(msgspec.Struct):
    model: str | None = None
    prompt: str | None = None


_several = msgspec.json.Decoder(_Several)
_one = msgspec.json.Decoder(_One)


class OllamaEmbedClient:
    name = EMBED
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> EmbedRequest:
        """Raises BadRequest naming the field."""
        asked, fields = decode(_several, body)
        if not asked.input:
            raise BadRequest("input is required", param="input")
        inputs = (asked.input,) if isinstance(asked.input, str) else tuple(asked.input)
        if len(inputs) > MAX_INPUTS:
            raise BadRequest(f"input: {len(inputs)} inputs, not more than {MAX_INPUTS}", param="input")
        if asked.dimensions is not None and asked.dimensions < 1:
            raise BadRequest("dimensions must be greater than 0", param="dimensions")
        return EmbedRequest(
            model=checked_model(asked.model),
            inputs=inputs,
            dimensions=asked.dimensions,
            dialect=self.name,
            extra=unknown(fields, _Several.__struct_fields__),
        )

    def encoder(self, asked: EmbedRequest, served: Served) -> Encoder:
        return _EmbedEncoder(asked, served)

    def fault(self, error: HooshError, request_id: str) -> bytes:  # noqa: ARG002 (it has no place here)
        return fault(error)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:  # noqa: ARG002 (never streamed)
        return fault(error)


class OllamaEmbedOneClient(OllamaEmbedClient):
    """No provider's dialect: Ollama itself is asked at the newer address."""

    name = EMBED_ONE

    def parse(self, body: bytes) -> EmbedRequest:
        """Raises BadRequest naming the field."""
        asked, fields = decode(_one, body)
        if not asked.prompt:
            raise BadRequest("prompt is required", param="prompt")
        return EmbedRequest(
            model=checked_model(asked.model),
            inputs=(asked.prompt,),
            dialect=self.name,
            extra=unknown(fields, _One.__struct_fields__),
        )


class _EmbedEncoder:
    content_type = b"application/json; charset=utf-8"

    def __init__(self, asked: EmbedRequest, served: Served) -> None:
        self._asked = asked
        self._served = served
        self._raw = b""
        self._vectors: dict[int, tuple[float, ...]] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw += event.data
            elif isinstance(event, Vector):
                self._vectors[event.index] = event.values
        return b""

    def finish(self, usage: Usage) -> bytes:
        if self._raw:
            return self._raw
        vectors = [vector for _, vector in sorted(self._vectors.items())]
        if self._asked.dialect == EMBED_ONE:
            return _encode({"embedding": next(iter(vectors), ())})
        said: JSON = {
            "model": self._asked.model,
            "embeddings": vectors,
            "total_duration": max(1, self._served.elapsed_ns()),
            "load_duration": 0,
            "prompt_eval_count": usage.input,
        }
        return _encode(said)


SEVERAL = OllamaEmbedClient()
ONE = OllamaEmbedOneClient()
