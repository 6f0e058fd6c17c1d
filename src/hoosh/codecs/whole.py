"""A body that means nothing until it is whole: one frame at the end."""

from hoosh.codecs import MAX_FRAME_BYTES, Frame, FrameTooLarge


class WholeBody:
    """Collects everything; `eof` gives the one frame (none for an empty body)."""

    __slots__ = ("_max", "_parts", "_size")

    def __init__(self, max_bytes: int = 8 * MAX_FRAME_BYTES) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._max = max_bytes

    def feed(self, data: bytes) -> list[Frame]:
        self._size += len(data)
        if self._size > self._max:
            raise FrameTooLarge(f"a body of more than {self._max} bytes")
        self._parts.append(data)
        return []

    def eof(self) -> list[Frame]:
        body = b"".join(self._parts)
        self._parts = []
        return [Frame(body, body)] if body else []
