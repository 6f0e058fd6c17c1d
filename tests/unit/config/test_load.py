import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from hoosh.config.load import find, load, places
from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError

TYPES = {"openai", "ollama"}
HIDDEN = "sk-0123456789abcdef"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write `hoosh.toml` where the process runs, so that messages name it shortly."""
    monkeypatch.chdir(tmp_path)

    def written(text: str) -> Path:
        Path("hoosh.toml").write_bytes(text.encode())
        return Path("hoosh.toml")

    return written


def fault(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, TYPES)
    assert caught.value.message == str(caught.value)
    return caught.value.message.split("\n")


def test_no_file_is_the_defaults() -> None:
    assert load(None, {}, TYPES) == Config()


def test_an_empty_file_is_the_defaults(write: Write) -> None:
    assert load(write(""), {}, TYPES) == Config()


def test_a_file_is_read(write: Write) -> None:
    path = write('[server]\nport = 9000\n[[providers]]\ntype = "openai"\napi_key = "$K"\n')
    config = load(path, {"K": HIDDEN}, TYPES)
    assert config.server.port == 9000
    assert config.providers[0].api_key is not None
    assert config.providers[0].api_key.reveal() == HIDDEN


@pytest.mark.parametrize("text", ["\ufeff[server]\nport = 9000\n", "[server]\r\nport = 9000\r\n"], ids=["bom", "crlf"])
def test_what_editors_of_windows_write_is_read(write: Write, text: str) -> None:
    assert load(write(text), {}, TYPES).server.port == 9000


def test_variables_win_over_the_file(write: Write) -> None:
    path = write('[server]\nport = 1\nbind = "::1"\n')
    config = load(path, {"HOOSH_SERVER__PORT": "9000"}, TYPES)
    assert (config.server.port, config.server.bind) == (9000, "::1")


def test_variables_work_without_a_file() -> None:
    assert load(None, {"HOOSH_SERVER__PORT": "9000"}, TYPES).server.port == 9000


def test_a_secret_file_is_beside_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.toml"
    path.write_text('[[keys]]\nname = "a"\ntoken = { file = "token" }\n')
    (tmp_path / "token").write_text(HIDDEN + "\n")
    (tmp_path / "token").chmod(0o600)
    assert load(path, {}, TYPES).keys[0].token.reveal() == HIDDEN


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\n[provders]\n", '3: unknown key "provders", did you mean "providers"?'),
        ('\n\n\n\n\n[[providers]]\ntype = "opnai"', '7: providers[0].type: unknown provider "opnai", did you mean "openai"?'),
        ('\n\n\n\n\n\n\n[server]\nport = "x"', "9: server.port: expected integer, got string"),
        ("[server]\nprt = 1", '2: server: unknown key "prt", did you mean "port"?'),
        ("server.prt = 1", '1: server: unknown key "prt", did you mean "port"?'),
        ("server = {port = 1, prt = 1}", '1: server: unknown key "prt", did you mean "port"?'),
        ('\n[providers]\ntype = "openai"', "2: providers: expected array of tables, [[providers]], got table"),
        ('[[keys]]\nname = "a"\ntoken = "$U"\n[[keys]]\ntoken = "$T"', '4: keys[1]: missing key "name"'),
        ('[[keys]]\nname = "a"\ntoken = "$NO"', "3: keys[0].token: variable NO is not set"),
        ('[[providers]]\ntype = "openai"\n\n[[providers]]\ntype = "openai"', '4: providers[1].name: "openai" is already the name of providers[0]; give this one another'),
        ('[[keys]]\nname = "a"\ntoken = "$T"\n[[keys]]\nname = "a"\ntoken = "$U"', '5: keys[1].name: "a" is already the name of keys[0]; give this one another'),
        ('[aliases]\nb = "x"\na = "a"', "3: aliases.a: points to itself"),
        ('[[providers]]\ntype = "openai"\nmodels = [\n  "a",\n  5,\n]', "5: providers[0].models[1]: expected string, got integer"),
        ('[[providers]]\ntype = "openai"\nbase_url = "http://a:hidden@h"', "3: providers[0].base_url: a URL holds no user and no password; put the key in api_key"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line(write: Write, text: str, line: str) -> None:
    assert fault(write(text), {"T": HIDDEN + "1", "U": HIDDEN + "2"}) == [f"hoosh.toml:{line}"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    path = write(
        "[logging]\n"
        'level = "inof"\n'
        "[[providers]]\n"
        'type = "opnai"\n'
        "name = 5\n"
        'base_url = "h"\n'
        "[[keys]]\n"
        'token = "short"\n'
        "[aliases]\n"
        'a = "a"\n'
        "[sever]\n"
        "[server]\n"
        'port = "x"\n'
    )
    environ = {"HOOSH_SEVER__PORT": "1", "HOOSH_RETRY__TRIES": "0", "HOOSH_SERVER__BIND": "a b"}
    assert fault(path, environ) == [
        'hoosh.toml:2: logging.level: unknown value "inof", did you mean "info"?',
        'hoosh.toml:4: providers[0].type: unknown provider "opnai", did you mean "openai"?',
        "hoosh.toml:5: providers[0].name: expected string, got integer",
        'hoosh.toml:6: providers[0].base_url: expected a URL that begins with "http://" or "https://"',
        'hoosh.toml:7: keys[0]: missing key "name"',
        "hoosh.toml:8: keys[0].token: shorter than 16 characters; openssl rand -hex 24 makes a good one",
        "hoosh.toml:10: aliases.a: points to itself",
        'hoosh.toml:11: unknown key "sever", did you mean "server"?',
        "hoosh.toml:13: server.port: expected integer, got string",
        "HOOSH_RETRY__TRIES: retry.tries: expected integer >= 1",
        "HOOSH_SERVER__BIND: server.bind: expected an address or a host name; the port is server.port",
        'HOOSH_SEVER__PORT: unknown setting "HOOSH_SEVER__PORT", did you mean "HOOSH_SERVER__PORT"?',
    ]


def test_a_variable_alone_can_be_the_mistake() -> None:
    assert fault(None, {"HOOSH_SERVER__PORT": "http"}) == [
        "HOOSH_SERVER__PORT: server.port: expected integer, got string"
    ]


def test_no_secret_is_in_any_error(write: Write, tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{HIDDEN} 4")
    secret_file.chmod(0o600)
    path = write(
        f'[[keys]]\nname = "a"\ntoken = "{HIDDEN} 1"\n'
        f'[[keys]]\nname = "b"\ntoken = "${HIDDEN}"\n'
        f'[[keys]]\nname = "c"\ntoken = {{ env = "{HIDDEN}" }}\n'
        '[[keys]]\nname = "d"\ntoken = "$TOKEN"\n'
        '[[keys]]\nname = "e"\ntoken = { file = "secret" }\n'
        f'[[keys]]\nname = "f"\ntoken = ["{HIDDEN}"]\n'
        f'[[keys]]\nname = "g"\ntoken = "{HIDDEN}"\n'
        f'[[keys]]\nname = "h"\ntoken = "{HIDDEN}"\n'
        f'[[providers]]\ntype = "openai"\napi_key = "{HIDDEN}\\n"\nbase_url = "https://{HIDDEN}@h"\n'
        f'[[providers]]\ntype = "ollama"\napi_key = {{ key = "{HIDDEN}" }}\nbase_url = "https://h?key={HIDDEN}"\n'
    )
    lines = fault(path, {"TOKEN": f"{HIDDEN} 3"})
    assert [line.partition(": ")[0] for line in lines] == [
        f"hoosh.toml:{number}" for number in (3, 6, 9, 12, 15, 18, 24, 27, 28, 31, 32)
    ]
    assert HIDDEN not in "".join(lines)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\n\nb 2\n", "3: not TOML: Expected '=' after a key in a key/value pair (column 3)"),
        ("a = 1\na = 2\n", "2: not TOML: Cannot overwrite a value (column 6)"),
        (f"[[keys]]\ntoken = {HIDDEN}\n", "2: not TOML: Invalid value (column 9)"),
        ('a = 1\nb = """\nx\n', "3: not TOML: Unterminated string"),
        ("a = ", "1: not TOML: Invalid value"),
    ],
)
def test_what_is_not_toml_has_its_line(write: Write, text: str, line: str) -> None:
    assert fault(write(text)) == [f"hoosh.toml:{line}"]


