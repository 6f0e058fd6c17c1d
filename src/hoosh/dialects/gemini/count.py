"""
How many tokens a request would take: countTokens, both faces.

Source: https://ai.google.dev/api/tokens (read 2026-11).
"""

from collections.abc import Sequence

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import CountRequest, Operation
from hoosh.core.errors import BadUpstream, Truncated, UpstreamError
from hoosh.core.events import Counted, Event, Meaning, Raw, Usage
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Reader, Ways
from hoosh.dialects.gemini import faults, request
from hoosh.dialects.gemini.paths import path, resource

METHOD = "countTokens"
_WHOLE = frozenset({"generateContentRequest", "generate_content_request"})
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Reply(msgspec.Struct, rename="camel"):
    total_tokens: int = 0


_reply = msgspec.json.Decoder(_Reply)


class GeminiCount:
    name = request.NAME
    operation: Operation = "count"

    def render(self, asked: CountRequest, model: str, ways: Ways) -> WireRequest:
        """Only a whole request can say a system instruction and tools. Raises BadRequest."""
        rendered = request.render(asked.chat, model, ways)
        inner = {"model": resource(model), **_fields.decode(rendered.body)}
        body = _encode({"generateContentRequest": inner})
        return WireRequest(path(model, METHOD), body, headers=request.HEADERS, dropped=rendered.dropped)

    def pass_on(self, asked: CountRequest, body: bytes, model: str, ways: Ways) -> WireRequest:  # noqa: ARG002
        """Quirks change how an answer is made, and here is none. A model that is named within must be the path's."""
        if b'"models/' in body:
            fields: JSON = dict(_fields.decode(body))
            for name in _WHOLE & fields.keys():
                fields[name] = {**_fields.decode(fields[name]), "model": resource(model)}
            body = _encode(fields)
        return WireRequest(path(model, METHOD), body, headers=request.HEADERS)

    def splitter(self, asked: CountRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (always whole)
        return WholeBody()

    def reader(self, asked: CountRequest, ways: Ways) -> Reader:  # noqa: ARG002 (nobody deviates)
        return _CountReader()

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


class _CountReader:
    def __init__(self) -> None:
        self._done = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        try:
            said = _reply.decode(frame.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadUpstream("the provider sent what is not a count of tokens") from error
        self._done = True
        return frame.raw, (Counted(said.total_tokens),)

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise Truncated("the provider's reply ended before it was complete")
        return ()


class CountEncoder:
    content_type = b"application/json"

    def __init__(self) -> None:
        self._raw = b""
        self._tokens = 0

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw += event.data
            elif isinstance(event, Counted):
                self._tokens = event.tokens
        return b""

    def finish(self, usage: Usage) -> bytes:  # noqa: ARG002 (nothing is charged)
        return self._raw or _encode({"totalTokens": self._tokens})


COUNT = GeminiCount()
