"""Requests: parse a client's body, render the canon, or pass a body on with only the model's name changed."""

from typing import Literal

import msgspec

from hoosh.core.asked import EmbedRequest
from hoosh.core.errors import BadRequest
from hoosh.core.features import OWN_FIELDS, lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai import bodies, prompts

NAME = "openai_embeddings"
PATH = "/embeddings"
# OpenAI refuses a field that it does not know, so what the vectors are for is not said.
LOSSES = frozenset({"purpose"})


class _Body(msgspec.Struct):
    model: str | None = None
    input: prompts.Given | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    input_type: str | None = None
    user: str | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
_body = msgspec.json.Decoder(_Body)


def parse(body: bytes) -> EmbedRequest:
    """Raises BadRequest naming the field."""
    asked, fields = bodies.decode(_body, body)
    model = bodies.checked_model(asked.model)
    if asked.dimensions is not None and asked.dimensions < 1:
        raise BadRequest("dimensions must be greater than 0", param="dimensions")
    return EmbedRequest(
        model=model,
        inputs=prompts.read(asked.input, "input"),
        dimensions=asked.dimensions,
        base64=asked.encoding_format == "base64",
        purpose=asked.input_type or "",
        user=asked.user or "",
        dialect=NAME,
        extra=bodies.unknown(fields, _KNOWN),
    )


def pass_on(asked: EmbedRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
    """Raises BadRequest."""
    own = any(name in OWN_FIELDS for name, _ in asked.extra)
    if model == asked.model and not own and not ways.quirks:
        return WireRequest(path=PATH, body=body, headers=(bodies.JSON_TYPE,))
    return bodies.passed_on(PATH, body, model, ways.quirks)


def render(asked: EmbedRequest, model: str, ways: Ways) -> WireRequest:
    """Raises BadRequest."""
    inputs = asked.inputs
    fields: JSON = {"model": model, "input": inputs[0] if len(inputs) == 1 else inputs}
    if asked.dimensions is not None:
        fields["dimensions"] = asked.dimensions
    if asked.base64:
        fields["encoding_format"] = "base64"
    if asked.user:
        fields["user"] = asked.user
    if asked.dialect == NAME:
        fields |= {name: msgspec.Raw(value) for name, value in asked.extra}
    request = bodies.request(PATH, fields, ways.quirks)
    return msgspec.structs.replace(request, dropped=lost(asked, LOSSES, NAME))