@pytest.mark.parametrize("text", ["a = " + "1" * 5000, "a = " + "[" * 5000 + "]" * 5000], ids=["digits", "depth"])
def test_what_python_cannot_read_is_told(write: Write, text: str) -> None:
    assert fault(write(text)) == ["hoosh.toml: a number is too long or a value is nested too deep"]


def test_what_is_not_utf_8_has_its_line(write: Write) -> None:
    path = write("")
    path.write_bytes(b"a = 1\n# \xff\n")
    assert fault(path) == ["hoosh.toml:2: not UTF-8"]


def test_a_missing_file_is_told() -> None:
    assert fault(Path("nope.toml")) == ['no config at nope.toml. "hoosh config example" prints one to start from.']


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert fault(tmp_path) == [f"cannot read {tmp_path}: Is a directory"]


def test_the_places_in_order(tmp_path: Path) -> None:
    etc = Path("/etc/hoosh/hoosh.toml")
    environ = {"HOME": "/home/u", "XDG_CONFIG_HOME": "/xdg"}
    assert places(environ, tmp_path) == (tmp_path / "hoosh.toml", Path("/xdg/hoosh/hoosh.toml"), etc)
    home = Path("/home/u/.config/hoosh/hoosh.toml")
    assert places({"HOME": "/home/u"}, tmp_path) == (tmp_path / "hoosh.toml", home, etc)
    assert places({"HOME": "/home/u", "XDG_CONFIG_HOME": "relative"}, tmp_path)[1] == home
    assert places({}, tmp_path) == (tmp_path / "hoosh.toml", etc)


