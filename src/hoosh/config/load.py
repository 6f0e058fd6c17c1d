"""Find the file, read it, and either give a whole `Config` or say everything that is wrong with it, line by line."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hoosh.config.checks import check
from hoosh.config.decode import Sources, decode
from hoosh.config.environment import overlay, overrides
from hoosh.config.positions import line_of, positions
from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def places(environ: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """Where a file is looked for when none is named, nearest first."""
    found = [cwd / "hoosh.toml"]
    # A relative one counts as not set: XDG Base Directory Specification 0.8.
    if (xdg := environ.get("XDG_CONFIG_HOME", "")) and Path(xdg).is_absolute():
        found.append(Path(xdg, "hoosh", "hoosh.toml"))
    elif home := environ.get("HOME"):
        found.append(Path(home, ".config", "hoosh", "hoosh.toml"))
    return (*found, Path("/etc/hoosh/hoosh.toml"))


def find(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The file that $HOOSH_CONFIG names, be it there or not, else the first of `places` that is there."""
    if named := environ.get("HOOSH_CONFIG"):
        return cwd / named
    # A place that may not be looked into is none; pathlib's is_file raises there before Python 3.14.
    return next((path for path in places(environ, cwd) if os.path.isfile(path)), None)  # noqa: PTH113


def load(path: Path | None, environ: Mapping[str, str], known_types: Collection[str]) -> Config:
    """The file at `path`, or the defaults for None, with the variables of `environ` laid over it.

    `known_types` are the names that a provider's `type` may be.
    Raises: ConfigError, whose message has one line for each mistake.
    """
    return load_text("" if path is None else read(path), path, environ, known_types)


def load_text(text: str, path: Path | None, environ: Mapping[str, str], known_types: Collection[str]) -> Config:
    """As `load`, of a file that was read before: who starts a process again means what it was started with.

    Raises: ConfigError.
    """
    written = _parsed(path, text)
    variables, lines = overrides(environ)
    sources = Sources(environ, Path() if path is None else path.parent)
    config, problems = decode(overlay(written, variables, environ), sources, variables)
    problems += check(config, known_types, {problem.place for problem in problems})
    if not problems and not lines:
        return config
    line_numbers = positions(text)
    told = []
    for problem in problems:
        if problem.place in variables:
            lines.append(f"{variables[problem.place]}: {problem.text}")
        else:
            line = line_of(problem.place, line_numbers)
            told.append((line, f"{path}:{line}: {problem.text}"))
    raise ConfigError("\n".join([sentence for _, sentence in sorted(told)] + sorted(lines)))


def read(path: Path) -> str:
    """Raises: ConfigError."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f'no config at {path}. "hoosh config example" prints one to start from.') from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8") from None


def _parsed(path: Path | None, text: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  # 20 ms that a server without a file need not pay

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _AT.search(message)
        line = at[1] if at and at[1] else len(text.splitlines()) or 1
        column = f" (column {at[2]})" if at and at[2] else ""
        raise ConfigError(f"{path}:{line}: not TOML: {_AT.sub('', message)}{column}") from None
    except (ValueError, RecursionError):
        # Python's own limits, which come without a position: integers of 4300 digits, tables in tables in tables.
        raise ConfigError(f"{path}: a number is too long or a value is nested too deep") from None
