"""A vector's two forms: a JSON array, and base64 of little-endian 32-bit floats."""

import base64
import math
import struct

import msgspec

from hoosh.core.errors import BadUpstream, Refused

_floats = msgspec.json.Decoder(tuple[float, ...])
_text = msgspec.json.Decoder(str)


def is_base64(text: bytes) -> bool:
    """Of a vector's JSON text."""
    return text.lstrip()[:1] == b'"'


def read(text: bytes) -> tuple[float, ...]:
    """Of a vector's JSON text in either form. Raises BadUpstream."""
    try:
        if not is_base64(text):
            return _floats.decode(text)
        data = base64.b64decode(_text.decode(text), validate=True)
        return struct.unpack(f"<{len(data) // 4}f", data)
    except (msgspec.DecodeError, ValueError, struct.error, RecursionError) as error:
        raise BadUpstream("the provider sent what is not a vector") from error


def packed(values: tuple[float, ...]) -> str:
    """Base64. Raises BadUpstream for what is no 32-bit float."""
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except OverflowError as error:
        raise BadUpstream("the provider sent a vector of more than 32-bit floats") from error


def shortened(values: tuple[float, ...], dimensions: int | None) -> tuple[float, ...]:
    """The first `dimensions` of a vector, of length 1 again: what OpenAI does itself, and what is left to do where a
    server does not know the field. Raises Refused where there are fewer.
    """
    if dimensions is None or len(values) == dimensions:
        return values
    if len(values) < dimensions:
        raise Refused(f"dimensions: the model's vectors have {len(values)}", param="dimensions", upstream_status=400)
    head = values[:dimensions]
    length = math.hypot(*head)
    return tuple(value / length for value in head) if length else head