def test_the_nearest_file_is_found(tmp_path: Path) -> None:
    cwd, home = tmp_path / "cwd", tmp_path / "home"
    environ = {"HOME": str(home)}
    far, near = home / ".config/hoosh/hoosh.toml", cwd / "hoosh.toml"
    assert find(environ, cwd) in (None, Path("/etc/hoosh/hoosh.toml"))
    for path in (far, near):
        path.parent.mkdir(parents=True)
        path.touch()
        assert find(environ, cwd) == path
    assert find({**environ, "HOOSH_CONFIG": ""}, cwd) == near


def test_a_named_file_is_found_even_if_it_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "hoosh.toml").touch()
    assert find({"HOOSH_CONFIG": "other.toml"}, tmp_path) == tmp_path / "other.toml"
    assert find({"HOOSH_CONFIG": "/x/other.toml"}, tmp_path) == Path("/x/other.toml")


def test_what_is_found_here_is_named_shortly(write: Write) -> None:
    assert write("") == find({}, Path())


def test_loading_imports_nothing_heavy() -> None:
    """Without a file and without a mistake."""
    code = (
        "import sys, hoosh.config.load\n"
        "hoosh.config.load.load(None, {'HOOSH_SERVER__PORT': '1'}, ())\n"
        "print(sorted({'difflib', 'asyncio', 'ssl', 'hoosh.providers', 'hoosh.dialects'} & set(sys.modules)))"
    )
    environ = {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout == "[]\n"


# Every key of the schema.

BASE: dict[str, dict[str, Any]] = {
    "keys": {"name": "a", "token": HIDDEN},
    "providers": {"type": "openai"},
    "budgets": {"name": "other", "capacity": 1},
    "limits": {"model": "m", "rpm": 1},
    "prices": {"per_request_usd": 0.25},
    "routes": {"name": "r", "models": ["m"]},
}
INSTEAD = {("prices", "per_request_usd"): {"audio_input_usd_per_minute": 0.25}}
TOKENS = {"input_usd_per_mtok": 1.5, "output_usd_per_mtok": 2.5}
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("prices", "input_usd_per_mtok"): TOKENS,
    ("prices", "output_usd_per_mtok"): TOKENS,
    ("prices", "cached_input_usd_per_mtok"): TOKENS,
    ("prices", "cache_write_usd_per_mtok"): TOKENS,
    ("store", "url"): {"kind": "postgres"},
}
SPECIAL = {
    **{("keys", field): ["other"] for field in ("agents", "models", "pools", "routes")},
    ("keys", "expires"): dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
    ("keys_store", "pepper"): HIDDEN * 3,
    ("keys_store", "previous_pepper"): HIDDEN * 3,
    ("keys", "token"): HIDDEN + "2",
    ("server", "on_disconnect"): "drain",
    ("store", "url"): "postgresql://hoosh@127.0.0.1/hoosh",
    ("providers", "type"): "ollama",
    ("providers", "base_url"): "http://other",
    ("providers", "api_key"): HIDDEN,
    ("providers", "models"): ["other"],
    ("providers", "api_keys"): [HIDDEN],
    ("routing", "strategy"): "cheapest",
    ("routing", "sticky"): "prefix",
    ("routes", "name"): "s",
    ("routes", "models"): ["n"],
    ("routes", "strategy"): "cheapest",
    ("routes", "sticky"): "prefix",
    ("routes", "locality"): "only",
    ("routes", "fallback_on"): ["content"],
    ("retry", "ambiguous"): "always",
    ("logging", "level"): "error",
    ("logging", "format"): "text",
    ("budgets", "name"): "another",
    ("budgets", "parent"): "default",
    ("budgets", "time_zone"): "Asia/Tehran",
    ("budgets", "period"): "day",
    ("budgets", "alert_percents"): [50],
    ("budgets", "unbounded"): "allow",
    ("store", "kind"): "memory",
    ("store", "durability"): "durable",
    ("pricing", "unknown"): "deny",
    ("cache", "scope"): "pool",
    ("cache", "shared"): "store",
    ("prices", "provider"): "ollama",
}


