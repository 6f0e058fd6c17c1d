"""
Reranking, both faces: the form that Jina began and llama.cpp, vLLM, LocalAI, Cohere and OpenRouter share.

Sources: https://docs.cohere.com/reference/rerank, https://github.com/ggml-org/llama.cpp/tree/master/tools/server and
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html (read 2026-11).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import Operation, RerankRequest
from hoosh.core.errors import BadRequest, BadUpstream, HooshError, Truncated, UpstreamError
from hoosh.core.events import Event, Meaning, Metered, Opened, Ranked, Raw, Usage
from hoosh.core.features import OWN_FIELDS, lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.openai import bodies, faults, replies
from hoosh.dialects.openai.usage import input_usage_object, with_usage

NAME = "rerank"
PATH = "/rerank"
# Cohere's own limit.
MAX_DOCUMENTS = 10_000
LOSSES: frozenset[str] = frozenset()
_NO_RANKING = "a ranking"


class _Document(msgspec.Struct):
    text: str


class _Body(msgspec.Struct):
    model: str | None = None
    query: str | None = None
    documents: list[str | _Document] | None = None
    top_n: int | None = None
    return_documents: bool | None = None


class _Result(msgspec.Struct):
    index: int
    relevance_score: float
    document: msgspec.Raw = msgspec.Raw()


class _Tokens(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    tokens: _Tokens | None = None


class _Reply(msgspec.Struct):
    results: list[_Result] | None = None
    model: str | None = None
    usage: Any = None
    meta: _Meta | None = None
    error: Any = None


_KNOWN = frozenset(_Body.__struct_fields__)
_body = msgspec.json.Decoder(_Body)
_reply = msgspec.json.Decoder(_Reply)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_results = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode


class Rerank:
    name = NAME
    operation: Operation = "rerank"
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> RerankRequest:
        """Raises BadRequest naming the field."""
        asked, fields = bodies.decode(_body, body)
        model = bodies.checked_model(asked.model)
        if not asked.query:
            raise BadRequest("query is required", param="query")
        if not asked.documents:
            raise BadRequest("documents array is required", param="documents")
        if len(asked.documents) > MAX_DOCUMENTS:
            message = f"documents: {len(asked.documents)} documents, not more than {MAX_DOCUMENTS}"
            raise BadRequest(message, param="documents")
        if asked.top_n is not None and asked.top_n < 1:
            raise BadRequest("top_n must be greater than 0", param="top_n")
        return RerankRequest(
            model=model,
            query=asked.query,
            documents=tuple(one if isinstance(one, str) else one.text for one in asked.documents),
            top_n=asked.top_n,
            return_documents=bool(asked.return_documents),
            dialect=NAME,
            extra=bodies.unknown(fields, _KNOWN),
        )

    def encoder(self, asked: RerankRequest, served: Served) -> Encoder:
        return RankingEncoder(asked, served)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        """Cohere's SDK and others show the whole body; OpenAI's form tells the most."""
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def render(self, asked: RerankRequest, model: str, ways: Ways) -> WireRequest:
        """Raises BadRequest."""
        fields: JSON = {"model": model, "query": asked.query, "documents": asked.documents}
        if asked.top_n is not None:
            fields["top_n"] = asked.top_n
        if asked.return_documents:
            fields["return_documents"] = True
        if asked.dialect == NAME:
            fields |= {name: msgspec.Raw(value) for name, value in asked.extra}
        request = bodies.request(PATH, fields, ways.quirks)
        return msgspec.structs.replace(request, dropped=lost(asked, LOSSES, NAME))

    def pass_on(self, asked: RerankRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        """Raises BadRequest."""
        own = any(name in OWN_FIELDS for name, _ in asked.extra)
        if model == asked.model and not own and not ways.quirks:
            return WireRequest(path=PATH, body=body, headers=(bodies.JSON_TYPE,))
        return bodies.passed_on(PATH, body, model, ways.quirks)

    def splitter(self, asked: RerankRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (always whole)
        return WholeBody()

    def reader(self, asked: RerankRequest, ways: Ways) -> Reader:
        return RankingReader(asked, ways)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


class RankingReader:
    __slots__ = ("_asked", "_done", "_mends")

    def __init__(self, asked: RerankRequest, ways: Ways) -> None:
        self._asked = asked
        self._mends = ways.mends
        self._done = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data = frame.data
        try:
            reply = _reply.decode(data)
        except replies.UNREADABLE as error:
            raise replies.foreign(data, _NO_RANKING) from error
        results = reply.results
        if results is None or reply.error:
            raise replies.foreign(data, _NO_RANKING)
        if not all(0 <= result.index < len(self._asked.documents) for result in results):
            raise BadUpstream("the provider ranked a document that was not there")
        events: list[Meaning] = [Opened(model=reply.model or "")]
        events += [Ranked(result.relevance_score, result.index) for result in results]
        if used := replies.usage(reply.usage) or _billed(reply.meta):
            events.append(Metered(used))
        self._done = True
        return replies.mended(self._complete(data, results), self._mends), events

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise Truncated("the provider's reply ended early")
        return ()

    def _complete(self, data: bytes, results: list[_Result]) -> bytes:
        """llama.cpp, and Cohere since its second version, do not give the documents back."""
        if not self._asked.return_documents or all(bytes(result.document) for result in results):
            return data
        fields: JSON = dict(_fields.decode(data))
        fields["results"] = [
            {**given, "document": {"text": self._asked.documents[result.index]}}
            for given, result in zip(_results.decode(fields["results"]), results, strict=True)
        ]
        return _encode(fields)


def _billed(meta: _Meta | None) -> Usage | None:
    """Cohere counts searches, and tells tokens for some of its models only."""
    tokens = meta.tokens.input_tokens if meta and meta.tokens else None
    return Usage(input=int(tokens)) if tokens and tokens > 0 else None


class RankingEncoder:
    content_type = b"application/json"

    def __init__(self, asked: RerankRequest, served: Served) -> None:
        self._asked = asked
        self._served = served
        self._model = served.model
        self._raw = b""
        self._ranked: list[Ranked] = []

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw = event.data  # a whole reply is one frame
            elif isinstance(event, Opened):
                self._model = event.model or self._model
            elif isinstance(event, Ranked):
                self._ranked.append(event)
        return b""

    def finish(self, usage: Usage) -> bytes:
        told = input_usage_object(usage, self._served)
        if self._raw:
            return with_usage(self._raw, usage, told, self._served)
        ranked = sorted(self._ranked, key=lambda one: -one.score)[: self._asked.top_n]
        results = [self._result(one) for one in ranked]
        identity = {"id": f"rerank-{self._served.id}", "object": "list", "model": self._model}
        return _encode({**identity, "results": results, "usage": told})

    def _result(self, ranked: Ranked) -> JSON:
        fields: JSON = {"index": ranked.index, "relevance_score": ranked.score}
        if self._asked.return_documents:
            fields["document"] = {"text": self._asked.documents[ranked.index]}
        return fields


DIALECT = Rerank()
