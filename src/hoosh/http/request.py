"""What a request brings: its headers by name, its body within limits, its key, its id."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import parse_qs

import msgspec

from hoosh.core.call import Wishes
from hoosh.core.errors import BadRequest, TooLarge, UnsupportedMedia
from hoosh.http.sink import Message, Receive

# Where the door puts, in an ASGI scope, the set of those who want to know that the client has left. A task of
# its own that waits in `receive` for that would cost every call a tenth of its time.
LEAVING = "hoosh.leaving"
Listeners = set[Callable[[], None]]
MAX_ID_CHARS = 128
# A client that pauses for longer than this has stopped sending.
DISCARD_S = 0.5
# Anthropic's and others', Google's, Azure's.
KEY_HEADERS = (b"x-api-key", b"x-goog-api-key", b"api-key")
TRUE = frozenset({b"1", b"true", b"yes", b"on"})


class ClientLeft(Exception):
    """The client went away before its request was whole. Nobody is there to be told."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    body_limit_bytes: int = 10 << 20


def headers_of(scope: Message) -> dict[bytes, bytes]:
    """Lower-case names (ASGI gives them so); of a repeated header the first counts."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found.setdefault(name, value)
    return found


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """The client's own `x-request-id` where it is printable ASCII of sane length, else a new one that sorts by time."""
    given = headers.get(b"x-request-id", b"")
    if given and len(given) <= MAX_ID_CHARS and given.isascii() and given.decode().isprintable() and b" " not in given:
        return given.decode()
    return new_id()


def new_id() -> str:
    """27 hex digits: milliseconds, then 64 random bits. It is a name and no secret; the system's own randomness
    would cost a quarter of a short request.
    """
    return f"{time.time_ns() // 1_000_000:011x}{random.getrandbits(64):016x}"


def token_of(headers: Mapping[bytes, bytes], query: bytes = b"") -> str | None:
    """From `Authorization: Bearer`, or wherever the clients of some vendor put it."""
    given = headers.get(b"authorization", b"")
    if given[:7].lower() == b"bearer ":
        return given[7:].strip().decode("latin-1") or None
    for name in KEY_HEADERS:
        if given := headers.get(name, b"").strip():
            return given.decode("latin-1")
    return _key_in(query) if b"key=" in query else None


def _key_in(query: bytes) -> str | None:
    """Google's `?key=`."""
    return parse_qs(query.decode("latin-1")).get("key", [""])[0] or None


def wishes_of(headers: Mapping[bytes, bytes], pool: str) -> Wishes:
    """`pool` is the body's wish; the header wins."""
    return Wishes(
        provider=_text(headers, b"x-hoosh-provider"),
        pool=_text(headers, b"x-hoosh-pool") or pool,
        agent=_text(headers, b"x-agent-id"),
        local_only=headers.get(b"x-hoosh-local-only", headers.get(b"x-privacy-local", b"")).lower() in TRUE,
    )


def pool_in(extra: tuple[tuple[str, bytes], ...]) -> str:
    """The body's own key `pool`. Raises BadRequest."""
    for name, value in extra:
        if name == "pool":
            try:
                return msgspec.json.decode(value, type=str | None) or ""
            except msgspec.DecodeError:
                raise BadRequest("pool: expected string", param="pool") from None
    return ""


def check_json(headers: Mapping[bytes, bytes]) -> None:
    """A browser can post a form to this machine without asking anyone; it cannot post JSON. Raises UnsupportedMedia."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind and kind != b"application/json" and not kind.endswith(b"+json"):
        raise UnsupportedMedia("send the body as content-type: application/json")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMedia("send the body without content-encoding")


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limits: Limits) -> bytes:
    """Raises TooLarge (from the length alone where it is told), ClientLeft. Its time is bounded by the door."""
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > limits.body_limit_bytes:
        if b"expect" not in headers:  # else the client has not begun to send
            await _discard(receive, limits)
        raise _too_large(limits)
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= limits.body_limit_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    if size > limits.body_limit_bytes:
        if more:
            await _discard(receive, limits)
        raise _too_large(limits)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _discard(receive: Receive, limits: Limits) -> None:
    """Let a client that is only a little over the limit finish sending: closing before that resets the
    connection, and the answer is lost with it.
    """
    size = 0
    with suppress(TimeoutError):
        while size < limits.body_limit_bytes:
            async with asyncio.timeout(DISCARD_S):
                message = await receive()
            if not message.get("more_body", False):
                return
            size += len(message.get("body", b""))


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the request body is larger than {limits.body_limit_bytes} bytes", param="body")


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").strip().decode("latin-1")[:256]
