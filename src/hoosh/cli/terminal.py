"""What every command has: its configuration, and a way to say things."""

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from hoosh.config.schema import Config

ConfigPath = Annotated[Path | None, Parameter(name=["--config", "-c"], help="hoosh.toml to read.")]
AsJSON = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


def read_config(
    path: Path | None, environ: Mapping[str, str], known_types: Collection[str]
) -> "tuple[Config, Path | None]":
    """The configuration, and which file it is of. Raises ConfigError."""
    from hoosh.config.load import find, load  # noqa: PLC0415

    found = path or find(environ, Path.cwd())
    return load(found, environ, known_types), found


def print_json(value: object) -> None:
    write(json.dumps(value, ensure_ascii=False) + "\n")


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
