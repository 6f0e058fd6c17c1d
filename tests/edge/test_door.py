"""The listening side over real sockets, and its parsing over every split of the bytes, against h11 as a second opinion."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import h11
import pytest

from hoosh.http.door import MAX_WAITING, Application, Doors, DoorSettings
from hoosh.http.exchange import Exchange
from hoosh.http.request import Limits

PATIENCE_S = 60.0
LIMITS = Limits(body_limit_bytes=1 << 20)
HOST = b"host: x\r\n"


async def echo(exchange: Exchange) -> None:
    body = await exchange.body(LIMITS)
    await exchange.answer([exchange.method, exchange.path, exchange.query.decode(), body.decode()])


class Memory(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.out = b""
        self.ended = asyncio.Event()

    def write(self, data: Any) -> None:
        self.out += data

    def write_eof(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self.ended.set()

    def abort(self) -> None:
        self.ended.set()

    def pause_reading(self) -> None:
        """Whatever is fed, is fed."""

    def resume_reading(self) -> None:
        """The same."""


async def answers(pieces: list[bytes], app: Application = echo) -> bytes:
    """What a connection says to these bytes until it ends, less its clock and its random ids."""
    door, transport = Doors(app, DoorSettings()).open(), Memory()
    door.connection_made(transport)
    for piece in pieces:
        door.data_received(piece)
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await transport.ended.wait()
    out = re.sub(rb"date: [^\r]+\r\n", b"", transport.out)
    return re.sub(rb"(x-request-id: |request_id\":\")[0-9a-f]{27}", b"\\g<1>" + b"0" * 27, out)


def replies(out: bytes, *methods: str) -> list[tuple[int, bytes]]:
    """The replies as h11 reads them: it raises where they are not HTTP."""
    found = []
    client = h11.Connection(h11.CLIENT)
    client.receive_data(out)
    for k, method in enumerate(methods):
        client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        client.send(h11.EndOfMessage())
        status, body = 0, b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                assert isinstance(event, h11.InformationalResponse), (k, event)
        found.append((status, body))
        if client.our_state is h11.DONE and client.their_state is h11.DONE:
            client.start_next_cycle()
    return found


REQUESTS = (
    b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"\r\nPOST http://x/%62?d HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3;note=1\r\nhel\r\n0002\r\nlo\r\n0\r\nx-trailer: host\r\n\r\n"
    b"HEAD /c HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\n\r\n"
    b"GET /d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
)
SEEN = [["POST", "/a", "b=c", "hello"], ["POST", "/b", "d", "hello"], ["HEAD", "/c", "", ""], ["GET", "/d", "", ""]]


def test_every_split_of_the_bytes_gives_the_same_answers() -> None:
    async def main() -> None:
        whole = await answers([REQUESTS])
        read = replies(whole, "POST", "POST", "HEAD", "GET")
        assert [status for status, _ in read] == [200] * 4
        assert [json.loads(body) for _, body in read if body] == [seen for seen in SEEN if seen[0] != "HEAD"]
        for at in range(1, len(REQUESTS)):
            assert await answers([REQUESTS[:at], REQUESTS[at:]]) == whole, at
        assert await answers([REQUESTS[i : i + 1] for i in range(len(REQUESTS))]) == whole

    asyncio.run(main())


def test_h11_reads_the_same_requests() -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(REQUESTS.replace(b"hello\r\nPOST", b"helloPOST"))
    seen: list[list[str]] = []
    for _ in SEEN:
        while not isinstance(event := server.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                path, _, query = event.target.decode().replace("http://x/%62", "/b").partition("?")
                seen.append([event.method.decode(), path, query, ""])
            elif isinstance(event, h11.Data):
                seen[-1][3] += bytes(event.data).decode()
        server.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        server.send(h11.EndOfMessage())
        if len(seen) < len(SEEN):
            server.start_next_cycle()
    assert seen == SEEN


AMBIGUOUS = {
    "two lengths": b"content-length: 2\r\ncontent-length: 3\r\n",
    "two equal lengths": b"content-length: 2\r\ncontent-length: 2\r\n",
    "a list of lengths": b"content-length: 2, 2\r\n",
    "a length with a sign": b"content-length: +2\r\n",
    "a length in hex": b"content-length: 0x2\r\n",
    "a length beyond 64 bits": b"content-length: 18446744073709551618\r\n",
    "length and chunks": b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
    "chunks and length": b"transfer-encoding: chunked\r\ncontent-length: 2\r\n",
    "chunked twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    "chunked in a list": b"transfer-encoding: chunked, chunked\r\n",
    "chunked not last": b"transfer-encoding: chunked, identity\r\n",
    "another coding": b"transfer-encoding: gzip, chunked\r\n",
    "identity": b"transfer-encoding: identity\r\n",
    "chunked with a tail": b"transfer-encoding: chunked;q=1\r\n",
    "chunked after a vertical tab": b"transfer-encoding: \x0bchunked\r\n",
    "space before the colon": b"content-length : 2\r\n",
    "a folded line": b"x: a\r\n content-length: 2\r\n",
    "a bare CR": b"x: a\rcontent-length: 2\r\n",
    "a NUL": b"x: a\x00b\r\n",
    "no name": b": a\r\n",
    "two hosts": b"host: y\r\n",
    "an upgrade with two framings": b"upgrade: h2c\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_two_servers_could_read_in_two_ways_ends_the_connection(name: str) -> None:
    data = b"POST /a HTTP/1.1\r\nhost: x\r\n" + AMBIGUOUS[name] + b"\r\n{}GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    seen: list[str] = []

    async def app(exchange: Exchange) -> None:
        seen.append(exchange.path)
        await echo(exchange)

    async def main() -> None:
        for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
            out = await answers(pieces, app)
            assert len(re.findall(rb"HTTP/1.1 [0-9]", out)) == 1
            ((status, body),) = replies(out, "POST")
            assert status == 400
            assert "not a valid HTTP/1.1 request" in json.loads(body)["error"]["message"]

    asyncio.run(main())
    assert "/smuggled" not in seen


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: x\r\n\r\n",
        b"GET / HTTP/0.9\r\nhost: x\r\n\r\n",
        b"PRI * X\r\n",
    ],
)
def test_a_head_of_no_http_1(head: bytes) -> None:
    ((status, _),) = replies(asyncio.run(answers([head])), "GET")
    assert status == 400


def test_a_bad_chunk_is_told_after_the_answers_before_it() -> None:
    good = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
    bad = b"POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcd"
    out = asyncio.run(answers([good + good + bad + good]))
    assert [status for status, _ in replies(out, "GET", "GET", "POST")] == [200, 200, 400]


def test_a_head_that_is_too_large_is_refused_whether_it_comes_at_once_or_not() -> None:
    data = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: %b\r\n" % (i, b"a" * 100) for i in range(400)) + b"\r\n"
    for pieces in ([data], [data[:30_000], data[30_000:]], [data[:-2], data[-2:]]):
        ((status, body),) = replies(asyncio.run(answers(pieces)), "GET")
        assert (status, json.loads(body)["error"]["code"]) == (431, "request_headers_too_large")


def test_a_large_body_does_not_count_as_head() -> None:
    data = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 200000\r\n\r\n" + b"a" * 200_000
    ((status, _),) = replies(asyncio.run(answers([data])), "POST")
    assert status == 200


def test_an_offer_to_upgrade_is_declined() -> None:
    offer = b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    last = b"GET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    out = asyncio.run(answers([offer + offer + last]))
    assert [json.loads(body)[1] for _, body in replies(out, "GET", "GET", "GET")] == ["/a", "/a", "/b"]


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"content-length: 7", b'{"a":1}'),
        (b"transfer-encoding: chunked", b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'),
        (b"content-length: 27", b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n"[:27]),
        (b"content-length: 0", b""),
    ],
)
def test_a_body_beside_an_offer_to_upgrade_is_read_wherever_it_is_split(framing: bytes, body: bytes) -> None:
    """As the JDK's client and `curl --http2` offer HTTP/2 without TLS."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    first = b"POST /a HTTP/1.1\r\nhost: x\r\n" + offer + framing + b"\r\n\r\n" + body
    data = first + b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
    wanted = asyncio.run(answers([data]))
    told = [json.loads(one) for _, one in replies(wanted, "POST", "POST")]
    assert [one[1] for one in told] == ["/a", "/b"]
    sent = {b"content-length: 7": '{"a":1}', b"transfer-encoding: chunked": '{"a":1}', b"content-length: 0": ""}
    assert told[0][-1] == sent.get(framing, body.decode())
    for cut in range(1, len(data)):
        assert replies(asyncio.run(answers([data[:cut], data[cut:]])), "POST", "POST") == replies(
            wanted, "POST", "POST"
        )


