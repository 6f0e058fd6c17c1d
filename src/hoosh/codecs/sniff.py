"""Events or one JSON body, told apart by the first byte: servers answer with either, and not always with the content
type that says which.
"""

from collections.abc import Callable

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.sse import BOM, SSEDecoder
from hoosh.codecs.whole import WholeBody

_json = msgspec.json.Decoder()
# How a line of an event stream begins: data, event, id, retry, or a comment.
_SSE_STARTS = b"deir:"


class EventsOrWhole:
    """White space before the first byte that tells (servers send it to keep a connection alive) is dropped.

    `otherwise` splits what does not begin as events do: lines, say, where a whole body is not what is expected.
    """

    __slots__ = ("_head", "_inner", "_otherwise")

    def __init__(self, otherwise: Callable[[], Splitter] = WholeBody) -> None:
        self._otherwise = otherwise
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
        self._inner = SSEDecoder() if head[:1] in _SSE_STARTS else self._otherwise()
        return self._inner.feed(head)

    def eof(self) -> list[Frame]:
        """A last event without its blank line still counts where its closing brace proves it whole."""
        if self._inner is None:
            return []
        frames = self._inner.eof()
        if isinstance(self._inner, SSEDecoder) and (last := self._inner.unended()) and _is_object(last.data):
            frames.append(last)
        return frames


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(_json.decode(data), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
