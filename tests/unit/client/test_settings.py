"""Where the gateway is, from arguments and environment."""

import pytest

from hoosh.client.settings import Options, Settings, resolve
from hoosh.core.errors import ConfigError


def of(url: str | None = None, **environ: str) -> Settings:
    return resolve(Options(base_url=url), environ)


@pytest.mark.parametrize(
    ("given", "url", "prefix"),
    [
        ("http://127.0.0.1:8088", "http://127.0.0.1:8088", ""),
        ("http://127.0.0.1:8088/", "http://127.0.0.1:8088", ""),
        ("http://127.0.0.1:8088/v1", "http://127.0.0.1:8088", ""),
        ("https://ai.example/gw/v1/", "https://ai.example/gw", "/gw"),
        ("https://ai.example:443", "https://ai.example", ""),
        ("http://[::1]:9/x", "http://[::1]:9/x", "/x"),
        ("http://host", "http://host", ""),
    ],
)
def test_addresses(given: str, url: str, prefix: str) -> None:
    assert (of(given).url, of(given).prefix) == (url, prefix)


@pytest.mark.parametrize(
    "given", ["localhost:8088", "ftp://x", "http://", "http://x:y", "http://x/?a=b", "http://x/#f"]
)
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(ConfigError, match="not an address"):
        of(given)


def test_a_key_does_not_go_into_the_address() -> None:
    with pytest.raises(ConfigError, match="api_key") as raised:
        of("http://user:secret@host")
    assert "secret" not in raised.value.message


def test_the_environment_stands_in() -> None:
    found = of(HOOSH_URL="http://h:1", HOOSH_API_KEY="k", HOOSH_MODEL="llama3")
    assert (found.url, found.headers, found.model) == ("http://h:1", {"authorization": "Bearer k"}, "llama3")
    empty = of(HOOSH_URL="", HOOSH_API_KEY="", HOOSH_MODEL="")
    assert (empty.url, empty.headers, empty.model) == ("http://127.0.0.1:8088", {}, "default")


def test_arguments_win() -> None:
    options = Options(base_url="http://a", api_key="mine")
    found = resolve(options, {"HOOSH_URL": "http://b", "HOOSH_API_KEY": "theirs"})
    assert (found.url, found.headers) == ("http://a", {"authorization": "Bearer mine"})


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization"])
def test_a_header_with_the_key_takes_the_place_of_the_bearer(name: str) -> None:
    found = resolve(Options(headers={name: "k"}), {"HOOSH_API_KEY": "theirs"})
    assert found.headers == {name.lower(): "k"}
