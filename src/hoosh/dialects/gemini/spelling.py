"""Protocol buffers in JSON may be spelled in lowerCamelCase or in snake_case; from here on there is only the first.

Source: https://protobuf.dev/programming-guides/json/ (read 2026-11). Names that are the client's own data (arguments,
responses, JSON Schema) are not touched: `_TREE` says where messages are, everything else stays as it is.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from hoosh.core.errors import BadRequest
from hoosh.dialects.openai.once import check_once

Tree = Mapping[str, Any]

_LEAF: Tree = MappingProxyType({})
_BLOB_PARTS: Tree = MappingProxyType({"inlineData": _LEAF, "fileData": _LEAF})
_PART: Tree = MappingProxyType(
    {
        "inlineData": _LEAF,
        "fileData": _LEAF,
        "functionCall": _LEAF,
        "functionResponse": MappingProxyType({"parts": _BLOB_PARTS}),
        "executableCode": _LEAF,
        "codeExecutionResult": _LEAF,
        "videoMetadata": _LEAF,
    }
)
_CONTENT: Tree = MappingProxyType({"parts": _PART})
_GENERATE: Tree = MappingProxyType(
    {
        "contents": _CONTENT,
        "systemInstruction": _CONTENT,
        "tools": MappingProxyType({"functionDeclarations": _LEAF}),
        "toolConfig": MappingProxyType({"functionCallingConfig": _LEAF, "retrievalConfig": _LEAF}),
        "generationConfig": MappingProxyType({"thinkingConfig": _LEAF}),
    }
)
_EMBED: Tree = MappingProxyType({"content": _CONTENT, "embedContentConfig": _LEAF})
_TREE: Tree = MappingProxyType({**_GENERATE, **_EMBED, "generateContentRequest": _GENERATE, "requests": _EMBED})

_SNAKE = re.compile(rb'"[a-z]+(?:_[a-z]+)+"\s*:')
_LETTER = re.compile(r"_([a-z])")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def in_camel(body: bytes) -> bytes:
    """What is no JSON stays as it is: whoever reads it says so. Raises BadRequest for a field in both spellings."""
    if b"_" not in body or not _SNAKE.search(body):  # as nearly always
        return body
    try:
        return bytes(_spelled(msgspec.Raw(body), _TREE))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body


def camel(name: str) -> str:
    return _LETTER.sub(lambda found: found[1].upper(), name)


def _spelled(value: msgspec.Raw, tree: Tree) -> msgspec.Raw:
    first = bytes(value).lstrip()[:1]
    if first == b"[":
        return msgspec.Raw(_encode([_spelled(item, tree) for item in _items.decode(value)]))
    if first != b"{":
        return value
    read = _fields.decode(value)
    check_once(bytes(value), read)
    fields = {camel(name): item for name, item in read.items()}
    if len(fields) < len(read):
        raise BadRequest("a field is there twice, in both spellings", param="body")
    return msgspec.Raw(
        _encode({name: _spelled(item, tree[name]) if name in tree else item for name, item in fields.items()})
    )
