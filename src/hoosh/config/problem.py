"""What is wrong with a configuration, and where: a place is the path of keys and indices from the root."""

import json
import re
from collections.abc import Iterable

import msgspec

Place = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "table"}


class Problem(msgspec.Struct, frozen=True):
    """`text` is the whole sentence; `place` is only for finding the line."""

    place: Place
    text: str


def problem_at(place: Place, text: str) -> Problem:
    return Problem(place, f"{label(place)}: {text}")


def label(place: Place) -> str:
    """`providers[0].type`, as one would say it."""
    words = ""
    for step in place:
        if isinstance(step, int):
            words += f"[{step}]"
        else:
            words += f".{step if _BARE.fullmatch(step) else quoted(step)}"
    return words.removeprefix(".")


def quoted(text: str) -> str:
    """In double quotes and on one line, as TOML would write it."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def kind_of(written: object) -> str:
    """TOML's word for the type of a parsed value."""
    return _KINDS.get(type(written), type(written).__name__)


def unknown(what: str, got: str, known: Iterable[str]) -> str:
    """`unknown key "prot", did you mean "port"?`, or all there is when nothing is near."""
    import difflib  # noqa: PLC0415  # 9 ms that only a mistake should cost

    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(got.lower(), names, n=1)
    hint = f", did you mean {quoted(names[near[0]])}?" if near else f"; known: {', '.join(sorted(names.values()))}"
    return f"unknown {what} {quoted(got)}{hint}"
