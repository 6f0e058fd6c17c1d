"""Secrets: where they may be written, and a type that shows them to nobody who does not ask by name.

Four ways to write one: "$NAME" and {env = "NAME"} read a variable, {file = "PATH"} reads a file that only its owner
may read, anything else is the secret itself.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from hoosh.config.problem import kind_of

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What an HTTP field value may hold without quoting; a secret ends in one. RFC 9110 section 5.5.
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class Secret:
    """Prints as `***` everywhere; msgspec, json and pickle refuse it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never written")


def read_secret(written: object, environ: Mapping[str, str], directory: Path) -> Secret:
    """The secret that `written` is or names; a relative file is looked for in `directory`.

    Raises: ValueError, with a text that names the variable or the file and never the value.
    """
    match written:
        case str() if written.startswith("$"):
            return _from_variable(written[1:], environ)
        case str():
            return _visible(written, "the secret")
        case {"env": str(name), **rest} if not rest:
            return _from_variable(name, environ)
        case {"file": str(path), **rest} if not rest:
            return _from_file(directory / path)
    raise ValueError(f'expected string, {{env = "NAME"}} or {{file = "PATH"}}, got {kind_of(written)}')


def _from_variable(name: str, environ: Mapping[str, str]) -> Secret:
    # What is no name may be the secret itself in the wrong place: it is not repeated.
    if not _NAME.fullmatch(name):
        raise ValueError('after "$" or env stands the name of a variable: letters, digits and "_"')
    value = environ.get(name)
    if value is None:
        raise ValueError(f"variable {name} is not set")
    return _visible(value, f"variable {name}")


def _from_file(path: Path) -> Secret:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"{path} is not a file")
        # Windows has no such bits and reports all of them.
        if os.name == "posix" and mode & 0o077:
            raise ValueError(f"{path} may be read by others (mode {mode & 0o777:04o}); chmod 600 it")
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    return _visible(text.removesuffix("\n").removesuffix("\r"), str(path))


def _visible(value: str, origin: str) -> Secret:
    if not value:
        raise ValueError(f"{origin} is empty")
    if not _VISIBLE.fullmatch(value):
        raise ValueError(f"{origin} holds a blank or a character that is not visible ASCII")
    return Secret(value)
