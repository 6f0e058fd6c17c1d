"""From parsed TOML to `Config`, with every mistake noted instead of the first one raised.

The structs say what is right; each single value is judged by msgspec. A value that failed is left at its default, or
blank where there is none, so that later checks can go on: whoever reads the result looks at the problems first.
"""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from hoosh.config.problem import Place, Problem, kind_of, label, problem_at, quoted, unknown
from hoosh.config.schema import Config
from hoosh.config.secret import Secret, read_secret

_WORDS = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
_TYPE = re.compile(r"(?<=^Expected )`(\w+)(?: \| null)?`")
_GOT = re.compile(r", got `\w+`$")


class Sources(msgspec.Struct, frozen=True):
    """Where values are that the configuration only names. Relative files are looked for in `directory`."""

    environ: Mapping[str, str]
    directory: Path


def decode(written: dict[str, Any], sources: Sources, variables: Collection[Place]) -> tuple[Config, list[Problem]]:
    """`variables` are the places whose value is an environment variable's text: "9000" is an integer there, and
    relative files are looked for where the process runs.
    """
    walk = _Walk(sources, variables)
    config: Config = walk.table(Config, written, ())
    return config, walk.problems


class _Walk:
    def __init__(self, sources: Sources, variables: Collection[Place]) -> None:
        self._sources = sources
        self._variables = variables
        self.problems: list[Problem] = []

    def table(self, cls: type[msgspec.Struct], written: object, place: Place) -> Any:
        fields = {field.name: field for field in msgspec.structs.fields(cls)}
        required = [field for field in fields.values() if field.required]
        if not isinstance(written, dict):
            self._expected("table", written, place)
            return cls(**{field.name: _plain(field.type)() for field in required})
        read: dict[str, Any] = {}
        for key, value in written.items():
            here = (*place, key)
            if key in fields:
                read[key] = self._value(fields[key].type, value, here)
            else:
                where = f"{label(place)}: " if place else ""
                self.problems.append(Problem(here, where + unknown("key", key, fields)))
        for field in required:
            if field.name not in written:
                self.problems.append(problem_at(place, f"missing key {quoted(field.name)}"))
            if read.get(field.name, msgspec.UNSET) is msgspec.UNSET:
                read[field.name] = _plain(field.type)()
        return cls(**{name: value for name, value in read.items() if value is not msgspec.UNSET})

    def _value(self, kind: Any, written: object, place: Place) -> Any:
        """The value, or UNSET when it is noted as a problem."""
        plain = _plain(kind)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            return self.table(plain, written, place)
        if get_origin(plain) is tuple:
            return self._array(get_args(plain)[0], written, place)
        if get_origin(plain) is dict:
            return self._names(get_args(plain)[1], written, place)
        if isinstance(written, str) and not written.isprintable():
            self.problems.append(problem_at(place, "holds a character that cannot be printed"))
            return msgspec.UNSET
        try:
            return self._single(kind, written, place)
        except msgspec.ValidationError as error:
            self.problems.append(problem_at(place, _sentence(plain, written, str(error))))
            return msgspec.UNSET

    def _array(self, kind: Any, written: object, place: Place) -> Any:
        if not isinstance(written, list):
            plain = _plain(kind)
            tables = isinstance(plain, type) and issubclass(plain, msgspec.Struct)
            self._expected(f"array of tables, [[{label(place)}]]" if tables else "array", written, place)
            return msgspec.UNSET
        elements = [self._value(kind, element, (*place, index)) for index, element in enumerate(written)]
        return tuple(element for element in elements if element is not msgspec.UNSET)

    def _names(self, kind: Any, written: object, place: Place) -> Any:
        if not isinstance(written, dict):
            self._expected("table", written, place)
            return msgspec.UNSET
        values = {}
        for name, value in written.items():
            if not name or not name.isprintable():
                self.problems.append(problem_at((*place, name), "a name is one or more printable characters"))
            else:
                values[name] = self._value(kind, value, (*place, name))
        return {name: value for name, value in values.items() if value is not msgspec.UNSET}

    def _single(self, kind: Any, written: object, place: Place) -> Any:
        named = place in self._variables
        directory = Path() if named else self._sources.directory

        def read(custom: type, value: object) -> Secret | Path:
            if custom is Secret:
                return read_secret(value, self._sources.environ, directory)
            return _file(value, directory)

        return msgspec.convert(written, kind, strict=not named, dec_hook=read)

    def _expected(self, what: str, written: object, place: Place) -> None:
        self.problems.append(problem_at(place, f"expected {what}, got {kind_of(written)}"))


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _file(written: object, directory: Path) -> Path:
    if not isinstance(written, str):
        raise ValueError(f"expected string, got {kind_of(written)}")  # noqa: TRY004  # msgspec reports it so
    path = directory / written
    if not os.path.isfile(path):  # noqa: PTH113  # pathlib's raises for some paths, by version
        raise ValueError(f"no such file: {path}")
    return path


def _sentence(plain: Any, written: object, error: str) -> str:
    """From msgspec's "Expected `int`, got `str`" to TOML's words."""
    if get_origin(plain) is Literal and isinstance(written, str):
        return unknown("value", written, get_args(plain))
    if not error.startswith(("Expected `", "Number ")):
        return error
    text = _GOT.sub(f", got {kind_of(written)}", error)
    text = _TYPE.sub(lambda found: _WORDS[found[1]], text)
    return text[0].lower() + text[1:]
