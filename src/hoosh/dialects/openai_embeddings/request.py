"""Requests: parse a client's body, render the canon, or pass a body on with only the model's name changed."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from hoosh.core.asked import EmbedRequest
from hoosh.core.errors import BadRequest
from hoosh.core.features import OWN_FIELDS, lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai import bodies

NAME = "openai_embeddings"
PATH = "/embeddings"
# OpenAI's own limit.
MAX_INPUTS = 2048
# OpenAI refuses a field that it does not know, so what the vectors are for is not said.
LOSSES = frozenset({"purpose"})


class _Body(msgspec.Struct):
    model: str | None = None
    input: str | list[str | int | list[int]] | None = None
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
        inputs=_inputs(asked.input),
        dimensions=asked.dimensions,
        base64=asked.encoding_format == "base64",
        purpose=asked.input_type or "",
        user=asked.user or "",
        dialect=NAME,
        extra=bodies.unknown(fields, _KNOWN),
    )


def _inputs(given: str | Sequence[str | int | list[int]] | None) -> tuple[str | tuple[int, ...], ...]:
    """One text, several, the tokens of one text, or those of several."""
    if given is None:
        raise BadRequest("input is required", param="input")
    if not given:
        raise BadRequest("input is empty", param="input")
    if isinstance(given, str):
        return (given,)
    kinds = {type(one) for one in given}
    if len(kinds) > 1:
        raise BadRequest("input: texts, tokens and lists of tokens cannot be mixed", param="input")
    if kinds == {int}:
        return (_tokens(given, "input"),)
    if len(given) > MAX_INPUTS:
        raise BadRequest(f"input: {len(given)} inputs, not more than {MAX_INPUTS}", param="input")
    return tuple(
        _text(one, f"input[{i}]") if isinstance(one, str) else _tokens(_listed(one), f"input[{i}]")
        for i, one in enumerate(given)
    )


def _listed(one: int | list[int]) -> list[int]:
    return [one] if isinstance(one, int) else one


def _text(text: str, where: str) -> str:
    if not text:
        raise BadRequest(f"{where} is empty", param=where)
    return text


def _tokens(given: Sequence[object], where: str) -> tuple[int, ...]:
    if not given:
        raise BadRequest(f"{where} is empty", param=where)
    tokens = tuple(token for token in given if isinstance(token, int) and token >= 0)
    if len(tokens) < len(given):
        raise BadRequest(f"{where}: a token is a number from 0 on", param=where)
    return tokens


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
