"""The `usage` object of OpenAI's replies: what the gateway adds to it, and where a stream tells it."""

import msgspec

from hoosh.codecs.sse import SSEDecoder
from hoosh.core.events import Metered, Raw, Usage
from hoosh.dialects import JSON, Served

DONE = b"data: [DONE]\n\n"
_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder()


def annotated(told: bytes, usage: Usage, served: Served) -> JSON:
    """The provider's usage object, whose values keep their bytes, and the gateway's own fields."""
    return {**_fields.decode(told), **additions(served, usage)}


def with_usage(reply: bytes, usage: Usage, written: JSON, served: Served) -> bytes:
    """A provider's whole reply with the gateway's own fields in its usage object, or with the one `written` here where
    it has none.
    """
    fields: JSON = dict(_fields.decode(reply))
    is_told = usage.source == "reported" and bytes(fields.get("usage", b"null")) != b"null"
    return _encode({**fields, "usage": annotated(bytes(fields["usage"]), usage, served) if is_told else written})


def usage_object(usage: Usage, served: Served) -> JSON:
    """OpenAI's usage with the gateway's additions; `estimated` only where the provider reported nothing."""
    fields: JSON = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    return fields | _estimated(usage) | additions(served, usage)


def input_usage_object(usage: Usage, served: Served) -> JSON:
    """The same where nothing is generated."""
    fields: JSON = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    return fields | _estimated(usage) | additions(served, usage)


def _estimated(usage: Usage) -> JSON:
    return {"estimated": True} if usage.source == "estimated" else {}


def additions(served: Served, usage: Usage) -> JSON:
    """What the gateway adds to a usage object."""
    fields: JSON = {"provider": served.provider}
    if (cost_micros := served.cost(usage, 0)) is not None:
        fields["cost_micro_usd"] = cost_micros
    return fields


def frame(chunk: JSON) -> bytes:
    return b"data: %b\n\n" % _encode(chunk)


class LastUsage:
    """
    OpenAI tells the usage once, in a last chunk without choices, and only if asked to. Providers tell it earlier,
    beside the last words, or in every chunk: a client that asked gets it where OpenAI puts it, in the provider's
    own words.
    """

    __slots__ = ("_is_wanted", "_served", "_told")

    def __init__(self, served: Served, *, is_wanted: bool) -> None:
        self._served = served
        self._is_wanted = is_wanted
        self._told: JSON = {}  # the provider's chunk that told it, without its choices

    def passed(self, event: Raw) -> bytes:
        """What a client of the same dialect gets now of the provider's chunk."""
        inner = event.events
        if not inner or type(inner[-1]) is not Metered:
            return event.data
        decoder = SSEDecoder()
        (whole,) = decoder.feed(event.data) or decoder.eof()  # a CR at the end may be half of a line's end
        chunk: JSON = dict(_fields.decode(whole.data))
        told = annotated(bytes(chunk["usage"]), inner[-1].usage, self._served)
        if not self._is_wanted:
            return frame({**chunk, "usage": told})
        self._told = {**chunk, "choices": [], "usage": told}
        return frame({**chunk, "usage": _NULL}) if _json.decode(chunk.get("choices", _NULL)) else b""

    def rest(self, bare: JSON, usage: Usage) -> bytes:
        """The end of the stream; `bare` is a chunk of the gateway's own without choices."""
        if not self._is_wanted:
            return DONE
        return frame(self._told or {**bare, "usage": usage_object(usage, self._served)}) + DONE
