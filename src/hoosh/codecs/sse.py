"""
Server-Sent Events. Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".

Only CR, LF and CRLF end a line: U+2028, U+0085 and form feed are legal inside a JSON string, and readers that
split there (str.splitlines and what is built on it) corrupt data. Each byte is searched once.
"""

from hoosh.codecs import MAX_FRAME_BYTES, Frame, FrameTooLarge

BOM = b"\xef\xbb\xbf"
_SPACE = 0x20


class SSEDecoder:
    """`feed` any split of the byte stream; get the same frames. A stream may begin with a BOM."""

    __slots__ = ("_buf", "_data", "_event", "_line", "_max", "_scan", "_started")

    def __init__(self, max_frame: int = MAX_FRAME_BYTES) -> None:
        self._buf = bytearray()  # bytes from the start of the unfinished frame
        self._line = 0  # where the unfinished line starts in _buf
        self._scan = 0  # how far _buf has been searched for an end of line
        self._data: list[bytes] = []
        self._event = b""
        self._started = False
        self._max = max_frame

    def feed(self, data: bytes) -> list[Frame]:
        if not self._buf and (frames := self._whole_frames(data)) is not None:
            return frames
        buf = self._buf
        buf += data
        if not self._started:
            if len(buf) < len(BOM) and BOM.startswith(bytes(buf)):
                return []
            self._started = True
            if buf.startswith(BOM):
                self._line = self._scan = len(BOM)
        frames = []
        while (line := self._next_line(final=False)) is not None:
            self._take(line, frames)
        self._check(len(buf))
        return frames

    def eof(self) -> list[Frame]:
        """A lone CR at the end ends its line. A frame without its blank line is dropped, as the standard says."""
        frames: list[Frame] = []
        while (line := self._next_line(final=True)) is not None:
            self._take(line, frames)
        return frames

    def unended(self) -> Frame | None:
        """After `eof`: the frame that the standard drops, since its blank line is missing; `raw` has it."""
        if last := bytes(self._buf[self._line :]):
            self._take(last, [])
        raw = bytes(self._buf)
        return Frame(b"\n".join(self._data), raw.rstrip(b"\r\n") + b"\n\n", self._event) if self._data else None

    def _whole_frames(self, data: bytes) -> list[Frame] | None:
        """
        The common case, without a copy: whole events of one `data:` line each, ended by LF LF.
        None means: take the long way.
        """
        if data[-2:] != b"\n\n" or len(data) > self._max or b"\r" in data:
            return None
        frames = []
        start, size = 0, len(data)
        while start < size:
            end = data.find(b"\n", start)
            if data[start : start + 5] != b"data:" or data[end : end + 2] != b"\n\n":
                return None
            first = start + 6 if data[start + 5] == _SPACE else start + 5
            frames.append(Frame(data[first:end], data[start : end + 2]))
            start = end + 2
        self._started = True
        return frames

    def _next_line(self, *, final: bool) -> bytes | None:
        buf = self._buf
        lf = buf.find(b"\n", self._scan)
        cr = buf.find(b"\r", self._scan, lf if lf >= 0 else len(buf))
        end = cr if cr >= 0 else lf
        if end < 0:
            self._scan = len(buf)
            return None
        after = end + 1
        if cr >= 0:
            if after == len(buf) and not final:  # a LF may follow: it would belong to this line
                self._scan = end
                return None
            if buf[after : after + 1] == b"\n":
                after += 1
        line = bytes(buf[self._line : end])
        self._line = self._scan = after
        return line

    def _take(self, line: bytes, frames: list[Frame]) -> None:
        if not line:
            if self._data:
                self._check(self._line)
                frames.append(Frame(b"\n".join(self._data), bytes(self._buf[: self._line]), self._event))
                self._data = []
                del self._buf[: self._line]
                self._line = self._scan = 0
            self._event = b""
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value

    def _check(self, size_bytes: int) -> None:
        if size_bytes > self._max:
            raise FrameTooLarge(f"an event of more than {self._max} bytes")
