"""Serving on a socket of our own until a signal, and a graceful end."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable

import msgspec

from hoosh.core.errors import ConfigError
from hoosh.http.door import Doors, DoorSettings
from hoosh.http.routes import App

BACKLOG = 2048
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    door: DoorSettings = DoorSettings()
    drain_s: float = 30.0


def listen(bind: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError that says what to do."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bind, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} of {bind} is in use; try --port {port + 1}") from None
        raise ConfigError(f"cannot listen on {bind}:{port}: {error.strerror}") from None
    listening.setblocking(False)
    return listening


async def serve(app: App, listening: socket.socket, settings: ServerSettings, stopping: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. The first lets running calls end within `drain_s`, the second ends them at once.

    `stopping` is called when the end begins.
    """
    loop = asyncio.get_running_loop()
    doors = Doors(app, settings.door)
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            doors.abort()
        stopped.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        server = await loop.create_server(doors.open, sock=listening, backlog=BACKLOG)
        await stopped.wait()
        stopping()
        server.close()
        await doors.drain(settings.drain_s)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
