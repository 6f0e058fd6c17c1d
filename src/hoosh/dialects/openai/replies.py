"""Whole replies, as far as OpenAI's APIs without a stream agree on them."""

from collections.abc import Sequence

import msgspec

from hoosh.core.errors import BadUpstream, UpstreamError
from hoosh.core.events import Usage
from hoosh.dialects import JSON, Mend
from hoosh.dialects.openai import faults

# What a decoder raises for bytes that are not what it knows.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


def usage(given: object) -> Usage | None:
    """None for what cannot be a count: an answer is not lost for a bad number."""
    try:
        said = msgspec.convert(given, _Usage | None)
    except msgspec.ValidationError:
        return None
    tokens = (said.prompt_tokens or said.total_tokens or 0) if said else 0
    return Usage(input=tokens) if tokens > 0 else None


def foreign(data: bytes, wanted: str) -> UpstreamError:
    """What a payload is that is not `wanted`: the provider's error, or nothing known."""
    try:
        payload = _json.decode(data)
    except UNREADABLE:
        payload = None
    if isinstance(payload, dict) and (payload.get("error") or payload.get("detail") or payload.get("message")):
        return faults.in_stream(payload)
    return BadUpstream(f"the provider sent what is not {wanted}")


def mended(data: bytes, mends: Sequence[Mend]) -> bytes:
    """Mends see the model's name, and all else as JSON text: nobody decodes a million floats for a name."""
    if not mends:
        return data
    fields: JSON = dict(_fields.decode(data))
    if "model" in fields:
        fields["model"] = _json.decode(fields["model"])
    return _encode(fields) if True in [mend(fields) for mend in mends] else data
