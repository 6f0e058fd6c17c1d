"""What every command has: its configuration, an event loop, and a way to say things."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from hoosh.config.schema import Config

T = TypeVar("T")
ConfigPath = Annotated[Path | None, Parameter(name=["--config", "-c"], help="hoosh.toml to read.")]
AsJSON = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


def read_config(
    path: Path | None, environ: Mapping[str, str], known_types: Collection[str]
) -> "tuple[Config, Path | None]":
    """The configuration, and which file it is of. Raises ConfigError."""
    from hoosh.config.load import find, load  # noqa: PLC0415

    found = path or find(environ, Path.cwd())
    return load(found, environ, known_types), found


def run(main: Callable[[], Awaitable[T]]) -> T:
    async def started() -> T:
        return await main()

    with asyncio.Runner(loop_factory=_event_loop) as runner:
        return runner.run(started())


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415
    except ImportError:  # not on Windows
        return asyncio.new_event_loop()
    return new_event_loop()


def print_json(value: object) -> None:
    write(json.dumps(value, ensure_ascii=False) + "\n")


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
