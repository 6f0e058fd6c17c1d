"""What a provider's error may hold and nobody else may read: its own key, said back, and the words of a prompt."""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote

from hoosh.core.errors import (
    ConnectFailed,
    EmptyStream,
    HooshError,
    Idle,
    NoFirstEvent,
    Reset,
    Truncated,
    UpstreamError,
)
from hoosh.core.wire import Headers

MASK = "(not shown)"
# What is shorter is a word ("ollama", "none") and no secret; hiding it would tear holes in every text.
MIN_CHARS = 8
# Failures that are worded here, and nowhere else.
OUR_WORDS = (ConnectFailed, EmptyStream, Idle, NoFirstEvent, Reset, Truncated)
_ESCAPE = re.compile("%[0-9A-F]{2}")


def hide_key(error: HooshError, auth: Headers) -> None:
    """Takes the key out of all that the error tells, also where it is URL-encoded or in Base64."""
    if not auth:
        return
    for form in forms(auth):
        error.message = _without(error.message, form)
        error.code = error.code.replace(form, MASK)
        error.param = error.param and error.param.replace(form, MASK)
    error.args = (error.message,)


def in_our_words(error: UpstreamError) -> str:
    """For pages and errors that others read: a provider's words may repeat what one client asked."""
    if isinstance(error, OUR_WORDS):
        return error.message
    return f"{error.code} (the provider answered {error.upstream_status or 'so'})"


def forms(auth: Headers) -> Iterator[str]:
    """How each secret of these headers may look in a text, the longest first."""
    for _, value in auth:
        secret = value.rpartition(b" ")[2]  # "Bearer SECRET"
        if len(secret) >= MIN_CHARS:
            yield from sorted(dict.fromkeys(_spellings(secret)), key=len, reverse=True)


def _without(text: str, form: str) -> str:
    """Also what is left of it where the text was cut off in its middle."""
    text = text.replace(form, MASK)
    for size in range(len(form) - 1, MIN_CHARS - 1, -1):
        if text.endswith(form[:size]):
            return text[:-size] + MASK
    return text


def _spellings(secret: bytes) -> Iterator[str]:
    yield secret.decode("latin-1")
    for safe in ("", "/"):
        encoded = quote(secret, safe=safe)
        yield encoded
        yield _ESCAPE.sub(lambda escape: escape[0].lower(), encoded)
    for before in range(3):
        # Base64 of any text that holds the secret: less the signs that tell of its neighbours, too.
        start, end = (0, 2, 3)[before], (len(secret) + before) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + secret)[start:end].decode()
