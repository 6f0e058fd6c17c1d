"""One of several gateway processes on a port: `python -m hoosh.app.worker`, started by app/workers.py.

    in    one line of JSON, `Launch`; then what the parent tells of its engines, a line each
    out   one line, `Ready`, once it serves; then what it wants of the engines, a line each
    err   the log

Law: it lives no longer than the one who holds its standard input. If that ends, it ends as after SIGTERM: what runs
gets its time.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from hoosh.app import Gateway, known_types
from hoosh.app.launch import CLOSE_S, FromWorker, Launch, Ready, Reload, ToWorker
from hoosh.app.place import Place
from hoosh.app.reloading import refuse, tell
from hoosh.app.serving import Serving, serve_here
from hoosh.config.load import load_text
from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError, HooshError
from hoosh.local.remote import Fares, Found, RemoteEngine
from hoosh.transport.loop import run

_READ_BYTES = 1 << 16


_hear = msgspec.json.Decoder(ToWorker).decode
_encode = msgspec.json.Encoder().encode


def main() -> None:
    # What anything prints on standard output must not end up between our lines.
    answers = os.dup(1)
    os.dup2(2, 1)
    lines = _lines(0)
    try:
        launch = msgspec.json.decode(next(lines), type=Launch)
    except StopIteration:  # the parent is gone already
        sys.exit(1)
    try:
        config = _config(launch)
        run(lambda: _serve(config, launch, lines, answers))
    except HooshError as error:
        sys.stderr.write(f"hoosh: {error.message}\n")
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def _config(launch: Launch) -> Config:
    path = Path(launch.path) if launch.path else None
    config = load_text(launch.text, path, os.environ, known_types())
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, port=launch.port))


async def _serve(config: Config, launch: Launch, lines: Iterator[bytes], answers: int) -> None:
    def say(value: FromWorker) -> None:
        with suppress(BrokenPipeError):  # the end of the parent comes by the other pipe
            os.write(answers, _encode(value) + b"\n")

    engines = {name: RemoteEngine(name, facts, say) for name, facts in launch.engines.items()}
    ear = _Ear(launch, engines)
    loop = asyncio.get_running_loop()
    patience_s = config.server.drain_s + CLOSE_S
    threading.Thread(
        target=_listen,
        args=(lines, lambda line: loop.call_soon_threadsafe(ear.told, line), patience_s),
        daemon=True,
    ).start()
    place = Place(launch.index, launch.count, engines, Path(launch.counts) if launch.counts else None)
    path = Path(launch.path) if launch.path else None
    what = Serving(config=config, path=path, place=place)
    await serve_here(Gateway, what, lambda banner: say(Ready(banner)), ear.know)


class _Ear:
    """What the parent tells. A configuration may come before there is a gateway to take it."""

    def __init__(self, launch: Launch, engines: Mapping[str, RemoteEngine]) -> None:
        self._launch = launch
        self._engines = engines
        self._gateway: Gateway | None = None
        self._text: str | None = None

    def know(self, gateway: Gateway) -> None:
        self._gateway = gateway
        if self._text is not None:
            self._reload(gateway, self._text)

    def told(self, line: bytes) -> None:
        match _hear(line):
            case Found(model=model) as found:
                self._engines[model].hear(found)
            case Fares(model=model, state=state):
                self._engines[model].state = state
            case Reload(text):
                self._text = text
                if self._gateway is not None:
                    self._reload(self._gateway, text)

    def _reload(self, gateway: Gateway, text: str) -> None:
        try:
            tell(gateway.adopt(_config(msgspec.structs.replace(self._launch, text=text))))
        except ConfigError as error:  # a secret's file may be gone since the parent looked
            refuse(error)


def _listen(lines: Iterator[bytes], pass_on: Callable[[bytes], object], patience_s: float) -> None:
    """Until the parent is gone, and then see to it that this process goes, too, even if its event loop hangs."""
    with suppress(RuntimeError):  # the loop is closed: we are going already
        for line in lines:
            pass_on(line)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience_s)
    os._exit(1)


def _lines(fd: int) -> Iterator[bytes]:
    """Past the buffer of sys.stdin: a thread that holds its lock aborts the interpreter when that ends."""
    rest = b""
    while data := os.read(fd, _READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


if __name__ == "__main__":
    main()
