"""
A call whose arguments come in pieces: `partialArgs` hold a JSON path (RFC 9535, names and numbers only) and a value
each; `willContinue` says that more will come, of a string or of the call.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling (read 2026-11). Only
a client that asks for `streamFunctionCallArguments` in its own body gets it.
"""

import re
from itertools import pairwise
from typing import Any

import msgspec

from hoosh.core.errors import BadUpstream

MAX_DEPTH = 64
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]|\[(['\"])(.*?)\3\]")


class Piece(msgspec.Struct):
    json_path: str = msgspec.field(default="", name="jsonPath")
    string: str | None = msgspec.field(default=None, name="stringValue")
    number: int | float | None = msgspec.field(default=None, name="numberValue")
    boolean: bool | None = msgspec.field(default=None, name="boolValue")
    more: bool = msgspec.field(default=False, name="willContinue")

    @property
    def value(self) -> str | float | bool | None:
        for value in (self.string, self.number, self.boolean):
            if value is not None:
                return value
        return None


class Pieces:
    """The arguments of the call number `call`, so far."""

    __slots__ = ("_growing", "arguments", "call")

    def __init__(self, call: int) -> None:
        self.call = call
        self.arguments: dict[str, Any] = {}
        self._growing = ""  # the path of the string that goes on

    def add(self, piece: Piece) -> None:
        """Raises BadUpstream for a path that leads nowhere."""
        steps = _steps(piece.json_path)
        at: Any = self.arguments
        for step, then in pairwise(steps):
            at = _child(at, step, [] if isinstance(then, int) else {})
        value: Any = piece.value
        if isinstance(value, str) and self._growing == piece.json_path:
            value = f"{_child(at, steps[-1], '')}{value}"
        _set(at, steps[-1], value)
        self._growing = piece.json_path if piece.more else ""


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    end = 1
    for found in _STEP.finditer(path, end):
        if found.start() != end:
            break
        end = found.end()
        steps.append(int(found[2]) if found[2] else found[1] or found[4])
    if not 0 < len(steps) <= MAX_DEPTH or path[:1] != "$" or end != len(path):
        raise _lost(path)
    return steps


def _child(at: Any, step: str | int, fresh: Any) -> Any:
    if not _has(at, step):
        _set(at, step, fresh)
    return at[step]


def _has(at: Any, step: str | int) -> bool:
    return step < len(at) if isinstance(at, list) and isinstance(step, int) else isinstance(at, dict) and step in at


def _set(at: Any, step: str | int, value: Any) -> None:
    if _has(at, step) or (isinstance(at, dict) and isinstance(step, str)):
        at[step] = value
    elif isinstance(at, list) and step == len(at):  # never a gap: a hostile index would fill the memory
        at.append(value)
    else:
        raise _lost(str(step))


def _lost(path: str) -> BadUpstream:
    return BadUpstream(f"the provider sent an argument for no place: {path[:64]!r}")
