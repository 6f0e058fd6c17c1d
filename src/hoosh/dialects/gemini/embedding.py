"""
Embeddings, the client's face: requests of either method, and replies.

Source: https://ai.google.dev/api/embeddings (read 2026-11).
"""

from collections.abc import Sequence

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.asked import EmbedRequest
from hoosh.core.errors import BadRequest
from hoosh.core.events import Event, Raw, Usage, Vector
from hoosh.dialects.gemini.embed import MAX_INPUTS
from hoosh.dialects.gemini.request import NAME
from hoosh.dialects.gemini.spelling import in_camel
from hoosh.dialects.gemini.turns import listed
from hoosh.dialects.openai.bodies import checked_model, decode, wrong

_NULL = msgspec.Raw(b"null")
# How a client asked shows in its `extra`, which is its own dialect's alone.
_KNOWN = frozenset({"model", "content", "taskType", "outputDimensionality", "requests"})


class _Part(msgspec.Struct):
    text: str | None = None


class _Content(msgspec.Struct):
    parts: msgspec.Raw = _NULL


class _One(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    task_type: str | None = None
    output_dimensionality: int | None = None


class _Several(msgspec.Struct):
    requests: list[msgspec.Raw] | None = None


_one = msgspec.json.Decoder(_One)
_several = msgspec.json.Decoder(_Several)
_part = msgspec.json.Decoder(_Part)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def parse_one(body: bytes, model: str) -> EmbedRequest:
    """Raises BadRequest naming the field."""
    asked, fields = decode(_one, in_camel(body))
    return _request(checked_model(model), [asked], _text(asked, ""), fields)


def parse_several(body: bytes, model: str) -> EmbedRequest:
    """All must want the same of their vectors, for other dialects say that once. Raises BadRequest naming the field."""
    several, fields = decode(_several, in_camel(body))
    if not several.requests:
        raise BadRequest("requests is required", param="requests")
    if len(several.requests) > MAX_INPUTS:
        raise BadRequest(f"requests: {len(several.requests)}, not more than {MAX_INPUTS}", param="requests")
    asked: list[_One] = []
    inputs: list[str] = []
    for i, raw in enumerate(several.requests):
        try:
            asked.append(_one.decode(raw))
        except msgspec.ValidationError as error:
            raise wrong(error, f"requests[{i}]") from error
        inputs += _text(asked[-1], f"requests[{i}].")
    first = (asked[0].task_type, asked[0].output_dimensionality)
    for i, one in enumerate(asked):
        if (one.task_type, one.output_dimensionality) != first:
            where = f"requests[{i}]"
            raise BadRequest(f"{where}: taskType and outputDimensionality must be those of requests[0]", param=where)
    fields |= {name: value for name, value in _fields.decode(several.requests[0]).items() if name not in _KNOWN}
    return _request(checked_model(model), asked, inputs, fields)


def _text(asked: _One, where: str) -> list[str]:
    """The text of all parts: a content is embedded as one."""
    place = f"{where}content"
    if asked.content is None:
        raise BadRequest(f"{place} is required", param=place)
    texts = []
    for k, raw in enumerate(listed(asked.content.parts)):
        try:
            text = _part.decode(raw).text
        except msgspec.ValidationError as error:
            raise wrong(error, f"{place}.parts[{k}]") from error
        if text is None:
            raise BadRequest(f"{place}.parts[{k}]: only text can be embedded", param=f"{place}.parts[{k}]")
        texts.append(text)
    if not any(texts):
        raise BadRequest(f"{place} is empty", param=place)
    return ["\n".join(texts)]


def _request(model: str, asked: list[_One], inputs: list[str], fields: dict[str, msgspec.Raw]) -> EmbedRequest:
    dimensions = asked[0].output_dimensionality
    if dimensions is not None and dimensions < 1:
        raise BadRequest("outputDimensionality must be greater than 0", param="outputDimensionality")
    return EmbedRequest(
        model=model,
        inputs=tuple(inputs),
        dimensions=dimensions,
        purpose=asked[0].task_type or "",
        dialect=NAME,
        extra=tuple((name, bytes(value)) for name, value in fields.items() if name not in _KNOWN),
    )


class EmbedEncoder:
    content_type = b"application/json"

    def __init__(self, *, several: bool) -> None:
        self._several = several
        self._raw = b""
        self._vectors: dict[int, JSON] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw += event.data
            elif isinstance(event, Vector):
                self._vectors[event.index] = {"values": event.values}
        return b""

    def finish(self, usage: Usage) -> bytes:
        if self._raw:
            return self._raw
        vectors = [vector for _, vector in sorted(self._vectors.items())]
        said: JSON = {"embeddings": vectors} if self._several else {"embedding": next(iter(vectors), {})}
        return _encode({**said, "usageMetadata": {"promptTokenCount": usage.input}})
