"""What a request's headers say: its key, its id, the caller's wishes."""

import random
import re
import time
from collections.abc import Mapping
from itertools import islice
from urllib.parse import parse_qs

import msgspec

from hoosh.core.cache_wish import CacheWish
from hoosh.core.call import Wishes
from hoosh.core.errors import BadRequest, UnsupportedMedia

MAX_ID_CHARS = 128
# Anthropic's and others', Google's, Azure's.
KEY_HEADERS = (b"x-api-key", b"x-goog-api-key", b"api-key")
NO_WISHES = Wishes()
# What clients call a session: ours, what is usual, Codex's.
SESSION_HEADERS = (b"x-hoosh-session", b"x-session-id", b"session_id", b"session-id")
TAGS = b"x-hoosh-tags"
CACHE = b"x-hoosh-cache"
# What each mode lets the cache do: give what it has, keep what it gets.
_MODES = {b"on": (True, True), b"read": (True, False), b"write": (False, True), b"off": (False, False)}
WISHES = frozenset(
    (
        b"x-hoosh-provider",
        b"x-hoosh-pool",
        b"x-agent-id",
        b"x-hoosh-local-only",
        b"x-privacy-local",
        TAGS,
        CACHE,
        b"cache-control",
        *SESSION_HEADERS,
    )
)
TIMEOUT = b"x-request-timeout"
MAX_TIMEOUT_S = 86_400
# Of objects, wherever they are nested: 800,000 of them took the event loop 0.7 s.
MAX_KEYS = 250_000
MAX_STRINGS = 500_000
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*+(:?)', re.DOTALL)
TRUE = frozenset({b"1", b"true", b"yes", b"on"})


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    body_limit_bytes: int = 10 << 20


def id_given(headers: Mapping[bytes, bytes]) -> str:
    """The client's own `x-request-id` where it is printable ASCII of sane length, else ""."""
    given = headers.get(b"x-request-id")
    if given and len(given) <= MAX_ID_CHARS and given.isascii() and given.decode().isprintable() and b" " not in given:
        return given.decode()
    return ""


def new_id() -> str:
    """27 hex digits that sort by time: milliseconds, then 64 random bits. It is a name and no secret; the system's own
    randomness would cost a quarter of a short request.
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
    if WISHES.isdisjoint(headers):
        return Wishes(pool=pool) if pool else NO_WISHES
    return Wishes(
        provider=_text(headers, b"x-hoosh-provider"),
        pool=_text(headers, b"x-hoosh-pool") or pool,
        agent=_text(headers, b"x-agent-id"),
        local_only=headers.get(b"x-hoosh-local-only", headers.get(b"x-privacy-local", b"")).lower() in TRUE,
        tags=tuple(tag for part in headers.get(TAGS, b"").decode("latin-1").split(",") if (tag := part.strip())),
        session=next((said for name in SESSION_HEADERS if (said := _text(headers, name))), ""),
        cache=cache_wish(headers),
    )


def cache_wish(headers: Mapping[bytes, bytes]) -> CacheWish:
    """`x-hoosh-cache`, and HTTP's own words (RFC 9111, 5.2.1): of both what lets the cache do less.

    Raises BadRequest.
    """
    mode = headers.get(CACHE)
    reads, writes = _MODES.get(mode.strip().lower(), (None, None)) if mode is not None else (True, True)
    if reads is None or writes is None:
        raise BadRequest("x-hoosh-cache: expected on, read, write or off", param="x-hoosh-cache")
    max_age_s: int | None = None
    for part in headers.get(b"cache-control", b"").lower().split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"no-store":
            reads = writes = False
        elif name == b"no-cache":
            reads = False
        elif name == b"max-age" and value.strip(b'"').isdigit():
            max_age_s = int(value.strip(b'"')[:12])
    return CacheWish(reads=reads, writes=writes, max_age_s=max_age_s, is_asked=mode is not None and reads)


def time_left_ns(headers: Mapping[bytes, bytes]) -> int:
    """How long the client waits by its `x-request-timeout` (seconds), 0 for as long as it takes. Raises BadRequest."""
    said = headers.get(TIMEOUT)
    if said is None:
        return 0
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise BadRequest(f"x-request-timeout: expected seconds, up to {MAX_TIMEOUT_S}", param="x-request-timeout")
    return int(seconds * 1e9)


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


def check_keys(body: bytes) -> None:
    """Raises BadRequest where a body has so many keys that reading it would keep all others waiting. What is no JSON at
    all, its dialect says.
    """
    if body.count(b":") <= MAX_KEYS:
        return
    try:
        msgspec.json.decode(body, type=msgspec.Raw)  # only then does each string end, and looking for them in time
    except (msgspec.DecodeError, RecursionError):
        return
    strings = [is_key for (is_key,) in map(re.Match.groups, islice(_STRING.finditer(body), MAX_STRINGS + 1))]
    if len(strings) > MAX_STRINGS or strings.count(b":") > MAX_KEYS:
        raise BadRequest(f"the request body has more than {MAX_KEYS} keys", param="body")


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").strip().decode("latin-1")[:256]
