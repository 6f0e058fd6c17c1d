"""A second listener of a process that serves already: the one for administration."""

import asyncio
import os
import socket
from pathlib import Path

from hoosh.config.access import AdminConfig
from hoosh.core.errors import ConfigError
from hoosh.http.door import Doors, DoorSettings
from hoosh.http.listening import BACKLOG, listen
from hoosh.http.routes import App

# What is asked here is short: when the gateway ends, what still runs gets this long.
DRAIN_S = 5.0


class SideServer:
    """`place` is where it is: a URL, or a path."""

    def __init__(self, place: str, server: asyncio.AbstractServer, doors: Doors) -> None:
        self.place = place
        self._server = server
        self._doors = doors

    async def stop(self) -> None:
        self._server.close()
        await self._doors.drain(DRAIN_S)
        await asyncio.to_thread(_remove, self.place)


async def administer(app: App, config: AdminConfig, door: DoorSettings) -> SideServer:
    """Raises ConfigError."""
    loop, doors = asyncio.get_running_loop(), Doors(app, door, app.watcher)
    if config.socket is not None:
        listening = listen_unix(Path(config.socket))
        server = await loop.create_unix_server(doors.open, sock=listening, backlog=BACKLOG)
        return SideServer(config.socket, server, doors)
    listening = listen(config.bind, config.port)
    place = f"http://{config.bind}:{listening.getsockname()[1]}"
    return SideServer(place, await loop.create_server(doors.open, sock=listening, backlog=BACKLOG), doors)


def listen_unix(path: Path) -> socket.socket:
    """A socket that only its owner may open. One that a dead process left is replaced. Raises ConfigError."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left_over(path):
            path.unlink()
        before = os.umask(0o177)  # from the first moment on: chmod would come after the file is there
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(f"admin.socket: cannot listen on {path}: {error.strerror or error}") from None
    listening.setblocking(False)
    return listening


def _is_left_over(path: Path) -> bool:
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def _remove(place: str) -> None:
    if Path(place).is_socket():
        Path(place).unlink(missing_ok=True)
