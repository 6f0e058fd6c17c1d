"""Running the ASGI application: a socket of our own, uvicorn behind it, a graceful end."""

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator

import msgspec
import uvicorn

from hoosh.core.errors import ConfigError
from hoosh.http.asgi import App
from hoosh.http.door import DoorSettings

BACKLOG = 2048


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    door: DoorSettings = DoorSettings()
    drain_s: float = 30.0
    keep_alive_s: int = 75


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


class Server(uvicorn.Server):
    """uvicorn raises its signals again after the last request, which would end the process before what is still
    owed is settled; so signals are handled here.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: App, listening: socket.socket, settings: ServerSettings, stopping: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. The first lets running calls end within `drain_s`, the second ends them at once.

    `stopping` is called when the end begins.
    """
    config = uvicorn.Config(
        app,
        http=settings.door.protocol(),  # type: ignore[arg-type]  # any callable that makes one will do
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_s,  # type: ignore[arg-type]  # it goes into asyncio.wait_for
        backlog=BACKLOG,
    )
    server = Server(config)

    def stop() -> None:
        if server.should_exit:
            server.force_exit = True
        server.should_exit = True
        stopping()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await server.serve(sockets=[listening])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
