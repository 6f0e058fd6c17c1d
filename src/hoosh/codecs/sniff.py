"""Events or one JSON body, told apart by the first byte: servers answer with either, and not always with the content
type that says which.
"""

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.sse import BOM, SSEDecoder
from hoosh.codecs.whole import WholeBody

# How a line of an event stream begins: data, event, id, retry, or a comment.
_SSE_STARTS = b"deir:"


class EventsOrWhole:
    """White space before the first byte that tells (servers send it to keep a connection alive) is dropped."""

    __slots__ = ("_head", "_inner")

    def __init__(self) -> None:
        self._head = b""
        self._inner: Splitter | None = None

    def feed(self, data: bytes) -> list[Frame]:
        if self._inner is not None:
            return self._inner.feed(data)
        head = (self._head + data).lstrip(b" \t\r\n")
        if BOM.startswith(head):  # or nothing yet
            self._head = head
            return []
        head = head.removeprefix(BOM)
        self._head = b""
        self._inner = SSEDecoder() if head[:1] in _SSE_STARTS else WholeBody()
        return self._inner.feed(head)

    def eof(self) -> list[Frame]:
        return self._inner.eof() if self._inner is not None else []
