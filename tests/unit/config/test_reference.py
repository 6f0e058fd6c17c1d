import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hoosh.config.load import load
from hoosh.config.reference import describe, example, json_schema
from hoosh.config.schema import Config

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA: dict[str, Any] = json.loads(json_schema())
TYPES = {"openai", "ollama"}


def settings() -> list[tuple[str, str, dict[str, Any], bool]]:
    """Section, key, its schema, whether it is required."""
    found = []
    for section, node in SCHEMA["properties"].items():
        fields = node.get("items", node)
        for key, setting in fields.get("properties", {}).items():
            found.append((section, key, setting, key in fields.get("required", ())))
    return found


ALL = settings()


@pytest.mark.parametrize(
    ("name", "content"), [("hoosh.schema.json", json_schema()), ("config.md", describe().encode())]
)
def test_the_files_in_docs_are_up_to_date(name: str, content: bytes) -> None:
    """`make docs` writes them again."""
    assert (DOCS / name).read_bytes() == content


def test_the_walk_sees_every_key() -> None:
    assert len(ALL) == 164
    assert list(SCHEMA["properties"]) == list(Config.__struct_fields__)


@pytest.mark.parametrize(("section", "key", "setting", "required"), ALL, ids=[f"{row[0]}.{row[1]}" for row in ALL])
def test_every_key_is_described(section: str, key: str, setting: dict[str, Any], required: bool) -> None:
    assert re.fullmatch(r"[A-Z].{10,}\.", setting["description"])
    # One or the other: a default, or an example of what to write.
    assert required or "default" in setting or "examples" in setting
    assert "default" not in setting or not required
    row = next(line for line in describe().splitlines() if re.match(rf"\| `\[+{section}\]+` \| `{key}` \|", line))
    assert setting["description"] in row
    assert ("*required*" in row) == required


@pytest.mark.parametrize(("section", "key", "setting", "required"), ALL, ids=[f"{row[0]}.{row[1]}" for row in ALL])
def test_every_number_is_bounded_and_every_measure_has_a_unit(
    section: str, key: str, setting: dict[str, Any], required: bool
) -> None:
    if setting.get("type") not in ("integer", "number"):
        return
    assert "maximum" in setting
    assert "minimum" in setting or "exclusiveMinimum" in setting
    row = next(line for line in describe().splitlines() if re.match(rf"\| `\[+{section}\]+` \| `{key}` \|", line))
    counts = {"port", "priority", "tries", "max_attempts", "parallel", "threads", "keep_days", "max_entries"}
    counts |= {"failures_per_minute", "workers", "keep_decisions", "failures", "max_lines", "queue"}
    assert (row.split(" | ")[3].strip() == "") == (key in counts)


@pytest.mark.parametrize(
    "row",
    [
        "| `[server]` | `port` | integer, 0 to 65535 |  | `8088` | TCP port to listen on; 0 takes any free one. |",
        "| `[[keys]]` | `token` | secret |  | *required* | What the client sends as its API key; at least 16 characters. |",
        "| `[[providers]]` | `models` | array of strings |  | `[]` | Globs of the models it may serve; all if empty. |",
        '| `[aliases]` | *name* | string |  |  | Other names for models: name = "model" or "provider/model". |',
        "| `[[budgets]]` | `capacity` | integer, 1 to 1000000000000 | tokens |  | Tokens that may be used in one period; no limit if not given. |",
        "| `[discovery]` | `timeout_ms` | integer, 1 to 60000 | milliseconds | `300` | Time for a local server to answer. |",
        '| `[logging]` | `level` | `"debug"` or `"error"` or `"info"` or `"warning"` |  | `"info"` | Least severe entry that is written. |',
    ],
)  # fmt: skip
def test_rows_of_the_page(row: str) -> None:
    assert row in describe().splitlines()


def test_no_cell_breaks_the_table() -> None:
    rows = [line for line in describe().splitlines() if line.startswith("|")]
    nested = {"[[budgets.overrides]]": 5, "[[routes.targets]]": 4, "[routes.when]": 12}
    for header, count in nested.items():
        assert sum(row.startswith(f"| `{header}`") for row in rows) == count
    assert len(rows) == 2 + len(ALL) + 1 + sum(nested.values())
    assert {row.count("|") for row in rows} == {7}


def test_the_schema_for_editors() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert SCHEMA["title"] == "hoosh.toml"
    assert SCHEMA["additionalProperties"] is False
    text = json_schema().decode()
    assert "$ref" not in text
    assert "null" not in text
    provider = SCHEMA["properties"]["providers"]["items"]
    assert provider["required"] == ["type"]
    assert provider["additionalProperties"] is False
    assert provider["properties"]["local"] == {
        "description": "Whether no data leaves your machines; what the type says if not given.",
        "examples": [True],
        "type": "boolean",
    }
    assert [choice.get("required", choice["type"]) for choice in provider["properties"]["api_key"]["anyOf"]] == [
        "string",
        ["env"],
        ["file"],
    ]
    assert SCHEMA["properties"]["aliases"]["additionalProperties"] == {"type": "string", "minLength": 1}
    assert SCHEMA["properties"]["server"]["properties"]["port"] == {
        "description": "TCP port to listen on; 0 takes any free one.",
        "type": "integer",
        "minimum": 0,
        "maximum": 65535,
        "default": 8088,
    }


def test_the_example_loads_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.toml"
    path.write_text(example(), encoding="utf-8")
    assert example().startswith("#:schema ./hoosh.schema.json\n")
    assert load(path, {}, TYPES) == Config()


def test_the_example_loads_with_every_setting_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.toml"
    text = re.sub(r"(?m)^#(?=[\[a-z\"])", "", example())
    # A url is for a store that has one.
    path.write_text(text.replace('kind = "sqlite"', 'kind = "postgres"'), encoding="utf-8")
    for name in ("ca.pem", "model.gguf", "hoosh.db"):
        (tmp_path / name).touch()
    environ = {
        "LAPTOP_TOKEN": "0123456789abcdef",
        "OPENAI_API_KEY": "k",
        "OPENAI_API_KEY_2": "l",
        "HOOSH_STORE_URL": "postgresql://h/d",
    }
    config = load(path, {**environ, "HOOSH_PEPPER": "p" * 32, "OLD_PEPPER": "o" * 32}, TYPES)
    server = msgspec.structs.replace(config.server, host="")  # has an example in the place of a default
    assert (server, config.retry, config.discovery, config.logging) == (
        Config().server,
        Config().retry,
        Config().discovery,
        Config().logging,
    )
    assert (config.keys[0].name, config.providers[0].name, config.budgets[0].capacity) == ("laptop", "work", 1_000_000)
    assert config.providers[0].models == ("gpt-*", "o*")
    assert config.network.ca_file == tmp_path / "ca.pem"
    assert config.aliases == {"fast": "openai/gpt-4.1-mini"}


def test_the_example_shows_every_key() -> None:
    lines = example().splitlines()
    for section, key, _, _ in ALL:
        header = next(index for index, line in enumerate(lines) if line.strip("#[]") == section)
        end = lines.index("", header) if "" in lines[header:] else len(lines)
        assert sum(line.startswith(f"#{key} = ") for line in lines[header:end]) == 1
