"""Requests, as far as all of OpenAI's APIs agree on them: how a body is read and what is wrong with it, what a provider
gets of it.
"""

import re
from collections.abc import Container, Iterator, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from hoosh.core.asked import ChatRequest, CompleteRequest
from hoosh.core.errors import BadRequest
from hoosh.core.features import OWN_FIELDS
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Quirk, Ways
from hoosh.dialects.openai.once import check_once

MAX_MODEL_CHARS = 256
TOO_DEEP = "the request body is nested too deep"
JSON_TYPE = (b"content-type", b"application/json")

# Fields of OpenAI's that have a name in core.features.
_FEATURES = MappingProxyType(
    {
        "user": "user",
        "verbosity": "verbosity",
        "parallel_tool_calls": "parallel_tools",
        **{
            name: f"sampling.{name}"
            for name in ("logprobs", "top_logprobs", "top_k", "min_p", "presence_penalty", "frequency_penalty")
        },
    }
)
# What quirks take out is said otherwise, or is the gateway's own business.
_SETTLED = frozenset({"stream_options", "max_tokens", "max_completion_tokens"})
_NULL = msgspec.Raw(b"null")
_WORDS = MappingProxyType({"str": "string", "int": "integer", "float": "number", "bool": "boolean"})
_MISMATCH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> tuple[T, dict[str, msgspec.Raw]]:
    """What the decoder knows of it, and every field as JSON text. Raises BadRequest naming the field."""
    if not body.strip():
        raise BadRequest("the request body is empty", param="body")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the request body is not valid UTF-8 (byte {error.start})", param="body") from error
    try:
        asked, fields = decoder.decode(body), _fields.decode(body)
        check_once(body, fields)
    except msgspec.ValidationError as error:
        raise wrong(error) from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"the request body is not valid JSON: {_reason(error)}", param="body") from error
    except RecursionError as error:
        raise BadRequest(TOO_DEEP, param="body") from error
    return asked, fields


def wrong(error: msgspec.ValidationError, where: str = "") -> BadRequest:
    """Msgspec says "Expected `str`, got `int` - at `$.messages[0].role`"; `where` is the place that it calls $."""
    what, _, path = str(error).partition(" - at `$")
    place = (where + path.rstrip("`")).removeprefix(".")
    if missing := _MISSING.fullmatch(what):
        place = f"{place}.{missing[1]}".removeprefix(".")
        return BadRequest(f"{place} is required", param=place)
    if mismatch := _MISMATCH.fullmatch(what):
        wanted = [_WORDS.get(word, word) for word in mismatch[1].split(" | ") if word != "null"]
        what = f"expected {' or '.join(wanted)}, got {_WORDS.get(mismatch[2], mismatch[2])}"
    place = place or "body"
    return BadRequest(f"{place}: {what[:1].lower()}{what[1:]}", param=place)


def checked_model(model: str | None) -> str:
    """Raises BadRequest."""
    if not model:
        raise BadRequest("model field is required", param="model")
    if len(model) > MAX_MODEL_CHARS or not model.isprintable() or set(model) & {"\\", '"'}:
        raise BadRequest("invalid model name", param="model")
    return model


def unknown(fields: dict[str, msgspec.Raw], known: Container[str]) -> tuple[tuple[str, bytes], ...]:
    """The fields that are not `known`."""
    return tuple((name, bytes(value)) for name, value in fields.items() if name not in known)


def request(path: str, fields: JSON, quirks: Sequence[Quirk]) -> WireRequest:
    """Without the gateway's own fields. Raises BadRequest."""
    for name in OWN_FIELDS:
        fields.pop(name, None)
    try:
        dropped = tuple(_taken_out(fields, quirks))
        return WireRequest(path=path, body=_encode(fields), headers=(JSON_TYPE,), dropped=dropped)
    except msgspec.ValidationError as error:  # in what nobody had to read: 1e999, say
        raise wrong(error) from error
    except RecursionError as error:
        raise BadRequest(TOO_DEEP, param="body") from error


def _taken_out(fields: JSON, quirks: Sequence[Quirk]) -> Iterator[str]:
    """Applies the quirks; what one of them takes out and puts nowhere else, the provider cannot be told."""
    for quirk in quirks:
        before = dict(fields)
        quirk(fields)
        if fields.keys() <= before.keys():
            gone = [name for name in before if name not in fields and name not in _SETTLED]
            yield from (_FEATURES.get(name, f"extra.{name}") for name in gone if before[name] not in (None, _NULL))


def passed_on(path: str, body: bytes, model: str, quirks: Sequence[Quirk]) -> WireRequest:
    """The client's own body for `model`: values keep their bytes and their order. Raises BadRequest."""
    return request(path, {**_fields.decode(body), "model": model}, quirks)


def usage_asked(asked: ChatRequest | CompleteRequest, ways: Ways) -> Quirk:
    """A stream says what it used if it is asked to: the gateway wants to know it where the client does not."""

    def say(body: JSON) -> None:
        if not ways.stream_usage:
            body.pop("stream_options", None)
        elif asked.stream and not asked.include_usage:
            body["stream_options"] = {**_options(body.get("stream_options")), "include_usage": True}

    return say


def _options(given: Any) -> JSON:
    value = _json.decode(given) if isinstance(given, msgspec.Raw) else given
    return value if isinstance(value, dict) else {}


def _reason(error: Exception) -> str:
    return str(error).removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
