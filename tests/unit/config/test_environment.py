import pytest

from hoosh.config.environment import overlay, overrides, variables


def test_every_single_setting_of_a_table_has_a_variable() -> None:
    known = variables()
    assert known["HOOSH_SERVER__PORT"] == ("server", "port")
    assert known["HOOSH_NETWORK__FIRST_BYTE_TIMEOUT_S"] == ("network", "first_byte_timeout_s")
    tables = {"server", "network", "retry", "discovery", "embedded", "responses", "batches", "logging"}
    tables |= {"keys_store", "admin", "store", "pricing", "routing", "health", "cache", "overload"}
    assert {place[0] for place in known.values()} == tables


def test_what_is_set() -> None:
    environ = {"HOOSH_SERVER__PORT": "9000", "HOOSH_LOGGING__LEVEL": "debug", "PATH": "/bin"}
    assert overrides(environ) == (
        {("server", "port"): "HOOSH_SERVER__PORT", ("logging", "level"): "HOOSH_LOGGING__LEVEL"},
        [],
    )


@pytest.mark.parametrize(
    "name",
    ["HOOSH_HOME", "HOOSH_CONFIG", "HOOSH_API_KEY", "HOOSH_URL", "HOOSH_MODEL", "HOOSH_PACKAGE_INDEX", "HOOSH_WIRE",
     "HOOSH_PORT", "OTHER_SERVER__PORT", "hoosh_server__port"],
)  # fmt: skip
def test_other_names_are_left_alone(name: str) -> None:
    assert overrides({name: "x"}) == ({}, [])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("HOOSH_SEVER__PORT", 'unknown setting "HOOSH_SEVER__PORT", did you mean "HOOSH_SERVER__PORT"?'),
        ("HOOSH_SERVER__PRT", 'unknown setting "HOOSH_SERVER__PRT", did you mean "HOOSH_SERVER__PORT"?'),
        ("HOOSH_SERVER__PORT__X", 'unknown setting "HOOSH_SERVER__PORT__X", did you mean "HOOSH_SERVER__PORT"?'),
        ("HOOSH_KEYS__0__TOKEN", "keys can be set in the file only"),
        ("HOOSH_PROVIDERS__0__TYPE", "providers can be set in the file only"),
        ("HOOSH_BUDGETS__0__NAME", "budgets can be set in the file only"),
        ("HOOSH_ALIASES__FAST", "aliases can be set in the file only"),
    ],
)
def test_a_variable_that_sets_nothing_is_a_mistake(name: str, line: str) -> None:
    assert overrides({name: "hidden"}) == ({}, [f"{name}: {line}"])


def test_an_empty_variable_is_not_set() -> None:
    assert overrides({"HOOSH_SERVER__PORT": "", "HOOSH_SEVER__PORT": ""}) == ({}, [])


def test_overlay_wins_over_the_file_and_leaves_it_as_it_was() -> None:
    written = {"server": {"port": 1, "bind": "::1"}, "keys": []}
    environ = {"HOOSH_SERVER__PORT": "2", "HOOSH_LOGGING__LEVEL": "debug"}
    assert overlay(written, overrides(environ)[0], environ) == {
        "server": {"port": "2", "bind": "::1"},
        "keys": [],
        "logging": {"level": "debug"},
    }
    assert written == {"server": {"port": 1, "bind": "::1"}, "keys": []}


def test_overlay_leaves_a_section_that_is_no_table() -> None:
    assert overlay({"server": 3}, {("server", "port"): "A"}, {"A": "2"}) == {"server": 3}
