"""Lines in a file of this machine's memory (mmap): to put one costs a copy and no system call, and it outlives a
process that is killed at any moment. Only a crash of the whole machine may lose what the store does not have yet.

A spool is some segments of one size, each with its room taken beforehand, so that a full disk is found when a segment
is made and never while one is written to. A record is its length, its checksum and its bytes; a length of zero ends
what is there. Which gateways live is told by a lock on a file beside the segments, which goes when its process goes.
"""

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from hoosh.core.errors import StoreFailed
from hoosh.stores.presence import locked, taken_over

SEGMENT_BYTES = 1 << 20
_HEAD = struct.Struct("<II")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_END = b"\0\0\0\0"


class _Segment:
    def __init__(self, path: Path) -> None:
        self.path = path
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, SEGMENT_BYTES)
            self.memory = mmap.mmap(fd, SEGMENT_BYTES)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        self.used_bytes = 0

    def put(self, record: bytes) -> bool:
        """Whether there was room. The end is written first, so that what is read never runs into what was before."""
        start, size = self.used_bytes, len(record)
        end = start + _HEAD.size + size
        if end + len(_END) > SEGMENT_BYTES:
            return False
        self.memory[start + _HEAD.size : end + len(_END)] = record + _END
        self.memory[start : start + _HEAD.size] = _HEAD.pack(size, zlib.crc32(record))
        self.used_bytes = end
        return True

    def clear(self) -> None:
        self.memory[:4] = _END
        self.used_bytes = 0

    def remove(self) -> None:
        self.memory.close()
        self.path.unlink(missing_ok=True)


class SpoolFile:
    """ports.Spool. Its files are made with the first record."""

    def __init__(self, directory: Path, gateway: str) -> None:
        self._directory = directory
        self._gateway = gateway
        self._lock = -1
        self._segments: list[_Segment] = []
        self._spare: list[_Segment] = []
        self._first = 0  # the number of the first segment in use, counted from the spool's beginning
        self._made = 0

    def put(self, record: bytes) -> None:
        if self._segments and self._segments[-1].put(record):
            return
        try:
            self._segments.append(self._fresh())
        except OSError as error:
            code = "storage_full" if error.errno in _FULL else "store_failed"
            raise StoreFailed(f"the journal of budgets cannot be written: {error.strerror}", code=code) from error
        if not self._segments[-1].put(record):
            raise StoreFailed("a record is too long for the journal of budgets")

    def mark(self) -> int:
        """A segment goes as a whole: what is in the last one stays until it is not the last, or all is forgotten."""
        if not self._segments:
            return 0
        return (self._first + len(self._segments) - 1) * SEGMENT_BYTES + self._segments[-1].used_bytes

    def forget(self, mark: int) -> None:
        if mark == self.mark():
            gone, self._segments = self._segments, []
        else:
            count = max(0, mark // SEGMENT_BYTES - self._first)
            gone, self._segments = self._segments[:count], self._segments[count:]
        self._first += len(gone)
        for segment in gone:
            segment.clear()
        self._spare += gone

    def close(self, *, keep: bool) -> None:
        """`keep` what another gateway shall tell the store."""
        for segment in (*self._segments, *self._spare):
            if keep:
                segment.memory.close()
            else:
                segment.remove()
        if self._lock >= 0:
            if not keep:
                _lock_path(self._directory, self._gateway).unlink(missing_ok=True)
            os.close(self._lock)
        self._segments, self._spare, self._lock = [], [], -1

    def _fresh(self) -> _Segment:
        if self._spare:
            return self._spare.pop(0)
        if self._lock < 0:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = locked(_lock_path(self._directory, self._gateway))
        self._made += 1
        return _Segment(self._directory / f"{self._gateway}.{self._made:06d}")


class LeftBehind:
    """The spool of a gateway that is no more, locked by us now."""

    def __init__(self, directory: Path, gateway: str, lock: int) -> None:
        self.gateway = gateway
        self._directory = directory
        self._lock = lock

    def records(self) -> Sequence[bytes]:
        """In order within each segment; which segment was first does not matter, for a line only ever goes up."""
        return [record for path in self._paths() for record in _read(path.read_bytes())]

    def remove(self) -> None:
        for path in self._paths():
            path.unlink(missing_ok=True)
        _lock_path(self._directory, self.gateway).unlink(missing_ok=True)
        os.close(self._lock)

    def _paths(self) -> Sequence[Path]:
        return sorted(self._directory.glob(f"{self.gateway}.[0-9]*"))


def left_behind(directory: Path) -> Iterator[LeftBehind]:
    """Spools whose gateways are dead."""
    for path in sorted(directory.glob("*.lock")):
        if (lock := taken_over(path)) is not None:
            yield LeftBehind(directory, path.stem, lock)


def _read(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + _HEAD.size <= len(data):
        size, checksum = _HEAD.unpack_from(data, at)
        record = data[at + _HEAD.size : at + _HEAD.size + size]
        if not size or len(record) < size or zlib.crc32(record) != checksum:
            return  # the end, or where the process was killed in the middle of a copy
        yield record
        at += _HEAD.size + size


def _lock_path(directory: Path, gateway: str) -> Path:
    return directory / f"{gateway}.lock"
