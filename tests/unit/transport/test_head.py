import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.core.errors import BadRequest, ConfigError
from hoosh.core.wire import WireRequest
from hoosh.transport.head import render, route
from hoosh.transport.proxy import Proxies, proxies_from

NONE = Proxies()
WAY = route("https://api.test/v1", NONE, "hoosh")
FIXED = b"host: api.test\r\naccept-encoding: identity\r\n"


def test_a_post() -> None:
    headers = ((b"content-type", b"application/json"), (b"X-Key", b"a\tb \xe9"))
    assert render(WAY, WireRequest("/chat", b'{"a":1}', headers=headers)) == (
        b"POST /v1/chat HTTP/1.1\r\n" + FIXED + b"content-type: application/json\r\nX-Key: a\tb \xe9\r\n"
        b'user-agent: hoosh\r\ncontent-length: 7\r\n\r\n{"a":1}'
    )


def test_a_get_has_no_length_and_an_empty_post_has() -> None:
    plain = b"HTTP/1.1\r\n" + FIXED + b"user-agent: hoosh\r\n"
    assert render(WAY, WireRequest("/models", method=b"GET")) == b"GET /v1/models " + plain + b"\r\n"
    assert render(WAY, WireRequest("/stop")) == b"POST /v1/stop " + plain + b"content-length: 0\r\n\r\n"
    body = render(WAY, WireRequest("/x", b"{}", method=b"DELETE"))
    assert body == b"DELETE /v1/x " + plain + b"content-length: 2\r\n\r\n{}"


def test_the_callers_user_agent_goes_first() -> None:
    data = render(WAY, WireRequest("/x", method=b"GET", headers=((b"User-Agent", b"mine"),)))
    assert data.lower().count(b"user-agent") == 1
    assert b"User-Agent: mine\r\n" in data


def test_the_way_through_a_proxy() -> None:
    proxies = proxies_from({"ALL_PROXY": "http://u:p@proxy:3128"})
    plain = route("http://api.test:8080/v1/", proxies, "hoosh")
    data = render(plain, WireRequest("/chat?a=b", method=b"GET"))
    assert data.startswith(
        b"GET http://api.test:8080/v1/chat?a=b HTTP/1.1\r\nhost: api.test:8080\r\naccept-encoding: identity\r\n"
        b"proxy-authorization: Basic dTpw\r\n"
    )
    secure = route("https://api.test/v1/", proxies, "hoosh")
    assert (secure.proxy, secure.prefix, secure.fixed) == (proxies.https, "/v1", FIXED)
    assert (plain.label, plain.key, secure.key) == ("api.test:8080", "http://api.test:8080", "https://api.test:443")


def test_a_bad_base_url() -> None:
    with pytest.raises(ConfigError):
        route("https://u:p@api.test", NONE, "hoosh")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "chat",
        "http://evil/",
        "/a b",
        "/a\r\nx: y",
        "/a\n",
        "/a\0",
        "/a\x7f",
        "/é",
        "/a#b",
        "/..",
        "/.",
        "/a/../b",
        "/a/..?x",
        "/%2e%2E/b",
        "/.%2e/b",
        "/models/../../admin:generate",
    ],
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(BadRequest):
        render(WAY, WireRequest(path))


@pytest.mark.parametrize("path", ["/", "/a?b=/../c", "/...", "/a..b/.c", "/models/x:generate?alt=sse", "//a", "/a%2f"])
def test_paths_that_are_sent(path: str) -> None:
    assert render(WAY, WireRequest(path)).startswith(b"POST /v1" + path.encode() + b" HTTP/1.1\r\n")


@pytest.mark.parametrize("method", [b"", b"HEAD", b"CONNECT", b"post", b"GET /x", b"GET\r\nx: y"])
def test_methods_that_are_refused(method: bytes) -> None:
    with pytest.raises(BadRequest):
        render(WAY, WireRequest("/x", method=method))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x", b"1\r\ny: 2"),
        (b"x", b"1\n"),
        (b"x", b"1\r"),
        (b"x", b"\r\n"),
        (b"x", b"a\0b"),
        (b"x\r\ny", b"1"),
        (b"x\n", b"1"),
        (b"x\0", b"1"),
        (b"x: y", b"1"),
        (b"x:", b"1"),
        (b"", b"1"),
        (b" x", b"1"),
        (b"x ", b"1"),
        (b"\xe9", b"1"),
        (b"host", b"evil"),
        (b"Host", b"evil"),
        (b"content-length", b"0"),
        (b"Transfer-Encoding", b"chunked"),
        (b"connection", b"close"),
        (b"accept-encoding", b"gzip"),
        (b"expect", b"100-continue"),
        (b"upgrade", b"h2c"),
        (b"proxy-authorization", b"x"),
    ],
)
def test_headers_that_are_refused(name: bytes, value: bytes) -> None:
    for headers in (((name, value),), ((b"a", b"1"), (name, value), (b"b", b"2"))):
        with pytest.raises(BadRequest) as caught:
            render(WAY, WireRequest("/x", headers=headers))
        assert "evil" not in caught.value.message


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=12)), max_size=4))
def test_no_header_adds_a_line(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        data = render(WAY, WireRequest("/x", b"BODY", headers=tuple(headers)))
    except BadRequest:
        return
    head, body = data.split(b"\r\n\r\n", 1)
    assert body == b"BODY"
    assert head.count(b"\n") == head.count(b"\r") == 2 + len(headers) + 2
