"""
What the gateway keeps of a conversation, on the JSON of its requests and responses: the items themselves go on to
whichever provider is next as they came, so that ids and encrypted thoughts find their own vendor again.
"""

from collections.abc import Sequence

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.errors import BadRequest
from hoosh.dialects.openai import bodies

_GATEWAYS = ("previous_response_id", "background")


class Wishes(msgspec.Struct, frozen=True):
    """What a request asks of the gateway itself, not of a model."""

    store: bool | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    stream: bool | None = None

    @property
    def is_kept(self) -> bool:
        return self.store is not False


class _Input(msgspec.Struct):
    input: str | list[msgspec.Raw] | None = None


class _Response(msgspec.Struct):
    id: str = ""
    status: str = ""
    output: list[msgspec.Raw] = []


_wishes = msgspec.json.Decoder(Wishes)
_input = msgspec.json.Decoder(_Input)
_response = msgspec.json.Decoder(_Response)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder(JSON)
_encode = msgspec.json.Encoder().encode


def wishes(body: bytes) -> Wishes:
    """Raises BadRequest naming the field."""
    return bodies.decode(_wishes, body)[0]


def continued(body: bytes, wanted: Wishes, history: Sequence[msgspec.Raw]) -> bytes:
    """The body as a provider is to get it: what was said before stands in it, and the gateway's own wishes do not."""
    if not (wanted.previous_response_id or wanted.background):
        return body
    fields: JSON = {name: value for name, value in _fields.decode(body).items() if name not in _GATEWAYS}
    if wanted.previous_response_id:
        fields["input"] = [*history, *items_of(body)]
    return _encode(fields)


def items_of(body: bytes) -> list[msgspec.Raw]:
    """The input as items. Raises BadRequest."""
    try:
        given = _input.decode(body).input
    except msgspec.ValidationError:
        raise BadRequest("input: expected string or array", param="input") from None
    if isinstance(given, str):
        content = [{"type": "input_text", "text": given}]
        return [msgspec.Raw(_encode({"type": "message", "role": "user", "content": content}))]
    return given or []


def outputs(response: bytes) -> list[msgspec.Raw]:
    return _response.decode(response).output


def named(response: bytes) -> tuple[str, str]:
    """(id, status)."""
    said = _response.decode(response)
    return said.id, said.status


def listed(items: Sequence[msgspec.Raw], response_id: str) -> list[JSON]:
    """With an id each, and what a client may leave out of a message."""
    return [_whole(_json.decode(raw), f"item_{response_id}_{k}") for k, raw in enumerate(items)]


def _whole(item: JSON, identity: str) -> JSON:
    whole: JSON = {"id": identity, "type": "message", **item}
    if isinstance(text := whole.get("content"), str):
        kind = "output_text" if whole.get("role") == "assistant" else "input_text"
        whole["content"] = [{"type": kind, "text": text}]
    return whole


def changed(response: bytes, **fields: object) -> bytes:
    return _encode({**_fields.decode(response), **fields})
