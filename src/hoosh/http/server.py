"""Serving on a socket of our own until a signal, and a graceful end."""

import asyncio
import signal
import socket
from collections.abc import Callable

import msgspec

from hoosh.http.door import Doors, DoorSettings
from hoosh.http.listening import BACKLOG
from hoosh.http.routes import App

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    door: DoorSettings = DoorSettings()
    drain_s: float = 30.0


async def serve(app: App, listening: socket.socket, settings: ServerSettings, stopping: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. The first lets running calls end within `drain_s`, the second ends them at once.

    `stopping` is called when the end begins. Signals stay with the loop: what follows is not cut off by one more.
    """
    loop = asyncio.get_running_loop()
    doors = Doors(app, settings.door, app.watcher)
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            doors.break_off()
        stopped.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    server = await loop.create_server(doors.open, sock=listening, backlog=BACKLOG)
    await stopped.wait()
    stopping()
    server.close()
    await doors.drain(settings.drain_s)
