"""`HOOSH_SERVER__PORT=9000` is `[server] port = 9000`: one variable for each single setting of a table.

A variable wins over the file; an empty one counts as not set. Names without `__` (HOOSH_CONFIG, HOOSH_HOME, ...) are
not settings and are left alone.
"""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from hoosh.config.problem import Place, unknown
from hoosh.config.schema import Config


def variables() -> dict[str, Place]:
    """Every variable that is a setting, and which one it is."""
    names: dict[str, Place] = {}
    for section in msgspec.structs.fields(Config):
        kind = get_args(section.type)[0]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for key in msgspec.structs.fields(kind):
                names[f"HOOSH_{section.name}__{key.name}".upper()] = (section.name, key.name)
    return names


def overrides(environ: Mapping[str, str]) -> tuple[dict[Place, str], list[str]]:
    """The variable that sets each place, and a line for each variable that sets nothing."""
    known = variables()
    in_file_only = {field.name.upper() for field in msgspec.structs.fields(Config)} - {
        place[0].upper() for place in known.values() if isinstance(place[0], str)
    }
    found: dict[Place, str] = {}
    wrong: list[str] = []
    for name in sorted(environ):
        if not name.startswith("HOOSH_") or "__" not in name or not environ[name]:
            continue
        section = name.removeprefix("HOOSH_").partition("__")[0]
        if name in known:
            found[known[name]] = name
        elif section in in_file_only:
            wrong.append(f"{name}: {section.lower()} can be set in the file only")
        else:
            wrong.append(f"{name}: {unknown('setting', name, known)}")
    return found, wrong


def overlay(written: dict[str, Any], found: dict[Place, str], environ: Mapping[str, str]) -> dict[str, Any]:
    """`written` with the variables' texts in their places. A section that is no table is left for its own error."""
    result = dict(written)
    for (section, key), name in found.items():
        table = result.get(str(section), {})
        if isinstance(table, dict):
            result[str(section)] = {**table, str(key): environ[name]}
    return result
