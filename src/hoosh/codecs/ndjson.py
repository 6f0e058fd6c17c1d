"""Newline-delimited JSON (Ollama): one line, one frame.

Only LF ends a line; a CR before it is dropped; blank lines are skipped.
"""

from hoosh.codecs import MAX_FRAME_BYTES, Frame, FrameTooLarge


class NDJSONDecoder:
    __slots__ = ("_buf", "_max")

    def __init__(self, max_frame: int = MAX_FRAME_BYTES) -> None:
        self._buf = bytearray()
        self._max = max_frame

    def feed(self, data: bytes) -> list[Frame]:
        scan = len(self._buf)
        self._buf += data
        frames: list[Frame] = []
        start = 0
        while (end := self._buf.find(b"\n", max(scan, start))) >= 0:
            self._check(end + 1 - start)
            frames += _frame(bytes(self._buf[start : end + 1]))
            start = end + 1
        del self._buf[:start]
        self._check(len(self._buf))
        return frames

    def eof(self) -> list[Frame]:
        """A last line without LF still counts: the closing brace proves it whole, and the reader checks that."""
        rest = bytes(self._buf)
        self._buf.clear()
        return _frame(rest)

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._max:
            raise FrameTooLarge(f"a line of more than {self._max} bytes")


def _frame(raw: bytes) -> list[Frame]:
    line = raw.rstrip(b"\r\n")
    return [Frame(line, raw)] if line.strip() else []
