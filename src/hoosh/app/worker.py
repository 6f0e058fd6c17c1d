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
from hoosh.app.launch import CLOSE_S, FromWorker, Launch, Ready, ToWorker
from hoosh.app.place import Place
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
    loop = asyncio.get_running_loop()
    patience_s = config.server.drain_s + CLOSE_S
    threading.Thread(
        target=_listen,
        args=(lines, lambda line: loop.call_soon_threadsafe(_told, engines, line), patience_s),
        daemon=True,
    ).start()
    place = Place(launch.index, launch.count, engines, Path(launch.counts) if launch.counts else None)
    path = Path(launch.path) if launch.path else None
    await serve_here(Gateway, Serving(config=config, path=path, place=place), lambda banner: say(Ready(banner)))


def _told(engines: Mapping[str, RemoteEngine], line: bytes) -> None:
    match _hear(line):
        case Found(model=model) as found:
            engines[model].hear(found)
        case Fares(model=model, state=state):
            engines[model].state = state


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
