"""Gemini's `Schema`, a subset of OpenAPI 3.0, as JSON Schema.

Source: https://ai.google.dev/api/caching#Schema (read 2026-11). Types are words in capitals, null is a flag, numbers
of items come as text because they are 64 bits wide.
"""

from typing import Any

import msgspec

from hoosh.codecs.json import JSON
from hoosh.dialects.gemini.spelling import camel

MAX_DEPTH = 100
_COUNTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)  # int64 in JSON is text
_SCHEMAS = frozenset({"items", "additionalProperties"})
_LISTS = frozenset({"anyOf", "prefixItems"})
_MAPS = frozenset({"properties", "defs", "$defs"})
# An order of properties is nothing that JSON Schema knows.
_DROPPED = frozenset({"propertyOrdering", "nullable", "example"})
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def json_schema(schema: msgspec.Raw) -> bytes:
    """b"" for none."""
    if bytes(schema).strip() in (b"", b"null"):
        return b""
    return _encode(_converted(_json.decode(schema), 0))


def _converted(schema: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return schema
    said: JSON = {}
    for spelled, value in schema.items():
        name = camel(spelled)
        if name in _DROPPED or value in (None, "TYPE_UNSPECIFIED"):
            continue
        said[name] = _value(name, value, depth + 1)
    if schema.get("nullable") is True:
        return _nullable(said)
    return said


def _value(name: str, value: Any, depth: int) -> Any:
    if name == "type":
        return _type(value)
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)
    if name in _SCHEMAS:
        return _converted(value, depth)
    if name in _LISTS and isinstance(value, list):
        return [_converted(item, depth) for item in value]
    if name in _MAPS and isinstance(value, dict):
        return {key: _converted(item, depth) for key, item in value.items()}
    return value


def _type(word: Any) -> Any:
    if isinstance(word, list):
        return [_type(item) for item in word]
    return word.lower() if isinstance(word, str) else word


def _nullable(said: JSON) -> JSON:
    kind = said.get("type")
    if isinstance(kind, str):
        said["type"] = [kind, "null"]
        if isinstance(said.get("enum"), list):
            said["enum"] = [*said["enum"], None]
        return said
    return {"anyOf": [said, {"type": "null"}]}
