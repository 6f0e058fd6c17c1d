"""Each endpoint as a value: what to send, and how to read what comes. No I/O; both clients call by these."""

import binascii
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

from hoosh.client import types
from hoosh.client.errors import APIError
from hoosh.client.multipart import Form
from hoosh.client.types import Answered, Fields, Reply
from hoosh.codecs.json import JSON

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A", bound=Answered)
S = TypeVar("S", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode


class Call(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """`safe`: done twice, it does no more than once."""

    method: str
    path: str
    read: Callable[[Reply], T_co]
    body: bytes | Form = b""
    headers: Mapping[str, str] = {}
    safe: bool = False

    @property
    def repeatable(self) -> bool:
        return isinstance(self.body, bytes) or self.body.repeatable


def get(path: str, read: Callable[[Reply], T]) -> Call[T]:
    return Call(method="GET", path=path, read=read, safe=True)


def post(
    path: str, value: Fields, read: Callable[[Reply], T], *, headers: Fields | None = None, safe: bool = False
) -> Call[T]:
    return Call(
        method="POST",
        path=path,
        read=read,
        body=_encode(value),
        headers={
            "content-type": "application/json",
            **{name.lower(): str(item) for name, item in (headers or {}).items()},
        },
        safe=safe,
    )


def _told(fields: Fields) -> Fields:
    """What is None was not said."""
    return {key: value for key, value in fields.items() if value is not None}


def read_json(reply: Reply) -> JSON:
    return _decoded(reply, dict)


def _reader(kind: type[A]) -> Callable[[Reply], A]:
    def read(reply: Reply) -> A:
        return msgspec.structs.replace(_decoded(reply, kind), reply=reply)

    return read


def _plain(kind: type[S]) -> Callable[[Reply], S]:
    return lambda reply: _decoded(reply, kind)


def _decoded(reply: Reply, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise APIError(f"the server's answer is not what it should be: {error}", request_id=reply.request_id) from None


def turns(system: str, messages: Sequence[Fields], prompt: str) -> list[Fields]:
    """`system` first, `prompt` last. Raises: ValueError."""
    if not (messages or prompt):
        raise ValueError("a chat needs a prompt or messages")
    first: list[Fields] = [{"role": "system", "content": system}] if system else []
    last: list[Fields] = [{"role": "user", "content": prompt}] if prompt else []
    return [*first, *messages, *last]


def asked(model: str, messages: Sequence[Fields], fields: Fields) -> Fields:
    return {"model": model, "messages": messages, **_told(fields)}


def chat(body: Fields, headers: Fields | None) -> Call[types.Completion]:
    """Raises: ValueError."""
    if body.get("stream"):
        raise ValueError("an answer in pieces is what `stream` gives, not `chat`")
    return post("/v1/chat/completions", body, _reader(types.Completion), headers=headers)


def streamed(body: Fields, headers: Fields | None) -> Call[Reply]:
    """Asks for the usage, which OpenAI's API tells only then."""
    body = {"stream_options": {"include_usage": True}, **body, "stream": True}
    return post("/v1/chat/completions", body, lambda reply: reply, headers=headers)


def models() -> Call[types.Models]:
    return get("/v1/models", _reader(types.Models))


def model(name: str) -> Call[types.Model]:
    return get(f"/v1/models/{quote(name, safe='')}", _plain(types.Model))


def health() -> Call[types.Health]:
    return get("/v1/health", _reader(types.Health))


def provider_health() -> Call[types.ProvidersHealth]:
    return get("/v1/health/providers", _reader(types.ProvidersHealth))


def check(body: Fields) -> Call[types.Check]:
    return post("/v1/tokens/check", _told(body), _reader(types.Check), safe=True)


def reserve(body: Fields) -> Call[types.Reserved]:
    return post("/v1/tokens/reserve", _told(body), _reader(types.Reserved))


def report(body: Fields) -> Call[types.Reported]:
    return post("/v1/tokens/report", _told(body), _reader(types.Reported))


def release(body: Fields) -> Call[types.Released]:
    return post("/v1/tokens/release", _told(body), _reader(types.Released))


def pools() -> Call[types.Pools]:
    return get("/v1/tokens/pools", _reader(types.Pools))


def pool(name: str) -> Call[types.Pool]:
    return get(f"/v1/tokens/pools/{quote(name, safe='')}", _plain(types.Pool))


def transcribe(form: Form) -> Call[types.Transcript]:
    return Call(
        method="POST",
        path="/v1/transcribe",
        read=_transcript,
        body=form,
        headers={"content-type": form.content_type},
    )


def _transcript(reply: Reply) -> types.Transcript:
    if "json" in reply.headers.get("content-type", "json"):
        return _reader(types.Transcript)(reply)
    return types.Transcript(text=reply.body.decode(errors="replace"), reply=reply)


def embeddings(body: Fields) -> Call[types.Embeddings]:
    """In base64 unless asked otherwise: a quarter of the bytes, and each float exact."""
    return post("/v1/embeddings", {"encoding_format": "base64", **_told(body)}, _vectors)


class _Vector(msgspec.Struct):
    embedding: str | list[float]
    index: int = 0


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    model: str = ""
    usage: types.Usage | None = None


def _vectors(reply: Reply) -> types.Embeddings:
    said = _decoded(reply, _Vectors)
    rows = sorted(said.data, key=lambda row: row.index)
    try:
        vectors = tuple(_floats(row.embedding) for row in rows)
    except (binascii.Error, ValueError) as error:
        raise APIError(f"an embedding is not base64 of floats: {error}", request_id=reply.request_id) from None
    return types.Embeddings(vectors=vectors, model=said.model, usage=said.usage, reply=reply)


def _floats(embedding: str | list[float]) -> list[float]:
    """Base64 holds little-endian 32-bit floats."""
    if isinstance(embedding, list):
        return embedding
    floats = array("f", binascii.a2b_base64(embedding, strict_mode=True))
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()
