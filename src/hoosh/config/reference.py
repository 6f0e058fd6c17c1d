"""What the schema says about itself: a JSON schema for editors, a page of documentation, an example file.

All three are read from one tree, so that they cannot disagree.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from hoosh.config.schema import Config
from hoosh.config.secret import Secret

_UNITS = {
    "_s": "seconds",
    "_ms": "milliseconds",
    "_bytes": "bytes",
    "_tokens": "tokens",
    "_tokens_limit": "tokens",
    "_rpm": "requests per minute",
    "_percent": "percent",
    "capacity_usd": "USD",
    "_usd_per_mtok": "USD per million tokens",
    "_usd_per_minute": "USD per minute",
    "per_request_usd": "USD",
    "max_cost_usd": "USD",
    "rpm": "requests per minute",
    "tpm": "tokens per minute",
    "concurrency": "calls",
    "calls": "calls",
    "capacity": "tokens",
}

_SECRET = {
    "anyOf": [
        {"type": "string"},
        *(
            {
                "type": "object",
                "properties": {key: {"type": "string"}},
                "required": [key],
                "additionalProperties": False,
            }
            for key in ("env", "file")
        ),
    ]
}

_PAGE = """\
# Configuration

hoosh runs without any configuration. To change something, write a [TOML](https://toml.io/en/v1.0.0) file;
`hoosh config example` prints one to start from, `hoosh config check` says everything that is wrong with yours, with
line numbers, and `hoosh config schema` prints a JSON schema that lets an editor complete and check it while you type.

The first of these is read: `--config`, `$HOOSH_CONFIG`, `./hoosh.toml`, `$XDG_CONFIG_HOME/hoosh/hoosh.toml`
(`~/.config/hoosh/hoosh.toml`), `/etc/hoosh/hoosh.toml`. A key that hoosh does not know is an error, never ignored.
Relative files are looked for beside the configuration file.

**Environment.** `HOOSH_SERVER__PORT=9000` replaces `port` of `[server]`; so for every key of a table below.
Lists (`[[...]]`) and `[aliases]` are set in the file only. An empty variable counts as not set.

**Secrets.** `token`, `api_key`, `pepper` and `url` are written as `"$NAME"` or `{ env = "NAME" }` to take a variable of
the environment, as `{ file = "/run/secrets/name" }` to take a file that only its owner may read (mode 0600 or less), or
as the secret itself. A secret that cannot be had stops the start.

**Network.** On an address other than loopback, hoosh starts only with at least one of `[[keys]]`, or with
`keys_store.required` and keys that `hoosh keys` makes ([keys.md](keys.md)).

## Keys

| section | key | type | unit | default | meaning |
|---|---|---|---|---|---|
"""


def json_schema() -> bytes:
    """JSON schema draft 7, without references, for Taplo and Even Better TOML."""
    return (json.dumps(_tree(), indent=2, ensure_ascii=False) + "\n").encode()


def describe() -> str:
    """The Markdown page of every key."""
    return _PAGE + "".join(f"| {' | '.join(row)} |\n" for row in _rows())


def example() -> str:
    """A file that loads as it is and changes nothing: a line of `#` and no blank is a setting to uncomment."""
    lines = [
        "#:schema ./hoosh.schema.json",
        "# Every setting of hoosh. To change one, take its # away; what is shown is the default, or an example where",
        "# there is none. `hoosh config schema > hoosh.schema.json` lets your editor help.",
    ]
    for section, node in _tree()["properties"].items():
        lines += ["", f"# {node['description']}"]
        if "items" in node:
            lines.append(f"#[[{section}]]")
        else:
            lines.append(f"[{section}]")
        for key, setting in _settings(node).items():
            if "description" in setting:
                lines.append(f"# {setting['description']}")
            lines.append(f"#{key} = {_toml(_shown(setting))}")
    return "\n".join(lines) + "\n"


def _rows() -> Iterator[tuple[str, ...]]:
    for section, node in _tree()["properties"].items():
        header = f"[[{section}]]" if "items" in node else f"[{section}]"
        if "properties" not in node.get("items", node):
            yield f"`{header}`", "*name*", "string", "", "", node["description"]
            continue
        yield from _rows_of(header, node.get("items", node))


def _rows_of(header: str, fields: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The keys of a table, and after them those of the tables in it."""
    inner = []
    for key, setting in fields["properties"].items():
        unit = next((word for suffix, word in _UNITS.items() if key.endswith(suffix)), "")
        if key in fields.get("required", ()):
            default = "*required*"
        else:
            default = f"`{_toml(setting['default'])}`" if "default" in setting else ""
        yield f"`{header}`", f"`{key}`", _type(setting), unit, default, setting["description"]
        table = setting.get("items", setting)
        if "properties" in table:
            path = f"{header.strip('[]')}.{key}"
            inner.append((f"[[{path}]]" if "items" in setting else f"[{path}]", table))
    for path, table in inner:
        yield from _rows_of(path, table)


def _settings(node: dict[str, Any]) -> dict[str, Any]:
    """What may stand below a section's header; for a table of free names, its example."""
    fields = node.get("items", node)
    if "properties" in fields:
        found: dict[str, Any] = fields["properties"]
        return found
    return {name: {"default": value} for name, value in node["examples"][0].items()}


def _shown(setting: dict[str, Any]) -> Any:
    return setting["examples"][0] if "examples" in setting else setting["default"]


def _type(setting: dict[str, Any]) -> str:
    if "enum" in setting:
        return " or ".join(f"`{_toml(value)}`" for value in setting["enum"])
    if "anyOf" in setting:
        return "secret"
    if setting["type"] == "array":
        items = setting["items"]
        if "enum" in items:
            return f"array of {_type(items)}"
        return "array of secrets" if "anyOf" in items else f"array of {items['type']}s"
    if setting["type"] == "object":
        return "table"
    low, high = setting.get("minimum"), setting.get("maximum")
    if low is not None:
        return f"{setting['type']}, {low} to {high}"
    if "exclusiveMinimum" in setting:
        return f"{setting['type']}, more than {setting['exclusiveMinimum']}, up to {high}"
    return str(setting["type"])


def _toml(value: Any) -> str:
    """JSON's strings, numbers, booleans and arrays are TOML's; its objects are not."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _tree() -> dict[str, Any]:
    schema = msgspec.json.schema(Config, schema_hook=_custom)
    definitions = schema["$defs"]
    tree: dict[str, Any] = _inlined(definitions["Config"], definitions)
    return {"$schema": "http://json-schema.org/draft-07/schema#", **tree, "title": "hoosh.toml"}


def _custom(kind: type) -> dict[str, Any]:
    return _SECRET if kind is Secret else {"type": "string"}


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """`node` with its references replaced by what they name, and without what only says that nothing is said:
    nulls, which TOML has not, blank defaults and the structs' names.
    """
    if isinstance(node, list):
        return [_inlined(element, definitions) for element in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref", "").rpartition("/")[2]
    merged = {**definitions.get(reference, {}), **node}
    merged.pop("$ref", None)
    if isinstance(merged.get("title"), str):
        del merged["title"]
    if merged.get("default", "") in (None, "", {}) or "properties" in merged:
        merged.pop("default", None)
    if merged.get("required") == []:
        del merged["required"]
    choices = merged.get("anyOf", [])
    if {"type": "null"} in choices:
        rest = [choice for choice in choices if choice != {"type": "null"}]
        del merged["anyOf"]
        merged |= rest[0] if len(rest) == 1 else {"anyOf": rest}
    return {key: _inlined(value, definitions) for key, value in merged.items()}
