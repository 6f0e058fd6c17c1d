"""Heads as bytes (RFC 9112): what frames a reply is written here and by nobody else."""

from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote

import httptools

STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def render(status: int, headers: Iterable[tuple[bytes, bytes]], framing: bytes) -> bytes:
    """`framing` is the lines that belong to the connection. A header that would end its line early is a bug."""
    lines = [b": ".join(header) for header in headers]
    block = b"\r\n".join(lines)
    if block.count(b"\n") != len(lines) - 1 or block.count(b"\r") != len(lines) - 1:
        raise ValueError("a header of the reply holds a line break")
    # A provider's own status is told as it is, and Cloudflare has some (520 to 527) that no standard names.
    line = STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return b"%b%b\r\n%b\r\n" % (line, block, framing)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def date_line(unix_s: int) -> bytes:
    return b"date: %b\r\n" % formatdate(unix_s, usegmt=True).encode()


def path_of(target: bytes) -> tuple[str, bytes]:
    """The path, percent-decoded, and the query as it is. Of an absolute target (RFC 9112, section 3.2.2) the origin is
    left out.
    """
    if target[:1] != b"/":
        try:
            url = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError:
            return target.decode("latin-1"), b""
        target = b"%b?%b" % (url.path or b"/", url.query or b"")
    raw, _, query = target.partition(b"?")
    path = raw.decode("latin-1")
    return (unquote(path) if "%" in path else path), query
