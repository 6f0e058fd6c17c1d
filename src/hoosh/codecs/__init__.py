"""Frames: bytes in, frames out, sans I/O. Any split of the bytes gives the same frames."""

from typing import Protocol

import msgspec

MAX_FRAME_BYTES = 8 << 20


class FrameTooLarge(ValueError):
    """One frame outgrew its limit: the peer is broken or hostile."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """
    One unit of a reply: `data` is its payload, `raw` the very bytes that carried it (comments before it
    included), so that they can be passed on untouched. `event` is SSE's event name, b"" if absent.
    """

    data: bytes
    raw: bytes
    event: bytes = b""


class Splitter(Protocol):
    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete. Raises FrameTooLarge."""

    def eof(self) -> list[Frame]:
        """The frames that the end of the stream completes; an unfinished frame is dropped."""
