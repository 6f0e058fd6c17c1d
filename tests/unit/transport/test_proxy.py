import pytest

from hoosh.core.errors import ConfigError
from hoosh.transport.origin import Origin
from hoosh.transport.proxy import Proxies, Proxy, proxies_from

P = Proxy(Origin(False, "p", 3128))
Q = Proxy(Origin(True, "q", 443), b"Basic dTpw")


@pytest.mark.parametrize(
    ("environ", "proxies"),
    [
        ({}, Proxies()),
        ({"HTTP_PROXY": "", "https_proxy": " "}, Proxies()),
        ({"HTTP_PROXY": "http://p:3128"}, Proxies(http=P)),
        ({"https_proxy": "http://p:3128/"}, Proxies(https=P)),
        ({"HTTPS_PROXY": "p:3128"}, Proxies(https=P)),
        ({"ALL_PROXY": "p:3128"}, Proxies(P, P)),
        ({"all_proxy": "p:3128", "HTTPS_PROXY": "https://u:p@q"}, Proxies(P, Q)),
        ({"http_proxy": "p:3128", "HTTP_PROXY": "http://other"}, Proxies(http=P)),
        ({"http_proxy": "", "HTTP_PROXY": "p:3128"}, Proxies(http=P)),
        ({"NO_PROXY": "A.com, .b.com,,c.com d.com"}, Proxies(exempt=("a.com", ".b.com", "c.com", "d.com"))),
    ],
)
def test_what_the_environment_says(environ: dict[str, str], proxies: Proxies) -> None:
    assert proxies_from(environ) == proxies


def test_user_and_password_are_decoded_and_not_shown() -> None:
    proxies = proxies_from({"HTTPS_PROXY": "http://user:p%40%3Ass@p:3128"})
    assert proxies.https == Proxy(P.origin, b"Basic dXNlcjpwQDpzcw==")
    assert "dXNl" not in repr(proxies)


@pytest.mark.parametrize(
    "value", ["socks5://p:1080", "http://", "http://p:99999", "http://u:secret@p/path", "http://u:secret@p q", "//p"]
)
def test_a_proxy_that_cannot_be_used_is_an_error_without_its_value(value: str) -> None:
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        with pytest.raises(ConfigError) as caught:
            proxies_from({name: value})
        assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "api.test", 443, False),
        ("*", "api.test", 443, True),
        ("api.test", "api.test", 443, True),
        ("API.test", "api.test", 443, True),
        ("test", "api.test", 443, True),
        (".test", "api.test", 443, True),
        ("*.test", "api.test", 443, True),
        (".api.test", "api.test", 443, True),
        ("api.test.", "api.test", 443, True),
        ("pi.test", "api.test", 443, False),
        ("api.test.com", "api.test", 443, False),
        ("x.api.test", "api.test", 443, False),
        ("api.test:443", "api.test", 443, True),
        ("api.test:80", "api.test", 443, False),
        ("test:443", "api.test", 443, True),
        ("a.com,api.test", "api.test", 443, True),
        ("a.com api.test", "api.test", 443, True),
        ("10.0.0.1", "10.0.0.1", 80, True),
        ("10.0.0.1", "10.0.0.10", 80, False),
        ("0.0.1", "10.0.0.1", 80, False),
        ("10.0.0.0/8", "10.0.0.1", 80, False),
        ("2001:db8::1", "2001:db8::1", 80, True),
        ("[2001:db8::1]", "2001:db8::1", 80, True),
        ("[2001:db8::1]:80", "2001:db8::1", 80, True),
        ("[2001:db8::1]:81", "2001:db8::1", 80, False),
        (".", "api.test", 443, False),
        (":443", "api.test", 443, False),
        ("", "localhost", 80, True),
        ("", "me.localhost", 80, True),
        ("", "127.0.0.1", 80, True),
        ("", "127.9.9.9", 80, True),
        ("", "::1", 80, True),
        ("", "::ffff:7f00:1", 80, True),
        ("", "localhost.evil.test", 80, False),
        ("", "128.0.0.1", 80, False),
        ("", "0.0.0.0", 80, False),
    ],
)
def test_who_is_reached_directly(no_proxy: str, host: str, port: int, direct: bool) -> None:
    proxies = proxies_from({"ALL_PROXY": "p:3128", "NO_PROXY": no_proxy})
    for secure in (False, True):
        assert proxies.find(Origin(secure, host, port)) == (None if direct else P)


def test_each_scheme_has_its_own() -> None:
    proxies = Proxies(http=P, https=Q)
    assert proxies.find(Origin(False, "h", 80)) == P
    assert proxies.find(Origin(True, "h", 443)) == Q
    assert Proxies(https=Q).find(Origin(False, "h", 80)) is None
