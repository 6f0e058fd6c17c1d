"""Which processes live: each locks a file of its name, and the lock goes when the process goes, however it goes."""

import fcntl
import os
from pathlib import Path


def locked(path: Path) -> int:
    """A file that is locked before anybody can find it by its name: else it might be taken for one left behind."""
    making = path.with_suffix(".making")
    lock = os.open(making, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    making.rename(path)
    return lock


def taken_over(path: Path) -> int | None:
    """The lock of a process that is dead, ours now; None where it lives, or another has been here."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


class Presence:
    """That of this process, once it has `come`, and a look at others. Nothing is made before."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self._directory = directory
        self._lock = -1

    def come(self) -> None:
        """Also clears away the files of the dead."""
        if self._lock >= 0:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._directory.glob("*.lock"):
            if (lock := taken_over(path)) is not None:
                path.unlink(missing_ok=True)
                os.close(lock)
        self._lock = locked(self._path(self.name))

    def leave(self) -> None:
        if self._lock >= 0:
            self._path(self.name).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def is_dead(self, name: str) -> bool:
        """Whether a process that had come by this name is no more."""
        path = self._path(name)
        if not path.exists():
            return True
        lock = taken_over(path)
        if lock is None:
            return False
        os.close(lock)
        return True

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.lock"
