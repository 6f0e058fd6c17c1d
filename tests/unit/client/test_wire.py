"""Heads that cannot smuggle, and replies from any split of their bytes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.client.settings import Options, Settings, resolve
from hoosh.client.wire import LAST_CHUNK, MAX_HEAD_BYTES, BadReply, ReplyParser, chunk, head

OK = b"HTTP/1.1 200 OK\r\n"


def settings(url: str = "http://127.0.0.1:8088", **options: Any) -> Settings:
    return resolve(Options(base_url=url, **options), {})


def test_a_head() -> None:
    lines = head(settings("https://host/ai/"), "POST", "/v1/models", {"accept": "x"}, 3).split(b"\r\n")
    assert lines[0] == b"POST /ai/v1/models HTTP/1.1"
    assert lines[1:] == [b"host: host", b"accept-encoding: identity", b"accept: x", b"content-length: 3", b"", b""]


def test_how_a_body_is_announced() -> None:
    assert b"transfer-encoding: chunked\r\n" in head(settings(), "POST", "/", {}, None)
    assert b"content-length: 0\r\n" in head(settings(), "POST", "/", {}, 0)
    assert b"content-length" not in head(settings(), "GET", "/", {}, 0)
    assert chunk(b"a" * 17) + LAST_CHUNK == b"11\r\naaaaaaaaaaaaaaaaa\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/ HTTP/1.1\r\nx: y", "a", "b"),
        ("/a b", "a", "b"),
        ("/ä", "a", "b"),
        ("/", "a", "b\r\nx: y"),
        ("/", "a", "b\n"),
        ("/", "a\r\nb", "c"),
        ("/", "a:", "c"),
        ("/", "", "c"),
        ("/", "a", "\0"),
        ("/", "a", "سلام"),
        ("/", "content-length", "7"),
        ("/", "transfer-encoding", "chunked"),
        ("/", "host", "elsewhere"),
    ],
)
def test_what_could_end_its_line_is_refused(path: str, name: str, value: str) -> None:
    with pytest.raises(ValueError):
        head(settings(), "GET", path, {name: value}, 0)


def read(*pieces: bytes) -> tuple[ReplyParser, bytes]:
    parser = ReplyParser()
    return parser, b"".join(parser.feed(piece) for piece in pieces)


REPLIES = (
    OK + b"Content-Length: 5\r\nX-Request-Id:  r1 \r\n\r\nSalam",
    OK + b"transfer-encoding: chunked\r\nx-request-id: r1\r\n\r\n2\r\nSa\r\n3;x=y\r\nlam\r\n0\r\ntrailer: 1\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK + b"x-request-id: r1\r\ncontent-length: 5\r\n\r\nSalam",
)


@pytest.mark.parametrize("reply", REPLIES)
@given(st.data())
def test_any_split_gives_the_same_reply(reply: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(reply) - 1), max_size=8)))
    parser, body = read(*(reply[a:b] for a, b in zip([0, *cuts], [*cuts, len(reply)], strict=True)))
    assert (parser.status, parser.headers["x-request-id"], body) == (200, "r1", b"Salam")
    assert parser.complete
    assert parser.keep
    assert "link" not in parser.headers


@pytest.mark.parametrize("reply", REPLIES)
def test_every_cut_is_an_error(reply: bytes) -> None:
    for end in range(len(reply)):
        parser, _ = read(reply[:end])
        with pytest.raises(BadReply):
            parser.eof()


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    parser, body = read(OK + b"\r\nSal", b"am")
    assert not parser.complete
    parser.eof()
    assert body == b"Salam"
    assert parser.complete
    assert not parser.keep


def test_a_reply_without_a_body() -> None:
    parser, body = read(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert parser.complete
    assert body == b""


@pytest.mark.parametrize("more", [b"x", REPLIES[0], b"HTTP/1.1 408 Request Timeout\r\n"])
def test_more_than_was_asked_for_spoils_the_connection(more: bytes) -> None:
    for pieces in ((REPLIES[0] + more,), (REPLIES[0], more)):
        parser, body = read(*pieces)
        assert body == b"Salam"
        assert parser.complete
        assert not parser.keep


def test_connection_close_and_http_1_0() -> None:
    assert not read(OK + b"connection: close\r\ncontent-length: 0\r\n\r\n")[0].keep
    assert not read(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n")[0].keep


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH\r\n",
        OK + b"content-length: x\r\n\r\n",
        OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        OK + b"content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx",
        OK + b"a: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_what_is_no_reply(reply: bytes) -> None:
    with pytest.raises(BadReply):
        read(reply)