def test_a_client_that_sends_far_ahead_is_cut_off_after_whole_answers() -> None:
    out = asyncio.run(answers([b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n" * 1000]))
    assert out.count(b"HTTP/1.1 200 OK") == MAX_WAITING + 1
    assert out.count(b"connection: close") == 1


def test_http_1_0_gets_the_end_of_the_connection_as_the_end_of_a_stream() -> None:
    async def app(exchange: Exchange) -> None:
        exchange.wire.begin(200, exchange.headed(b"text/plain"), b"a")
        exchange.wire.write(b"b")
        exchange.wire.end(b"c")

    head, _, body = asyncio.run(answers([b"GET / HTTP/1.0\r\n\r\n"], app)).partition(b"\r\n\r\n")
    assert body == b"abc"
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head


def test_a_stream_is_chunked_and_an_empty_piece_does_not_end_it() -> None:
    async def app(exchange: Exchange) -> None:
        exchange.wire.begin(200, exchange.headed(b"text/plain"), b"a")
        exchange.wire.write(b"")
        exchange.wire.end(b"b")

    out = asyncio.run(answers([b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], app))
    assert replies(out, "GET") == [(200, b"ab")]


def test_a_bug_after_the_reply_has_begun_breaks_it_off() -> None:
    async def app(exchange: Exchange) -> None:
        exchange.wire.begin(200, exchange.headed(b"text/plain"), b"a")

    out = asyncio.run(answers([b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2], app))
    assert out.endswith(b"1\r\na\r\n")


def test_a_header_with_a_line_break_is_never_written() -> None:
    async def app(exchange: Exchange) -> None:
        with pytest.raises(ValueError, match="line break"):
            await exchange.reply(200, b"", b"text/plain", ((b"x", b"a\r\nset-cookie: b"),))
        await exchange.answer({})

    out = asyncio.run(answers([b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], app))
    assert b"set-cookie" not in out


Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Doors], Awaitable[None]]


def meet(app: Application, client: Client, **settings: float) -> None:
    """A client of one connection over a real socket; afterwards nothing is left open."""

    async def main() -> None:
        doors = Doors(app, DoorSettings(**settings))  # type: ignore[arg-type]
        server = await asyncio.get_running_loop().create_server(doors.open, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await client(reader, writer, doors)
        finally:
            writer.close()
            server.close()
            async with asyncio.timeout(PATIENCE_S):
                await doors.drain(PATIENCE_S)

    asyncio.run(main())


class Waiting:
    """An application that waits for a word before it answers, and notes how it ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.paths: list[str] = []

    async def __call__(self, exchange: Exchange) -> None:
        self.paths.append(exchange.path)
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        await exchange.answer(exchange.path)


def test_answers_keep_the_order_of_their_requests() -> None:
    app = Waiting()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.write(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await app.begun.wait()
        assert app.paths == ["/1"]
        app.go.set()
        out = await reader.read()
        assert [body for _, body in replies(out, "GET", "GET")] == [b'"/1"', b'"/2"']

    meet(app, client)


@pytest.mark.parametrize("half", [True, False])
def test_a_client_that_leaves_cancels_its_call_at_once(half: bool) -> None:
    app = Waiting()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.write(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n")
        await app.begun.wait()
        if half:
            writer.write_eof()
        else:
            writer.close()
        await app.cancelled.wait()
        assert app.paths == ["/1"]

    meet(app, client)


def test_a_slow_reader_stops_the_writing_and_loses_nothing() -> None:
    written = 0
    stopped = asyncio.Event()
    piece = b"x" * 65536

    async def app(exchange: Exchange) -> None:
        nonlocal written
        exchange.wire.begin(200, exchange.headed(b"text/plain"), piece)
        for _ in range(512):
            written += 1
            exchange.wire.write(piece)
            if exchange.wire.is_slow:
                stopped.set()
                await exchange.wire.drained()
        exchange.wire.end(b"")

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await stopped.wait()
        assert written < 512
        ((_, body),) = replies(await reader.read(), "GET")
        assert len(body) == 513 * len(piece)

    meet(app, client)


def test_a_body_is_not_read_ahead_of_its_reader() -> None:
    go = asyncio.Event()
    size = 8 << 20

    async def app(exchange: Exchange) -> None:
        await go.wait()
        await exchange.answer(len(await exchange.body(Limits(body_limit_bytes=size))))

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.transport.set_write_buffer_limits(high=1 << 20)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        sending = asyncio.create_task(writer.drain())
        (door,) = doors._open
        while not door._is_paused:
            await asyncio.sleep(0)
        assert not sending.done()
        go.set()
        await sending
        assert replies(await reader.read(), "POST") == [(200, b"%d" % size)]

    meet(app, client)


def test_expect_is_answered_when_the_body_is_wanted() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.write(b"POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert await reader.readuntil(b'["POST","/a","","hi"]')

    meet(echo, client)


def test_a_refusal_before_the_body_asks_for_none_and_is_read_by_a_client_that_still_sends() -> None:
    async def app(exchange: Exchange) -> None:
        await exchange.reply(401, b"no", b"text/plain", ())

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.write(b"POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2000000\r\n\r\n")
        writer.write(b"x" * 1_000_000)
        out = await reader.read()
        assert replies(out, "POST") == [(401, b"no")]
        assert b"connection: close" in out

    meet(app, client)


def test_an_idle_connection_is_closed_without_a_word() -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.write(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")
        out = await reader.read()
        assert replies(out, "GET") == [(200, b'["GET","/a","",""]')]

    meet(echo, client, keep_alive_s=0.1)


def test_half_a_head_and_half_a_body_are_told_when_their_time_is_over() -> None:
    def says(data: bytes, what: str) -> None:
        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
            writer.write(data)
            *_, (status, body) = replies(await reader.read(), *["POST"] * (1 + data.count(b"/first")))
            assert (status, json.loads(body)["error"]["message"]) == (
                408,
                f"the request {what} did not arrive within 0.1 s",
            )

        meet(echo, client, head_timeout_s=0.1, body_timeout_s=0.1)

    first = b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n"
    for before in (b"", first):
        says(before + b"POST /a HT", "head")
        says(before + b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nab", "body")


def test_draining_lets_a_call_end_and_closes_what_is_idle() -> None:
    app = Waiting()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        idle = doors.open()
        transport = Memory()
        idle.connection_made(transport)
        writer.write(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n")
        await app.begun.wait()
        drained = asyncio.create_task(doors.drain(PATIENCE_S))
        await transport.ended.wait()
        idle.connection_lost(None)
        app.go.set()
        out = await reader.read()
        assert replies(out, "GET") == [(200, b'"/1"')]
        assert b"connection: close" in out
        await drained

    meet(app, client)


@pytest.mark.parametrize("by", ["time", "a second signal"])
def test_draining_ends_what_does_not_end_by_itself(by: str) -> None:
    app = Waiting()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doors: Doors) -> None:
        writer.write(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n")
        await app.begun.wait()
        drained = asyncio.create_task(doors.drain(0.05 if by == "time" else PATIENCE_S))
        if by != "time":
            await asyncio.sleep(0)
            doors.break_off()
        await drained
        assert app.cancelled.is_set()

    meet(app, client)
