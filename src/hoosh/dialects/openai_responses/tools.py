"""
Tools: functions, and what stands for a function where a provider has no more than those.

A custom tool takes plain text: it becomes a function with one string, `input`. A namespace (Codex sends its MCP servers
so) holds functions of its own: each becomes one, named after both. `Names` leads back from the function to the tool.
"""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import msgspec

from hoosh.core.asked import ForeignTool, Tool

NAME = "openai_responses"
# OpenAI's own bound; other vendors have the same or none.
MAX_NAME_CHARS = 64
_INPUT_SCHEMA = (
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)


T = TypeVar("T")


class _Tool(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None
    tools: list[msgspec.Raw] | None = None


class _Input(msgspec.Struct):
    input: str


class Misplaced(Exception):
    """JSON of the wrong shape at `where` in a request."""

    def __init__(self, error: msgspec.ValidationError, where: str) -> None:
        super().__init__(where)
        self.error = error
        self.where = where


class Called(msgspec.Struct, frozen=True):
    """A tool as its client calls it."""

    name: str
    namespace: str = ""
    custom: bool = False


_tool = msgspec.json.Decoder(_Tool)
_input = msgspec.json.Decoder(_Input)
_encode = msgspec.json.Encoder().encode


class Names:
    """From a function's name to the client's tool and back."""

    __slots__ = ("_flat", "called")

    def __init__(self, tools: Sequence[Tool]) -> None:
        called: dict[str, Called] = {}
        for tool in tools:
            if tool.native is not None:
                called[tool.name] = _called(tool.name, tool.native, called)
        self.called: Mapping[str, Called] = MappingProxyType(called)
        self._flat = {(one.namespace, one.name): flat for flat, one in called.items()}

    def of(self, function: str) -> Called:
        return self.called.get(function) or Called(function)

    def declared(self, namespace: str, name: str) -> str:
        """The function that stands for the tool; one that was never declared (tool search finds such) is itself."""
        return self._flat.get((namespace, name)) or name

    def flat(self, namespace: str, name: str) -> str:
        """The function that stands for the tool; a namespace that is not declared (any more) is joined as ever."""
        if not namespace:
            return name
        return self._flat.get((namespace, name)) or flattened(namespace, name)


def decode(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, where: str) -> T:
    """Raises Misplaced."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise Misplaced(error, where) from error


def read(given: Sequence[msgspec.Raw]) -> tuple[tuple[Tool, ...], tuple[ForeignTool, ...]]:
    """Raises Misplaced."""
    tools: list[Tool] = []
    foreign: list[ForeignTool] = []
    for k, raw in enumerate(given):
        tool = decode(_tool, raw, f"tools[{k}]")
        match tool.type:
            case "function":
                tools.append(_function(tool, tool.name))
            case "custom":
                native = ForeignTool(NAME, "custom", bytes(raw))
                tools.append(Tool(tool.name, tool.description or "", _INPUT_SCHEMA, native=native))
            case "namespace":
                tools += _unfolded(tool, bytes(raw), {known.name for known in tools}, f"tools[{k}]")
            case _:
                foreign.append(ForeignTool(NAME, tool.type, bytes(raw)))
    return tuple(tools), tuple(foreign)


def flattened(namespace: str, name: str) -> str:
    """Codex ends a namespace in "__" itself."""
    joined = namespace + name if namespace.endswith("__") else f"{namespace}__{name}"
    if len(joined) <= MAX_NAME_CHARS:
        return joined
    mark = hashlib.sha256(joined.encode()).hexdigest()[:8]
    return f"{joined[: MAX_NAME_CHARS - 9]}_{mark}"


def wrapped(text: str) -> str:
    """A custom tool's input as a function's arguments."""
    return _encode({"input": text}).decode()


def unwrapped(arguments: str) -> str:
    """The other way round; arguments of another shape, which a model may make up, are the input as they stand."""
    try:
        return _input.decode(arguments).input
    except msgspec.DecodeError:
        return arguments


def _function(tool: _Tool, name: str, native: ForeignTool | None = None) -> Tool:
    schema = bytes(tool.parameters)
    schema = b"" if schema == b"null" else schema
    return Tool(name, tool.description or "", schema, tool.strict, native=native)


def _unfolded(space: _Tool, raw: bytes, taken: set[str], where: str) -> list[Tool]:
    native = ForeignTool(NAME, "namespace", raw)
    found: list[Tool] = []
    for k, inner in enumerate(space.tools or ()):
        tool = decode(_tool, inner, f"{where}.tools[{k}]")
        name = _free(flattened(space.name, tool.name), taken)
        taken.add(name)
        if tool.type == "custom":
            found.append(Tool(name, tool.description or "", _INPUT_SCHEMA, native=native))
        else:
            found.append(_function(tool, name, native))
    return found


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free = f"{name[: MAX_NAME_CHARS - 3]}_{number}"
        number += 1
    return free


def _called(flat: str, native: ForeignTool, known: Mapping[str, Called]) -> Called:
    """What `flat` stands for: in a namespace, the first of its tools that no earlier function stands for."""
    declared = _tool.decode(native.json)
    if native.kind == "custom":
        return Called(declared.name, custom=True)
    for inner in declared.tools or ():
        tool = _tool.decode(inner)
        one = Called(tool.name, declared.name, custom=tool.type == "custom")
        if one not in known.values():
            return one
    return Called(flat)
