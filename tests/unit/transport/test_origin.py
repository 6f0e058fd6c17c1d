import pytest

from hoosh.core.errors import ConfigError
from hoosh.transport.origin import Origin, parse_base_url


@pytest.mark.parametrize(
    ("url", "origin", "path", "authority"),
    [
        ("https://api.openai.com/v1", Origin(True, "api.openai.com", 443), "/v1", "api.openai.com"),
        ("http://localhost:11434", Origin(False, "localhost", 11434), "", "localhost:11434"),
        ("http://localhost:80/", Origin(False, "localhost", 80), "", "localhost"),
        ("http://h:443/a/b//", Origin(False, "h", 443), "/a/b", "h:443"),
        ("HTTPS://API.Example.COM./x?".rstrip("?"), Origin(True, "api.example.com", 443), "/x", "api.example.com"),
        ("http://127.0.0.1:8080/v1", Origin(False, "127.0.0.1", 8080), "/v1", "127.0.0.1:8080"),
        ("http://[::1]:8080/v1", Origin(False, "::1", 8080), "/v1", "[::1]:8080"),
        ("https://[2001:DB8:0::1]", Origin(True, "2001:db8::1", 443), "", "[2001:db8::1]"),
        ("http://my_box/v1", Origin(False, "my_box", 80), "/v1", "my_box"),
        ("https://h/a%20b/~c:d@e", Origin(True, "h", 443), "/a%20b/~c:d@e", "h"),
    ],
)
def test_what_a_base_url_means(url: str, origin: Origin, path: str, authority: str) -> None:
    assert parse_base_url(url) == (origin, path)
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "ftp://h/",
        "unix:///run/x.sock",
        "http://",
        "http:///v1",
        "https://user@h/",
        "https://user:sk-secret@h/",
        "https://h/?key=sk-secret",
        "https://h/#x",
        "https://h:0/",
        "https://h:65536/",
        "https://h:x/",
        "https://h:/",
        "https://h\\@evil/",
        "https://h /",
        "https://h/a b",
        "https://h/a\r\nx: y",
        "https://h\t/",
        " https://h/",
        "https://h/\n",
        "https://h/é",
        "https://exämple.com",
        "https://\u212a.com",
        "https://.h/",
        "https://a..b/",
        "https://-a/",
        "https://" + "a" * 64 + "/",
        "https://[::1/",
        "https://[1::2::3]/",
        "https://[fe80::1%25eth0]/",
        "https://::1/",
    ],
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_base_url(url)
    assert "secret" not in caught.value.message