# Tables within a table: test_configuration_has_effect plays them.
NESTED = {("budgets", "overrides"), ("routes", "when"), ("routes", "targets")}


def every_key() -> list[tuple[str, msgspec.structs.FieldInfo]]:
    keys = []
    for section in msgspec.structs.fields(Config):
        kind = get_args(section.type)[0]
        struct = get_args(kind)[0] if get_origin(kind) is tuple else kind
        if get_origin(kind) is not dict:
            fields = msgspec.structs.fields(struct)
            keys += [(section.name, field) for field in fields if (section.name, field.name) not in NESTED]
    return keys


def another(section: str, field: msgspec.structs.FieldInfo) -> Any:
    """A value that is right for the key and is not its default."""
    if (section, field.name) in SPECIAL:
        return SPECIAL[section, field.name]
    kind = str(get_args(field.type)[0])
    if "Path" in kind:
        return "other"
    if "bool" in kind:
        return field.default is not True
    if "int" in kind:
        return field.default + 1 if isinstance(field.default, int) else 77
    if "float" in kind:
        return field.default + 1.5 if isinstance(field.default, float) else 77.5
    return "other"


def toml(section: str, values: dict[str, Any]) -> str:
    header = f"[[{section}]]\n" if section in BASE else f"[{section}]\n"
    return header + "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in values.items())


@pytest.mark.parametrize(
    ("section", "field"), every_key(), ids=lambda part: part if isinstance(part, str) else part.name
)
def test_every_key_changes_what_is_loaded(write: Write, section: str, field: msgspec.structs.FieldInfo) -> None:
    Path("other").touch()
    budget = "" if section == "budgets" else toml("budgets", BASE["budgets"])
    value = another(section, field)

    def loaded(values: dict[str, Any], environ: dict[str, str]) -> Any:
        config = load(write(toml(section, values) + budget), environ, TYPES)
        found = getattr(config, section)
        return getattr(found[0] if section in BASE else found, field.name)

    key = (section, field.name)
    base = INSTEAD.get(key, BASE.get(section, {}))
    before, after = loaded(base, {}), loaded({**base, **BESIDE.get(key, {}), field.name: value}, {})
    assert before != after
    if field.type is not None and "Secret" in str(field.type):
        secrets = after if isinstance(after, tuple) else [after]
        assert [secret.reveal() for secret in secrets] == (value if isinstance(value, list) else [value])
    else:
        assert after == (Path(value) if isinstance(after, Path) else tuple(value) if isinstance(value, list) else value)
    if not field.required and field.name != "name" and field.name not in base:
        assert before == field.default
    if section not in BASE:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        assert loaded(BESIDE.get(key, {}), {f"HOOSH_{section}__{field.name}".upper(): text}) == after


def test_aliases_change_what_is_loaded(write: Write) -> None:
    assert load(write('[aliases]\n"a b" = "openai/m"\n'), {}, TYPES).aliases == {"a b": "openai/m"}
