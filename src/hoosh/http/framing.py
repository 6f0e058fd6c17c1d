"""What a request's head must not hold: more than its share, and what two servers could read in two ways (RFC 9112)."""

import re
from collections.abc import Mapping

import httptools

from hoosh.core.errors import HooshError, TooLarge

MAX_TARGET_BYTES = 8 << 10
MAX_HEADERS = 100
# Headers of which two would make two readings.
ALONE = frozenset((b"host", b"transfer-encoding", b"content-length"))
# What servers by CGI's rules take for those.
_DOUBLES = frozenset((b"transfer_encoding", b"content_length"))
# RFC 3986, section 3.2, without the user's name. A Host that is none must be refused (RFC 9112, section 3.2).
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.%A-Za-z]+\])(?::[0-9]*)?")


class HeadTooLarge(TooLarge):
    status = 431
    code = "request_headers_too_large"


class TargetTooLong(TooLarge):
    status = 414
    code = "request_target_too_long"


def excess(target: bytes, headers: Mapping[bytes, bytes], count: int, limit_bytes: int) -> HooshError | None:
    """What is too much of a head. `count` is of all headers, also of those that came twice."""
    if len(target) > MAX_TARGET_BYTES:
        return TargetTooLong(f"the request target is longer than {MAX_TARGET_BYTES} bytes")
    if count > MAX_HEADERS:
        return HeadTooLarge(f"the request has more than {MAX_HEADERS} headers")
    if len(target) + sum(len(name) + len(value) + 4 for name, value in headers.items()) > limit_bytes:
        return head_too_large(limit_bytes)
    return None


def head_too_large(limit_bytes: int) -> HooshError:
    return HeadTooLarge(f"the request head is larger than {limit_bytes} bytes")


def flaw(parser: httptools.HttpRequestParser, headers: Mapping[bytes, bytes]) -> str:
    """What llhttp lets pass and two servers could read in two ways, "" for nothing."""
    version = parser.get_http_version()
    if version not in ("1.1", "1.0"):
        return f"version {version}"
    host = headers.get(b"host")
    if host is None:
        if version == "1.1":
            return "no host"
    elif _HOST.fullmatch(host) is None:
        return "a host that is none"
    if not _DOUBLES.isdisjoint(headers):
        return "an underscore in the name of a header that frames the body"
    if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        return "a transfer-encoding other than chunked"
    return ""


def framing(headers: Mapping[bytes, bytes]) -> bytes:
    """The header that tells where a body ends, b"" where there is none. Both at once never come here."""
    if b"transfer-encoding" in headers:
        return b"transfer-encoding: chunked"
    length = headers.get(b"content-length", b"0")
    return b"content-length: " + length if length.strip(b"0") else b""
