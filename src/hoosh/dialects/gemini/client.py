"""
The client's face: what is asked stands in the path (`models/{model}:{method}`), how a stream is framed in the query.

Source: https://ai.google.dev/api (read 2026-11) and the paths that Google's SDKs were seen to use.
"""

from typing import Any
from urllib.parse import parse_qs

from hoosh.core.asked import Request
from hoosh.core.errors import HooshError, NotFound
from hoosh.dialects import ClientDialect, Encoder, Served
from hoosh.dialects.gemini import embedding, parse, told
from hoosh.dialects.gemini.count import METHOD as COUNT
from hoosh.dialects.gemini.count import CountEncoder
from hoosh.dialects.gemini.embed import ONE, SEVERAL
from hoosh.dialects.gemini.embedding import EmbedEncoder
from hoosh.dialects.gemini.encode import StreamEncoder, WholeEncoder
from hoosh.dialects.gemini.request import NAME

GENERATE = "generateContent"
STREAM = "streamGenerateContent"
METHODS = (GENERATE, STREAM, COUNT, ONE, SEVERAL)


class GeminiClient:
    """Before the path is known. Only errors can be said then."""

    name = NAME
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:
        place, _, query = tail.partition("?")
        model, _, method = place.rpartition(":")
        model = model.removeprefix("models/")
        if not model or method not in METHODS:
            raise NotFound(f"no such method: {place[:256]}; use models/MODEL:METHOD with {', '.join(METHODS)}")
        if method == COUNT:
            return _Count(model)
        if method in (ONE, SEVERAL):
            return _Embed(model, several=method == SEVERAL)
        return _Generate(model, stream=method == STREAM, as_events="sse" in parse_qs(query).get("alt", ()))

    def parse(self, body: bytes) -> Request:  # noqa: ARG002 (nothing can be asked without a path)
        raise NotFound("the path must name a model and a method: models/MODEL:METHOD")

    def encoder(self, asked: Any, served: Served) -> Encoder:  # noqa: ARG002 (what nothing was asked of is whole)
        return WholeEncoder(served)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return told.fault(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return told.fault(error, request_id)


class _Generate(GeminiClient):
    def __init__(self, model: str, *, stream: bool, as_events: bool) -> None:
        self._model = model
        self._stream = stream
        self._as_events = as_events

    def parse(self, body: bytes) -> Request:
        return parse.generate(body, self._model, stream=self._stream)

    def encoder(self, asked: Any, served: Served) -> Encoder:  # noqa: ARG002 (the path has said how)
        return StreamEncoder(served, as_events=self._as_events) if self._stream else WholeEncoder(served)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        body = told.fault(error, request_id)
        return b"data: %b\r\n\r\n" % body if self._as_events else b",\r\n%b\r\n]\r\n" % body


class _Count(GeminiClient):
    def __init__(self, model: str) -> None:
        self._model = model

    def parse(self, body: bytes) -> Request:
        return parse.count(body, self._model)

    def encoder(self, asked: Any, served: Served) -> Encoder:  # noqa: ARG002 (a number)
        return CountEncoder()


class _Embed(GeminiClient):
    def __init__(self, model: str, *, several: bool) -> None:
        self._model = model
        self._several = several

    def parse(self, body: bytes) -> Request:
        read = embedding.parse_several if self._several else embedding.parse_one
        return read(body, self._model)

    def encoder(self, asked: Any, served: Served) -> Encoder:  # noqa: ARG002 (the path has said how)
        return EmbedEncoder(several=self._several)


CLIENT = GeminiClient()
