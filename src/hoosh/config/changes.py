"""What is different between two configurations, in words; and which of it a running gateway can take."""

from collections.abc import Iterator, Mapping

import msgspec

from hoosh.config.schema import Config
from hoosh.config.secret import Secret

# What a gateway is made of at its start, and keeps until its end: sockets, stores, engines, files.
FIXED = (
    "server",
    "keys_store",
    "admin",
    "network",
    "store",
    "discovery",
    "embedded",
    "responses",
    "batches",
    "logging",
)


class Changes(msgspec.Struct, frozen=True):
    """`config` is the new one as far as it can be taken. `told` are the changes that it makes, `fixed` those that need
    a restart, each as "place: before -> after".
    """

    config: Config
    told: tuple[str, ...]
    fixed: tuple[str, ...]

    def lines(self) -> list[str]:
        return [*self.told, *(f"{line} (needs a restart)" for line in self.fixed)]


def changes(old: Config, new: Config) -> Changes:
    told: list[str] = []
    fixed: list[str] = []
    for name in Config.__struct_fields__:
        lines = _different(name, getattr(old, name), getattr(new, name))
        (fixed if name in FIXED else told).extend(lines)
    kept = msgspec.structs.replace(new, **{name: getattr(old, name) for name in FIXED})
    return Changes(kept, tuple(told), tuple(fixed))


def _different(place: str, old: object, new: object) -> Iterator[str]:
    """Secrets are told to have changed, and not how."""
    if old == new:
        return
    if type(old) is type(new) and isinstance(old, msgspec.Struct):
        for name in old.__struct_fields__:
            yield from _different(f"{place}.{name}", getattr(old, name), getattr(new, name))
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _between(place, old, new)
    elif _has_names(old) and _has_names(new):
        yield from _between(place, _named(old), _named(new))
        if _named(old).keys() == _named(new).keys() and list(_named(old)) != list(_named(new)):
            yield f"{place}: in another order"
    else:
        yield f"{place}: {_shown(old)} -> {_shown(new)}"


def _between(place: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in old.keys() - new.keys():
        yield f"{place}.{name}: removed"
    for name in new:
        if name in old:
            yield from _different(f"{place}.{name}", old[name], new[name])
        else:
            yield f"{place}.{name}: added"


def _has_names(value: object) -> bool:
    return isinstance(value, tuple) and all(hasattr(one, "name") for one in value)


def _named(values: object) -> dict[str, object]:
    return {str(one.name): one for one in values} if isinstance(values, tuple) else {}


def _shown(value: object) -> str:
    if isinstance(value, Secret):
        return "(secret)"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, msgspec.Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return "{" + ", ".join(f"{name} = {_shown(one)}" for name, one in fields if one not in (None, ())) + "}"
    return "none" if value is None else str(value)
