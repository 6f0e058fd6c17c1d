"""Another configuration for a gateway that runs: read, checked, and taken as a whole or not at all.

It is read again when the process gets SIGHUP, when an admin asks, and with `server.watch_config` when the file changes.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Protocol

from hoosh.config.changes import Changes
from hoosh.config.load import load
from hoosh.config.schema import Config
from hoosh.core.errors import BadRequest, ConfigError
from hoosh.http.exchange import Exchange
from hoosh.http.routes import Route
from hoosh.providers.registry import known_types

log = logging.getLogger("hoosh.config")
LOOK_S = 1.0
Mark = tuple[int, int, int] | None


class Adopts(Protocol):
    def adopt(self, config: Config) -> Changes:
        """Raises ConfigError, and then nothing has changed."""


class Reloading:
    """`spread`: how the other workers are told to do the same, where there are any."""

    def __init__(
        self, gateway: Adopts, path: Path | None, environ: Mapping[str, str], spread: Callable[[], None] | None = None
    ) -> None:
        self._gateway = gateway
        self._path = path
        self._environ = environ
        self._spread = spread
        self._one = asyncio.Lock()
        self.route = Route(method="POST", path="/admin/reload", endpoint=self.page, name="admin")

    async def reload(self) -> Changes:
        """Raises ConfigError: the gateway then goes on as it was."""
        async with self._one:
            config = await asyncio.to_thread(load, self._path, self._environ, known_types())
            return tell(self._gateway.adopt(config))

    async def page(self, exchange: Exchange) -> None:
        try:
            changes = await self.reload()
        except ConfigError as error:
            raise BadRequest(f"nothing was changed: {error.message}", param="config") from None
        if self._spread is not None:
            self._spread()
        await exchange.answer({"changed": changes.told, "needs_restart": changes.fixed})

    async def try_to(self) -> None:
        """As `reload`; what is wrong is logged."""
        try:
            await self.reload()
        except ConfigError as error:
            refuse(error)


def tell(changes: Changes) -> Changes:
    lines = changes.lines()
    log.info("the configuration was read again: %s", "; ".join(lines) if lines else "nothing is different")
    return changes


def refuse(error: ConfigError) -> None:
    log.error("the configuration stays as it is: %s", error.message)


def reload_on_signal(reload: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Reload at SIGHUP until the answer is called."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()

    def start() -> None:
        task = loop.create_task(reload())
        running.add(task)
        task.add_done_callback(running.discard)

    loop.add_signal_handler(signal.SIGHUP, start)

    def end() -> None:
        loop.remove_signal_handler(signal.SIGHUP)
        for task in running:
            task.cancel()

    return end


def watching(path: Path, reload: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Reload when the file changes, until the answer is called."""
    task = asyncio.get_running_loop().create_task(watch(path, reload, _mark(path)))

    def end() -> None:
        task.cancel()

    return end


async def watch(path: Path, changed: Callable[[], Awaitable[None]], taken: Mark) -> None:
    """Call `changed` when the file is another one, and has stayed so for a look: it may be written in pieces."""
    before = taken
    while True:
        await asyncio.sleep(LOOK_S)
        now = await asyncio.to_thread(_mark, path)
        if now == before and now not in (taken, None):
            taken = now
            await changed()
        before = now


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
