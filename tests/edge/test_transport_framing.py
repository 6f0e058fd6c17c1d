"""A reply's bytes and what is read of them: any split is the same, odd ones as h11 sees them or stricter.

Most of it feeds a connection by hand, without a socket; a few go over one.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.fake_upstream import LOOPS, PATIENCE_S, Close, Expect, FakeUpstream, Send, SendPieces, eventually, run_on
from hoosh.core.errors import BadUpstream, HooshError, Reset, Truncated, UpstreamError
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.transport.connection import Connection
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings

Loop = Callable[[], asyncio.AbstractEventLoop]
PATIENT = Timeouts(connect_s=PATIENCE_S, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S, total_s=2 * PATIENCE_S)
GET = WireRequest("/models", method=b"GET")
SETTINGS = TransportSettings(max_header_bytes=4096, max_reply_bytes=10_000)

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"6\r\ndata: \r\n1;note=x\r\n1\r\n0A\r\n\r\n\r\n[DONE]\r\n0\r\nx-trailer: t\r\n\r\n"
)
COUNTED = (
    b"HTTP/1.1 200 OK\r\nContent-Type:text/plain\r\nSet-Cookie: a\r\nset-cookie:  b\t\r\nContent-Length: 5\r\n\r\nhello"
)
UNTIL_EOF = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + COUNTED
EMPTY = b"HTTP/1.1 204 No Content\r\nx: \r\n\r\n"
ERROR = b"HTTP/1.1 500\r\ncontent-length: 3\r\n\r\nbad"
REPLIES = [CHUNKED, COUNTED, UNTIL_EOF, INTERIM, EMPTY, ERROR]


class MemorySocket:
    def setsockopt(self, *_: object) -> None:
        pass


class MemoryTransport(asyncio.Transport):
    """As much of a transport as a connection uses; what it reads is fed by hand."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return MemorySocket()

    def write(self, data: object) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def feed(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if not self.closed:
                self.connection.data_received(piece)

    def eof(self) -> None:
        if not self.closed:
            self.connection.eof_received()


@dataclass(frozen=True)
class Seen:
    """What a reader learns of a reply. `end` is "ok" or the error's class."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    end: str
    reusable: bool


async def read_by_hand(pieces: Sequence[bytes], eof: bool = True) -> Seen:
    lost: list[Connection] = []
    connection = Connection("host", "key", SETTINGS, lost.append)
    socket = MemoryTransport(connection)
    connection.connection_made(socket)
    sending = asyncio.ensure_future(connection.send(b"", PATIENT, asyncio.get_running_loop().time() + 60))
    await asyncio.sleep(0)
    socket.feed(pieces)
    reusable = connection.is_reusable()
    if eof:
        socket.eof()
    end = "ok"
    try:
        await sending
    except HooshError as error:
        end = type(error).__name__
    else:
        end = "ok" if connection.complete else type(connection.error).__name__
    seen = Seen(
        connection.status if connection.headed else 0,
        tuple(sorted(connection.headers.items())) if connection.headed else (),
        b"".join(connection.pieces) if connection.headed else b"",
        end,
        reusable,
    )
    connection.abort()
    await asyncio.sleep(0)
    assert lost == [connection]
    return seen


def read(*pieces: bytes) -> Seen:
    return asyncio.run(read_by_hand(pieces))


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def test_the_whole_replies_mean_what_they_say() -> None:
    assert read(CHUNKED) == Seen(
        200,
        ((b"content-type", b"text/event-stream"), (b"transfer-encoding", b"chunked")),
        b"data: 1\r\n\r\n[DONE]",
        "ok",
        True,
    )
    assert read(COUNTED) == Seen(
        200,
        ((b"content-length", b"5"), (b"content-type", b"text/plain"), (b"set-cookie", b"a, b")),
        b"hello",
        "ok",
        True,
    )
    assert read(UNTIL_EOF) == Seen(200, ((b"content-type", b"text/plain"),), b"until the end", "ok", False)
    assert read(INTERIM) == read(COUNTED)
    assert read(EMPTY) == Seen(204, ((b"x", b""),), b"", "ok", True)
    assert read(ERROR) == Seen(500, ((b"content-length", b"3"),), b"bad", "ok", True)


@pytest.mark.parametrize("reply", REPLIES, ids=range(len(REPLIES)))
def test_every_cut_in_two_and_every_byte_alone(reply: bytes) -> None:
    with asyncio.Runner() as runner:
        whole = runner.run(read_by_hand([reply]))
        assert whole.end == "ok"
        for cut in range(1, len(reply)):
            assert runner.run(read_by_hand([reply[:cut], reply[cut:]])) == whole
        assert runner.run(read_by_hand([reply[n : n + 1] for n in range(len(reply))])) == whole


@pytest.mark.parametrize("reply", [CHUNKED, COUNTED, INTERIM, EMPTY, ERROR], ids=range(5))
def test_every_early_end_is_told(reply: bytes) -> None:
    """Nothing at all is a reset, anything less than the whole is truncated: never a clean end."""
    with asyncio.Runner() as runner:
        for cut in range(len(reply)):
            assert runner.run(read_by_hand([reply[:cut]] if cut else [])).end == ("Truncated" if cut else "Reset")


NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCDEF-", min_size=1, max_size=10).map(lambda name: f"x-{name}".encode())
VALUES = st.binary(max_size=20).map(
    lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F).strip()
)


@st.composite
def replies(draw: st.DrawFn) -> tuple[bytes, int, bytes]:
    """Bytes, status, body."""
    status = draw(st.integers(200, 599).filter(lambda status: status not in (204, 304)))
    head = b"HTTP/1.1 %d Word\r\n" % status
    for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=5)):
        head += name + b":" + draw(st.sampled_from([b"", b" ", b"\t "])) + value + b"\r\n"
    parts = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    body = b"".join(parts)
    kind = draw(st.sampled_from(["counted", "chunked", "eof"]))
    if kind == "counted":
        return head + b"content-length: %d\r\n\r\n" % len(body) + body, status, body
    if kind == "chunked":
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", status, body
    return head + b"\r\n" + body, status, body


@settings(max_examples=150, deadline=None)
@given(replies(), st.lists(st.integers(0, 1000), max_size=12))
def test_any_split_of_a_reply_is_the_same_reply(reply: tuple[bytes, int, bytes], cuts: list[int]) -> None:
    data, status, body = reply
    with asyncio.Runner() as runner:
        whole = runner.run(read_by_hand([data]))
        assert (whole.status, whole.body, whole.end) == (status, body, "ok")
        assert runner.run(read_by_hand(split(data, cuts))) == whole


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(REPLIES),
    st.lists(st.tuples(st.integers(0, 1000), st.binary(max_size=3)), max_size=3),
    st.lists(st.integers(0, 1000), max_size=8),
)
@example(COUNTED, [(len(COUNTED), b"H")], [])
def test_any_split_of_a_damaged_reply_ends_the_same(
    reply: bytes, damage: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    for anywhere, patch in damage:
        place = anywhere % (len(reply) + 1)
        reply = reply[:place] + patch + reply[place + len(patch) // 2 :]
    with asyncio.Runner() as runner:
        whole, parted = (runner.run(read_by_hand(pieces)) for pieces in ([reply] if reply else [], split(reply, cuts)))
        assert (whole.end, whole.status, whole.headers) == (parted.end, parted.status, parted.headers)
        if whole.end == "ok":
            assert whole.body == parted.body


BODY = b"content-length: 1\r\n\r\nz"
NOT_HTTP = {
    "html": b"<html>no</html>\r\n\r\n",
    "http/0.9": b"hello\n",
    "tls alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "http/2 settings": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
    "http/2.0": b"HTTP/2.0 200 OK\r\n" + BODY,
    "icy": b"ICY 200 OK\r\n" + BODY,
    "status 99": b"HTTP/1.1 099 OK\r\n" + BODY,
    "status 101": b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    "status 20": b"HTTP/1.1 20 OK\r\n" + BODY,
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n" + BODY,
    "length and chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + BODY,
    "chunked and length": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nz",
    "length with a word": b"HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\nz",
    "endless length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nz",
    "gzip inside": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
    "content gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n" + BODY,
    "content br": b"HTTP/1.1 200 OK\r\nContent-Encoding: identity, br\r\n" + BODY,
    "space in a name": b"HTTP/1.1 200 OK\r\nbad name: 1\r\n" + BODY,
    "space after a name": b"HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\nz",
    "no name": b"HTTP/1.1 200 OK\r\n: 1\r\n" + BODY,
    "nul in a value": b"HTTP/1.1 200 OK\r\nx: a\0b\r\n" + BODY,
    "bare cr": b"HTTP/1.1 200 OK\r\nx: a\rb: c\r\n" + BODY,
    "large head": b"HTTP/1.1 200 OK\r\n" + b"x: 1\r\n" * 1000 + BODY,
    "large header": b"HTTP/1.1 200 OK\r\nx: " + b"1" * 5000 + b"\r\n" + BODY,
    "endless header": b"HTTP/1.1 200 OK\r\nx: " + b"1" * 20_000,
    "endless interim": b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\n" * 1000,
}


@pytest.mark.parametrize(
    ("exchanges", "loss", "stale"),
    [
        (1, None, False),
        (2, None, True),
        (2, ConnectionResetError(), True),
        (2, BrokenPipeError(), True),
        (2, TimeoutError(), False),
        (2, OSError(113, "No route to host"), False),
    ],
)
def test_stale_is_what_the_peer_closed_after_an_earlier_reply(
    exchanges: int, loss: Exception | None, stale: bool
) -> None:
    async def main() -> None:
        connection = Connection("host", "key", SETTINGS, lambda _: None)
        socket = MemoryTransport(connection)
        connection.connection_made(socket)
        for _ in range(exchanges - 1):
            sending = asyncio.ensure_future(connection.send(b"", PATIENT, asyncio.get_running_loop().time() + 60))
            await asyncio.sleep(0)
            socket.feed([COUNTED])
            await sending
        sending = asyncio.ensure_future(connection.send(b"", PATIENT, asyncio.get_running_loop().time() + 60))
        await asyncio.sleep(0)
        connection.connection_lost(loss)
        with pytest.raises(Reset):
            await sending
        assert connection.stale is stale
        assert connection._timer is None
        assert not hasattr(connection, "_parser")  # a cycle that only the collector would find

    asyncio.run(main())


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_not_a_reply_is_refused_before_it_is_entered(name: str) -> None:
    data = NOT_HTTP[name]
    for pieces in ([data], split(data, range(0, len(data), 7))):
        assert read(*pieces) == Seen(0, (), b"", "BadUpstream", False)


BAD_BODIES = {
    "chunk size": b"zz\r\n",
    "chunk size negative": b"-1\r\nz\r\n0\r\n\r\n",
    "chunk size overflow": b"fffffffffffffffff\r\nz",
    "chunk longer than said": b"1\r\nzz\r\n0\r\n\r\n",
    "bare lf": b"1\nz\n0\n\n",
    "endless extension": b"1;" + b"x" * 20_000,
    "endless trailer": b"0\r\nx: " + b"x" * 20_000,
    "too large": b"2000\r\n" + b"x" * 0x2000 + b"\r\n" + b"2000\r\n" + b"x" * 0x2000 + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_not_chunks_is_refused(name: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    for step in (500, 2000):
        data = BAD_BODIES[name]
        seen = read(head, *split(data, range(0, len(data), step)))
        assert (seen.status, seen.end, seen.reusable) == (200, "BadUpstream", False)


def test_pieces_before_an_error_are_still_read() -> None:
    seen = read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n")
    assert (seen.body, seen.end) == (b"ok", "BadUpstream")


def by_h11(data: bytes) -> tuple[int, bytes, str]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        client.receive_data(data)
        fed_eof = False
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA and not fed_eof:
                client.receive_data(b"")
                fed_eof = True
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body, "ok"
            elif event in (h11.PAUSED, h11.NEED_DATA) or isinstance(event, h11.ConnectionClosed):
                return status, body, "bad"
    except h11.RemoteProtocolError:
        return status, body, "bad"


H = b"HTTP/1.1 200 OK\r\n"
C = H + b"transfer-encoding: chunked\r\n\r\n"
ODD = {
    "no reason": b"HTTP/1.1 200\r\n" + BODY,
    "no reason, a space": b"HTTP/1.1 200 \r\n" + BODY,
    "http/1.0": b"HTTP/1.0 200 OK\r\n" + BODY,
    "http/1.0 until eof": b"HTTP/1.0 200 OK\r\n\r\nall of it",
    "204 with a length": b"HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 No\r\ncontent-length: 5\r\n\r\n",
    "interim first": b"HTTP/1.1 102 Processing\r\n\r\n" + H + BODY,
    "upper case chunked": H + b"Transfer-Encoding: CHUNKED\r\n\r\n1\r\nz\r\n0\r\n\r\n",
    "upper case size": C + b"A\r\n0123456789\r\n0\r\n\r\n",
    "leading zeros": C + b"0001\r\nz\r\n000\r\n\r\n",
    "extension": C + b"1;a=b\r\nz\r\n0;c\r\n\r\n",
    "quoted extension": C + b'1;a="b c"\r\nz\r\n0\r\n\r\n',
    "trailers": C + b"1\r\nz\r\n0\r\na: b\r\n\r\n",
    "empty body": H + b"content-length: 0\r\n\r\n",
    "no header at all": b"HTTP/1.1 200 OK\r\n\r\n",
    "latin-1 value": H + b"x: \xe9\r\n" + BODY,
    "tabs": H + b"x:\t1\t\r\n" + BODY,
    "upgrade offered": H + b"connection: upgrade\r\nupgrade: h2c\r\n" + BODY,
    "status 600": b"HTTP/1.1 600 OK\r\n" + BODY,
    "cut length": H + b"content-length: 5\r\n\r\nabc",
    "cut chunk": C + b"5\r\nabc",
    "cut before the last chunk": C + b"1\r\nz\r\n",
    "cut in the trailers": C + b"1\r\nz\r\n0\r\na: b\r\n",
    "cut head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "no crlf after a chunk": C + b"1\r\nz0\r\n\r\n",
    "chunk size with a sign": C + b"+1\r\nz\r\n0\r\n\r\n",
    "chunk size with 0x": C + b"0x1\r\nz\r\n0\r\n\r\n",
    "space in the size": C + b"1 1\r\nz\r\n0\r\n\r\n",
    "unequal lengths": H + b"content-length: 1\r\ncontent-length: 2\r\n\r\nzz",
    "plus in the length": H + b"content-length: +1\r\n\r\nz",
    "unknown transfer-encoding": H + b"transfer-encoding: gzip\r\n\r\nz",
    "no colon": H + b"nonsense\r\n" + BODY,
    "garbage": b"\x00\x01\x02 hello\r\n\r\n",
}
# Where h11 is more lenient, or repairs: refused here, since two readers of one reply must not differ.
STRICTER = {
    "bare lf": b"HTTP/1.1 200 OK\ncontent-length: 1\n\nz",
    "folded header": H + b"x: a\r\n  b\r\n" + BODY,
    "equal lengths": H + b"content-length: 1\r\n" + BODY,
    "equal lengths in one": H + b"content-length: 1, 1\r\n\r\nz",
    "length beside chunked": H + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_replies_as_h11_reads_them(name: str) -> None:
    status, body, end = by_h11(ODD[name])
    seen = read(ODD[name])
    assert ("ok" if seen.end == "ok" else "bad") == end
    if end == "ok":
        assert (seen.status, seen.body) == (status, body)


@pytest.mark.parametrize("name", STRICTER)
def test_stricter_than_h11(name: str) -> None:
    assert by_h11(STRICTER[name])[2] == "ok"
    assert read(STRICTER[name]).end == "BadUpstream"


# Over a socket


async def fetch(transport: HTTPTransport, url: str) -> tuple[int, bytes]:
    async with transport.exchange(url, GET, PATIENT) as reply:
        pieces = []
        while piece := await reply.read():
            pieces.append(piece)
        return reply.status, b"".join(pieces)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reply", REPLIES, ids=range(len(REPLIES)))
def test_byte_by_byte_over_a_socket(loop: Loop, reply: bytes) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        single = SendPieces([reply[n : n + 1] for n in range(len(reply))])
        async with FakeUpstream([Expect(), single, Close()], [Expect(), Send(reply), Close()]) as upstream:
            slow = await fetch(transport, upstream.url)
            await eventually(lambda: transport.open_connections == 0)
            assert slow == await fetch(transport, upstream.url)
            await transport.aclose()

    run_on(loop, main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", Reset),
        (b"HTTP/1.1 200 OK\r\nx", Truncated),
        (COUNTED[:-1], Truncated),
        (CHUNKED[:-2], Truncated),
        (NOT_HTTP["html"], BadUpstream),
        (NOT_HTTP["endless header"] * 5, BadUpstream),
        (NOT_HTTP["content gzip"], BadUpstream),
    ],
    ids=["nothing", "cut head", "cut length", "cut chunks", "html", "endless header", "gzip"],
)
def test_bad_ends_over_a_socket(loop: Loop, reply: bytes, error: type[UpstreamError]) -> None:
    async def main() -> None:
        transport = HTTPTransport(SETTINGS)
        async with FakeUpstream([Expect(), Send(reply), Close()]) as upstream:
            with pytest.raises(error, match=r"^127\.0\.0\.1:\d+: ") as caught:
                await fetch(transport, upstream.url + "/path-of-mine")
            assert "path-of-mine" not in caught.value.message
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())
