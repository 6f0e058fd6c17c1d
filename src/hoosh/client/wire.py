"""HTTP/1.1 from the client's side, sans I/O (RFC 9112): the head of a request, and a reply from any split of its bytes.

The strict parser is llhttp, as in the gateway's own transport; nothing is decompressed, since nothing compressed was
asked for.
"""

import re
from collections.abc import Mapping

import httptools

from hoosh.client.settings import Settings

MAX_HEAD_BYTES = 64 << 10
LAST_CHUNK = b"0\r\n\r\n"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(r"/[!\"$-~]*")
_FRAMING = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
)


class BadReply(Exception):
    """Not HTTP/1.1, or cut off."""


def head(settings: Settings, method: str, path: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """`length` None: the body goes in chunks. A header that could end its line early is refused.

    Raises: ValueError.
    """
    target = settings.prefix + path
    if _TARGET.fullmatch(target) is None:
        raise ValueError(f"not a path: {target[:256]!r}")
    lines = [f"{method} {target} HTTP/1.1", f"host: {settings.authority}", "accept-encoding: identity"]
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None or name in _FRAMING:
            raise ValueError(f"a request cannot have the header {name!r} with that value")
        lines.append(f"{name}: {value}")
    if length is None:
        lines.append("transfer-encoding: chunked")
    elif length or method != "GET":
        lines.append(f"content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """A piece of a body whose length is not known beforehand; never an empty one, which would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ReplyParser:
    """`headed` once status and headers are there, `complete` at the end; `keep`: the connection may be used again."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.headed = False
        self.complete = False
        self.keep = False
        self._fault = ""
        self._head_bytes = 0
        self._interim = False
        self._until_eof = False
        self._pieces: list[bytes] = []
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bytes:
        """The part of the body that these bytes brought. Raises: BadReply."""
        if self._parser is None:  # complete: more is more than was asked for
            self.keep = False
            return b""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keep = False
            if not self.complete:
                raise BadReply(self._fault or f"the reply is not HTTP/1.1: {error}") from None
        if self._fault:
            raise BadReply(self._fault)
        if self.complete:
            self._parser = None  # it holds this object's methods: a cycle
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def eof(self) -> None:
        """The connection ended; so does a body without a length. Raises: BadReply."""
        if self.headed and self._until_eof:
            self.complete = True
        self.keep = False
        self._parser = None
        if not self.complete:
            raise BadReply("the connection ended in the middle of the reply" if self.headed else "no reply came")

    # What httptools calls

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headed:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._fault = f"the reply has a head of more than {MAX_HEAD_BYTES} bytes"
            return
        self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1").strip())

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None or self.headed:
            return
        self.status = parser.get_status_code()
        if self.status < 200:
            self._interim = True
            return
        if self.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            self._fault = "the reply is compressed, though that was not asked for"
        self._until_eof = not {"content-length", "transfer-encoding"} & self.headers.keys()
        self.keep = parser.should_keep_alive()
        self.headed = True

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self.headers = {}
        else:
            self.complete = True
