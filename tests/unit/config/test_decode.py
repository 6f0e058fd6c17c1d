"""Each rule of a single value, as parsed TOML in and a sentence out."""

from pathlib import Path
from typing import Any

import pytest

from hoosh.config.access import KeyConfig
from hoosh.config.decode import Sources, decode
from hoosh.config.problem import Place
from hoosh.config.schema import Config, ProviderConfig, ServerConfig
from hoosh.config.secret import Secret

HIDDEN = "sk-0123456789abcdef"


def decoded(
    written: dict[str, Any], variables: tuple[Place, ...] = (), directory: Path = Path()
) -> tuple[Config, list[str]]:
    config, problems = decode(written, Sources({"TOKEN": HIDDEN}, directory), variables)
    return config, [problem.text for problem in problems]


def faults(written: dict[str, Any], variables: tuple[Place, ...] = ()) -> list[str]:
    return decoded(written, variables)[1]


def test_nothing_written_is_the_defaults() -> None:
    assert decoded({}) == (Config(), [])


def test_values_arrive() -> None:
    written = {
        "server": {"port": 9000, "drain_s": 5},
        "keys": [{"name": "a", "token": "$TOKEN"}],
        "providers": [{"type": "openai", "models": ["gpt-*"], "local": False}],
        "aliases": {"fast": "gpt-4.1-mini"},
    }
    assert decoded(written) == (
        Config(
            server=ServerConfig(port=9000, drain_s=5.0),
            keys=(KeyConfig(name="a", token=Secret(HIDDEN)),),
            providers=(ProviderConfig(type="openai", models=("gpt-*",), local=False),),
            aliases={"fast": "gpt-4.1-mini"},
        ),
        [],
    )


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ({"provders": []}, 'unknown key "provders", did you mean "providers"?'),
        ({"server": {"prt": 1}}, 'server: unknown key "prt", did you mean "port"?'),
        ({"keys": [{"name": "a", "token": "$TOKEN", "tokn": 1}]}, 'keys[0]: unknown key "tokn", did you mean "token"?'),
        ({"budgets": [{"name": "a", "capcity": 2}]}, 'budgets[0]: unknown key "capcity", did you mean "capacity"?'),
        ({"server": 3}, "server: expected table, got integer"),
        ({"server": []}, "server: expected table, got array"),
        ({"server": {"port": "9000"}}, "server.port: expected integer, got string"),
        ({"server": {"port": True}}, "server.port: expected integer, got boolean"),
        ({"server": {"port": 80.5}}, "server.port: expected integer, got number"),
        ({"server": {"port": {}}}, "server.port: expected integer, got table"),
        ({"server": {"port": 70000}}, "server.port: expected integer <= 65535"),
        ({"server": {"port": -1}}, "server.port: expected integer >= 0"),
        ({"server": {"drain_s": "x"}}, "server.drain_s: expected number, got string"),
        ({"server": {"drain_s": float("nan")}}, "server.drain_s: expected number >= 0.0"),
        ({"server": {"drain_s": float("inf")}}, "server.drain_s: expected number <= 3600.0"),
        ({"server": {"drain_s": 10**400}}, "server.drain_s: number out of range"),
        ({"server": {"header_timeout_s": 0}}, "server.header_timeout_s: expected number > 0.0"),
        ({"server": {"bind": 1}}, "server.bind: expected string, got integer"),
        ({"server": {"bind": "a\nb"}}, "server.bind: holds a character that cannot be printed"),
        ({"network": {"trust_env_proxy": 1}}, "network.trust_env_proxy: expected boolean, got integer"),
        ({"network": {"ca_file": 1}}, "network.ca_file: expected string, got integer"),
        ({"network": {"ca_file": "nope"}}, "network.ca_file: no such file: nope"),
        ({"network": {"ca_file": "x" * 5000}}, f"network.ca_file: no such file: {'x' * 5000}"),
        ({"network": {"ca_file": "`a`"}}, "network.ca_file: no such file: `a`"),
        ({"logging": {"level": "inof"}}, 'logging.level: unknown value "inof", did you mean "info"?'),
        ({"logging": {"format": "xml"}}, 'logging.format: unknown value "xml"; known: json, text'),
        ({"logging": {"format": 1}}, "logging.format: expected string, got integer"),
        ({"providers": {"type": "openai"}}, "providers: expected array of tables, [[providers]], got table"),
        ({"providers": ["openai"]}, "providers[0]: expected table, got string"),
        ({"providers": [{"type": 1}]}, "providers[0].type: expected string, got integer"),
        ({"providers": [{}]}, 'providers[0]: missing key "type"'),
        ({"providers": [{"type": "x", "local": "yes"}]}, "providers[0].local: expected boolean, got string"),
        ({"providers": [{"type": "x", "models": "gpt"}]}, "providers[0].models: expected array, got string"),
        ({"providers": [{"type": "x", "models": ["a", 2]}]}, "providers[0].models[1]: expected string, got integer"),
        ({"providers": [{"type": "x", "models": [""]}]}, "providers[0].models[0]: expected string of length >= 1"),
        ({"providers": [{"type": "x", "api_key": 5}]}, 'providers[0].api_key: expected string, {env = "NAME"} or {file = "PATH"}, got integer'),
        ({"providers": [{"type": "x", "api_key": "$NO"}]}, "providers[0].api_key: variable NO is not set"),
        ({"providers": [{"type": "x", "idle_timeout_s": "1"}]}, "providers[0].idle_timeout_s: expected number, got string"),
        ({"providers": [{"type": "x", "rate_limit_rpm": 0}]}, "providers[0].rate_limit_rpm: expected integer >= 1"),
        ({"providers": [{"type": "x", "name": "a/b"}]}, "providers[0].name: expected string matching regex '^[A-Za-z0-9][A-Za-z0-9._-]*$'"),
        ({"providers": [{"type": "x", "name": "a\n"}]}, "providers[0].name: holds a character that cannot be printed"),
        ({"keys": [{"name": "a"}]}, 'keys[0]: missing key "token"'),
        ({"budgets": [{"capacity": 1}]}, 'budgets[0]: missing key "name"'),
        ({"aliases": []}, "aliases: expected table, got array"),
        ({"aliases": {"a": 1}}, "aliases.a: expected string, got integer"),
        ({"aliases": {"a": ""}}, "aliases.a: expected string of length >= 1"),
        ({"aliases": {"": "a"}}, 'aliases."": a name is one or more printable characters'),
        ({"aliases": {"a\n": "a"}}, 'aliases."a\\n": a name is one or more printable characters'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(written: dict[str, Any], text: str) -> None:
    assert faults(written) == [text]


def test_all_mistakes_are_told_and_the_rest_is_read() -> None:
    written = {
        "server": {"port": "x", "drain_s": 5},
        "retry": 1,
        "keys": [{}, {"name": "b", "token": "$TOKEN"}],
        "providers": ["x", {"type": "openai", "models": [1, "a"]}],
        "aliases": {"a": "x", "b": 2},
    }
    config, texts = decoded(written)
    assert texts == [
        "server.port: expected integer, got string",
        "retry: expected table, got integer",
        'keys[0]: missing key "name"',
        'keys[0]: missing key "token"',
        "providers[0]: expected table, got string",
        "providers[1].models[0]: expected string, got integer",
        "aliases.b: expected string, got integer",
    ]
    assert config == Config(
        server=ServerConfig(drain_s=5.0),
        keys=(KeyConfig(name="", token=Secret()), KeyConfig(name="b", token=Secret(HIDDEN))),
        providers=(ProviderConfig(type=""), ProviderConfig(type="openai", models=("a",))),
        aliases={"a": "x"},
    )


def test_a_variables_text_is_read_as_the_type_of_its_key() -> None:
    written = {
        "server": {"port": "9000", "drain_s": "1.5", "bind": "10"},
        "embedded": {"preload": "false"},
        "logging": {"level": "debug"},
    }
    variables = tuple((section, key) for section, keys in written.items() for key in keys)
    config, texts = decoded(written, variables)
    assert texts == []
    assert (config.server.port, config.server.drain_s, config.server.bind) == (9000, 1.5, "10")
    assert (config.embedded.preload, config.logging.level) == (False, "debug")


@pytest.mark.parametrize(
    ("section", "key", "text", "kind"),
    [
        ("server", "port", "9000x", "integer"),
        ("server", "drain_s", "", "number"),
        ("embedded", "preload", "yes", "boolean"),
    ],
)
def test_a_variables_text_that_is_not_of_the_type(section: str, key: str, text: str, kind: str) -> None:
    assert faults({section: {key: text}}, ((section, key),)) == [f"{section}.{key}: expected {kind}, got string"]


def test_files_are_beside_the_configuration_and_a_variables_beside_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    for directory in (there, here):
        directory.mkdir()
        (directory / "ca.pem").touch()
    monkeypatch.chdir(here)
    written = {"network": {"ca_file": "ca.pem"}}
    assert decoded(written, directory=there)[0].network.ca_file == there / "ca.pem"
    assert decoded(written, (("network", "ca_file"),), there)[0].network.ca_file == Path("ca.pem")
    absolute = {"network": {"ca_file": str(here / "ca.pem")}}
    assert decoded(absolute, directory=there)[0].network.ca_file == here / "ca.pem"
