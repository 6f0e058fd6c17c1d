"""Numbers of several workers on one port, so that a scrape of any one of them is of all.

Each place among the workers has a file, which its process replaces every second and before each answer: what was told
once is never taken back, also when that process dies. Who takes the place of a dead one counts on from its file.
"""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hoosh.telemetry.families import Numbers

# What a process that is gone, or hangs, says of the present is not told for longer.
FRESH_NS = 5_000_000_000
log = logging.getLogger("hoosh.metrics")


class Told(msgspec.Struct, frozen=True):
    """`counts` only grow; `now` is of the moment `told_ns`, by the machine's monotonic clock."""

    told_ns: int
    counts: Numbers
    now: Numbers


_decode = msgspec.msgpack.Decoder(Told).decode
_encode = msgspec.msgpack.Encoder().encode


class Siblings:
    """`directory` belongs to the workers of one parent, and this process has the place `index` of `count`."""

    def __init__(self, directory: Path, index: int, count: int) -> None:
        self._directory = directory
        self._path = directory / str(index)
        self._others = tuple(directory / str(other) for other in range(count) if other != index)
        self._has_failed = False

    def inherited(self) -> Numbers:
        """What those who had this place before had counted."""
        told = _read(self._path)
        return told.counts if told else {}

    def tell(self, counts: Numbers, now: Numbers) -> None:
        """Another reader sees the whole of it or the one before."""
        making = self._path.with_suffix(".making")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            making.write_bytes(_encode(Told(time.monotonic_ns(), counts, now)))
            making.replace(self._path)
        except OSError as error:
            if not self._has_failed:
                log.warning("metrics of this worker cannot be written for the others: %s", error.strerror)
            self._has_failed = True
        else:
            self._has_failed = False

    def others(self) -> Iterator[Numbers]:
        fresh_ns = time.monotonic_ns() - FRESH_NS
        for path in self._others:
            if told := _read(path):
                yield told.counts
                if told.told_ns > fresh_ns:
                    yield told.now


def _read(path: Path) -> Told | None:
    """None where there is none yet, or it is of another version."""
    try:
        return _decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
