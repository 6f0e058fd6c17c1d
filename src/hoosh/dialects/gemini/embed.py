"""
Embeddings, the provider's face: embedContent (one text) and batchEmbedContents (several).

Source: https://ai.google.dev/api/embeddings (read 2026-11). The reply to the first is {"embedding"}, to the second
{"embeddings"}; neither has to tell what was used.
"""

from collections.abc import Sequence
from types import MappingProxyType

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import EmbedRequest, Operation
from hoosh.core.errors import BadRequest, BadUpstream, Truncated, UpstreamError
from hoosh.core.events import Meaning, Metered, Usage, Vector
from hoosh.core.features import lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Reader, Ways
from hoosh.dialects.gemini import faults
from hoosh.dialects.gemini.paths import path, resource
from hoosh.dialects.gemini.request import HEADERS, NAME

ONE = "embedContent"
SEVERAL = "batchEmbedContents"
# Google's own limit.
MAX_INPUTS = 100
LOSSES = frozenset({"user"})
# Cohere's words and those of servers that took them over; its others are Gemini's own in small letters.
_PURPOSES = MappingProxyType(
    {
        "search_query": "RETRIEVAL_QUERY",
        "query": "RETRIEVAL_QUERY",
        "search_document": "RETRIEVAL_DOCUMENT",
        "document": "RETRIEVAL_DOCUMENT",
        "passage": "RETRIEVAL_DOCUMENT",
    }
)
_NULL = msgspec.Raw(b"null")


class _Values(msgspec.Struct):
    values: tuple[float, ...]


class _Metadata(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Reply(msgspec.Struct, rename="camel"):
    embedding: _Values | None = None
    embeddings: list[_Values] | None = None
    usage_metadata: _Metadata | None = None


_reply = msgspec.json.Decoder(_Reply)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class GeminiEmbed:
    name = NAME
    operation: Operation = "embed"

    def render(self, asked: EmbedRequest, model: str, ways: Ways) -> WireRequest:
        """Raises BadRequest for tokens, and for more texts than Google takes at once."""
        if len(asked.inputs) > MAX_INPUTS:
            raise BadRequest(f"input: {len(asked.inputs)} texts, Gemini takes {MAX_INPUTS} at once", param="input")
        requests = [_single(asked, text, model) for text in asked.inputs]
        for request in requests:
            for quirk in ways.quirks:
                quirk(request)
        body = _encode({"requests": requests})
        return WireRequest(path(model, SEVERAL), body, headers=HEADERS, dropped=lost(asked, LOSSES, NAME))

    def pass_on(self, asked: EmbedRequest, body: bytes, model: str, ways: Ways) -> WireRequest:  # noqa: ARG002
        """The model stands in the path, and each request of several repeats it."""
        fields: JSON = dict(_fields.decode(body))
        several = "requests" in fields
        if several:
            requests = [_fields.decode(raw) for raw in _items.decode(fields["requests"])]
            if any(bytes(one.get("model", _NULL)) != _encode(resource(model)) for one in requests):
                fields["requests"] = [{**one, "model": resource(model)} for one in requests]
                body = _encode(fields)
        elif "model" in fields and model != asked.model:
            body = _encode({**fields, "model": resource(model)})
        return WireRequest(path(model, SEVERAL if several else ONE), body, headers=HEADERS)

    def splitter(self, asked: EmbedRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (always whole)
        return WholeBody()

    def reader(self, asked: EmbedRequest, ways: Ways) -> Reader:  # noqa: ARG002 (nobody deviates)
        return _EmbedReader(len(asked.inputs))

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


def _single(asked: EmbedRequest, text: str | tuple[int, ...], model: str) -> JSON:
    if not isinstance(text, str):
        raise BadRequest("input: Gemini takes texts only, no tokens", param="input")
    said: JSON = {"model": resource(model), "content": {"parts": [{"text": text}]}}
    if asked.purpose:
        said["taskType"] = _PURPOSES.get(asked.purpose.lower(), asked.purpose.upper())
    if asked.dimensions is not None:
        said["outputDimensionality"] = asked.dimensions
    return said


class _EmbedReader:
    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._done = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        try:
            reply = _reply.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadUpstream("the provider sent what is not a list of embeddings") from error
        found = reply.embeddings if reply.embedding is None else [reply.embedding]
        if len(found or ()) != self._wanted:
            raise BadUpstream(f"the provider gave {len(found or ())} vectors for {self._wanted} inputs")
        events: list[Meaning] = [Vector(one.values, index) for index, one in enumerate(found or ())]
        if reply.usage_metadata and reply.usage_metadata.prompt_token_count:
            events.append(Metered(Usage(input=reply.usage_metadata.prompt_token_count)))
        self._done = True
        return frame.raw, events

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise Truncated("the provider's reply ended before it was complete")
        return ()


EMBED = GeminiEmbed()
