"""
OpenAI Moderations, both faces. A reply passes through as it is: it has no `usage` object to add to.

Source: https://platform.openai.com/docs/api-reference/moderations (read 2026-11).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import ModerationRequest, Operation
from hoosh.core.errors import BadRequest, HooshError, Truncated, UpstreamError
from hoosh.core.events import Event, Judged, Meaning, Metered, Opened, Raw, Usage
from hoosh.core.features import lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, ClientDialect, Encoder, Reader, Served, Ways
from hoosh.dialects.openai import bodies, faults, replies

NAME = "openai_moderations"
PATH = "/moderations"
# What OpenAI takes where no model is named.
DEFAULT_MODEL = "omni-moderation-latest"
LOSSES: frozenset[str] = frozenset()
_NO_VERDICTS = "a list of moderations"


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    input: str | list[str | _Part] | None = None


class _Verdict(msgspec.Struct):
    flagged: bool | None = None
    categories: dict[str, bool | None] | None = None
    category_scores: dict[str, float | None] | None = None


class _Reply(msgspec.Struct):
    results: list[_Verdict] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None


_KNOWN = frozenset(_Body.__struct_fields__)
_body = msgspec.json.Decoder(_Body)
_reply = msgspec.json.Decoder(_Reply)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_results = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode


class OpenAIModerations:
    name = NAME
    operation: Operation = "moderate"
    relays: frozenset[bytes] = frozenset()

    def at(self, tail: str) -> ClientDialect:  # noqa: ARG002 (its path says nothing)
        return self

    def parse(self, body: bytes) -> ModerationRequest:
        """Raises BadRequest naming the field."""
        asked, fields = bodies.decode(_body, body)
        model = bodies.checked_model(DEFAULT_MODEL if asked.model is None else asked.model)
        if not asked.input:
            raise BadRequest("input is required", param="input")
        return ModerationRequest(
            model=model, inputs=_texts(asked.input), dialect=NAME, extra=bodies.unknown(fields, _KNOWN)
        )

    def encoder(self, asked: ModerationRequest, served: Served) -> Encoder:  # noqa: ARG002 (all is in the events)
        return ModerationsEncoder(served)

    def fault(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def fault_frame(self, error: HooshError, request_id: str) -> bytes:
        return faults.body(error, request_id)

    def render(self, asked: ModerationRequest, model: str, ways: Ways) -> WireRequest:
        """Raises BadRequest."""
        inputs = asked.inputs
        fields: JSON = {"model": model, "input": inputs[0] if len(inputs) == 1 else inputs}
        if asked.dialect == NAME:
            fields |= {name: msgspec.Raw(value) for name, value in asked.extra}
        request = bodies.request(PATH, fields, ways.quirks)
        return msgspec.structs.replace(request, dropped=lost(asked, LOSSES, NAME))

    def pass_on(self, asked: ModerationRequest, body: bytes, model: str, ways: Ways) -> WireRequest:  # noqa: ARG002
        """The model is always said: which one is taken without it is the provider's whim. Raises BadRequest."""
        return bodies.passed_on(PATH, body, model, ways.quirks)

    def splitter(self, asked: ModerationRequest, content_type: bytes) -> Splitter:  # noqa: ARG002 (always whole)
        return WholeBody()

    def reader(self, asked: ModerationRequest, ways: Ways) -> Reader:  # noqa: ARG002 (all is in the reply)
        return ModerationsReader(ways)

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        return faults.refusal(status, headers, body)


def _texts(given: str | list[str | _Part]) -> tuple[str, ...]:
    """Texts are judged one by one, parts (texts and pictures) together as one."""
    if isinstance(given, str):
        return (given,)
    if all(isinstance(one, str) for one in given):
        return tuple(one for one in given if isinstance(one, str))
    if any(isinstance(one, str) for one in given):
        raise BadRequest("input: texts and parts cannot be mixed", param="input")
    return ("\n".join(one.text for one in given if isinstance(one, _Part) and one.text),)


class ModerationsReader:
    __slots__ = ("_done", "_mends")

    def __init__(self, ways: Ways) -> None:
        self._mends = ways.mends
        self._done = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        data = frame.data
        try:
            reply = _reply.decode(data)
        except replies.UNREADABLE as error:
            raise replies.foreign(data, _NO_VERDICTS) from error
        if not reply.results or reply.error:
            raise replies.foreign(data, _NO_VERDICTS)
        events: list[Meaning] = [Opened(model=reply.model or "")]
        events += [_judged(verdict, index) for index, verdict in enumerate(reply.results)]
        if used := replies.usage(reply.usage):
            events.append(Metered(used))
        self._done = True
        return replies.mended(_complete(data, reply.results), self._mends), events

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise Truncated("the provider's reply ended early")
        return ()


def _complete(data: bytes, verdicts: list[_Verdict]) -> bytes:
    """Mistral tells the categories alone: whether any of them is met is what OpenAI's clients look at."""
    if all(verdict.flagged is not None for verdict in verdicts):
        return data
    fields: JSON = dict(_fields.decode(data))
    fields["results"] = [
        {"flagged": _judged(verdict, 0).flagged, **given}
        for given, verdict in zip(_results.decode(fields["results"]), verdicts, strict=True)
    ]
    return _encode(fields)


def _judged(verdict: _Verdict, index: int) -> Judged:
    flags = tuple((name, bool(flag)) for name, flag in (verdict.categories or {}).items())
    scores = tuple((name, score or 0.0) for name, score in (verdict.category_scores or {}).items())
    flagged = any(flag for _, flag in flags) if verdict.flagged is None else verdict.flagged
    return Judged(flagged, flags, scores, index)


class ModerationsEncoder:
    content_type = b"application/json"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._model = served.model
        self._raw = b""
        self._judged: list[Judged] = []

    def feed(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if isinstance(event, Raw):
                self._raw = event.data  # a whole reply is one frame
            elif isinstance(event, Opened):
                self._model = event.model or self._model
            elif isinstance(event, Judged):
                self._judged.append(event)
        return b""

    def finish(self, usage: Usage) -> bytes:  # noqa: ARG002 (this dialect has no word for it)
        if self._raw:
            return self._raw
        results = [
            {"flagged": one.flagged, "categories": dict(one.flags), "category_scores": dict(one.scores)}
            for one in sorted(self._judged, key=lambda judged: judged.index)
        ]
        return _encode({"id": f"modr-{self._served.id}", "model": self._model, "results": results})


DIALECT = OpenAIModerations()
