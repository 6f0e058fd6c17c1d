"""Connections: kept, reused, given up, never leaked; against a scripted provider on real sockets."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from edge.fake_upstream import (
    LOOPS,
    PATIENCE_S,
    Action,
    Close,
    Expect,
    FakeUpstream,
    Peer,
    Rst,
    Send,
    SendForever,
    Stall,
    eventually,
    run_on,
)
from hoosh.core.errors import BadRequest, ConfigError, ConnectFailed, NoFirstEvent, Reset, Truncated
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.transport.connection import BUFFER_BYTES
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings

Loop = Callable[[], asyncio.AbstractEventLoop]
pytestmark = pytest.mark.parametrize("loop", LOOPS)

PATIENT = Timeouts(connect_s=PATIENCE_S, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S, total_s=2 * PATIENCE_S)
POST = WireRequest("/chat", b'{"a":1}', headers=((b"content-type", b"application/json"), (b"x-key", b"k")))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2 \r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"


async def fetch(transport: HTTPTransport, url: str, timeouts: Timeouts = PATIENT) -> tuple[int, bytes]:
    async with transport.exchange(url, POST, timeouts) as reply:
        pieces = []
        while piece := await reply.read():
            pieces.append(piece)
        return reply.status, b"".join(pieces)


def test_request_bytes_and_reply_words(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings(user_agent="hoosh/test"))
        async with FakeUpstream([Expect(), Send(OK)]) as upstream:
            async with transport.exchange(upstream.url + "/v1/", POST, PATIENT) as reply:
                assert reply.status == 200
                assert reply.headers == {b"content-length": b"2", b"x-a": b"1, 2"}
                assert await reply.read() == b"ok"
                assert await reply.read() == b""
                assert await reply.read() == b""
            request = upstream.requests[0]
            assert request.head + request.body == (
                b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept-encoding: identity\r\n"
                b"content-type: application/json\r\nx-key: k\r\nuser-agent: hoosh/test\r\ncontent-length: 7\r\n\r\n"
                b'{"a":1}' % upstream.port
            )
            with pytest.raises(RuntimeError):
                await reply.read()
            await transport.aclose()
            assert transport.open_connections == 0

    run_on(loop, main())


def test_a_connection_is_kept_and_used_again(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK)] * 3) as upstream:
            for path in ("/a", "/b", ""):  # one origin, three base URLs
                assert await fetch(transport, upstream.url + path) == (200, b"ok")
                assert (transport.open_connections, transport.idle_connections) == (1, 1)
            assert [request.path for request in upstream.requests] == [b"/a/chat", b"/b/chat", b"/chat"]
            assert len(upstream.peers) == 1
            await transport.aclose()
            assert transport.idle_connections == 0

    run_on(loop, main())


def test_the_newest_idle_connection_goes_first_and_the_oldest_is_dropped(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings(max_idle_per_origin=2))
        async with FakeUpstream([Expect(), Send(OK), Expect(), Send(OK)]) as upstream:
            exchanges = [transport.exchange(upstream.url, POST, PATIENT) for _ in range(3)]
            for exchange in exchanges:
                await exchange.__aenter__()
            assert transport.open_connections == len(upstream.peers) == 3
            for exchange in exchanges:
                while await exchange.read():
                    pass
                await exchange.__aexit__(None, None, None)
            await eventually(lambda: transport.open_connections == 2)
            assert transport.idle_connections == 2
            await upstream.peers[0].gone.wait()
            assert await fetch(transport, upstream.url) == (200, b"ok")
            assert [len(peer.requests) for peer in upstream.peers] == [1, 1, 2]
            await transport.aclose()

    run_on(loop, main())


def test_idle_connections_end_after_their_time(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings(idle_keepalive_s=0.02))
        async with FakeUpstream([Expect(), Send(OK)]) as upstream:
            await fetch(transport, upstream.url)
            await upstream.peers[0].gone.wait()
            await eventually(lambda: transport.open_connections == 0)
            assert transport.idle_connections == 0
            await transport.aclose()

    run_on(loop, main())


@pytest.mark.parametrize(
    "after",
    [
        [Send(OK), Close()],
        [Send(OK), Rst()],
        [Send(OK.replace(b"X-A: 1", b"Connection: close"))],
        [Send(OK.replace(b"HTTP/1.1", b"HTTP/1.0"))],
        [Send(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")],
        [Send(OK + b"garbage")],
        [Send(b"HTTP/1.1 200 OK\r\n\r\nok"), Close()],
    ],
    ids=["fin", "rst", "connection: close", "http/1.0", "a second reply", "garbage", "until eof"],
)
def test_a_used_up_connection_is_not_handed_out(loop: Loop, after: list[Action]) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), *after], [Expect(), Send(OK)]) as upstream:
            assert await fetch(transport, upstream.url) == (200, b"ok")
            await eventually(lambda: transport.open_connections == 0)
            assert await fetch(transport, upstream.url) == (200, b"ok")
            assert [len(peer.requests) for peer in upstream.peers] == [1, 1]
            await transport.aclose()

    run_on(loop, main())


def test_a_connection_that_just_died_is_not_handed_out(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK)]) as upstream:
            await fetch(transport, upstream.url)
            [connection] = transport._open
            connection.abort()  # and no turn of the loop yet
            assert transport.take(transport.route(upstream.url)) is None
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_request_that_was_not_read_to_its_end_uses_the_connection_up(loop: Loop) -> None:
    async def head_only(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")

    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        large = WireRequest("/chat", bytes(64 << 20))
        stall = Stall(asyncio.Event())
        async with FakeUpstream([head_only, Send(OK), stall]) as upstream:
            async with transport.exchange(upstream.url, large, PATIENT) as reply:
                assert await reply.read() == b"ok"
            assert transport.idle_connections == 0
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_bytes_on_an_idle_connection_end_it(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        idle = asyncio.Event()

        async def later(peer: Peer) -> None:
            await idle.wait()
            peer.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")

        async with FakeUpstream([Expect(), Send(OK), later], [Expect(), Send(OK)]) as upstream:
            assert await fetch(transport, upstream.url) == (200, b"ok")
            assert transport.idle_connections == 1
            idle.set()
            await eventually(lambda: transport.open_connections == 0)
            assert await fetch(transport, upstream.url) == (200, b"ok")
            await transport.aclose()

    run_on(loop, main())


@pytest.mark.parametrize("loss", [Close(), Rst()], ids=["fin", "rst"])
def test_a_stale_connection_is_tried_once_more_on_a_fresh_one(loop: Loop, loss: Action) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK), Expect(), loss], [Expect(), Send(OK)]) as upstream:
            assert await fetch(transport, upstream.url) == (200, b"ok")
            assert await fetch(transport, upstream.url) == (200, b"ok")
            assert [len(peer.requests) for peer in upstream.peers] == [2, 1]
            await transport.aclose()

    run_on(loop, main())


@pytest.mark.parametrize("loss", [Close(), Rst()], ids=["fin", "rst"])
def test_a_second_loss_is_a_reset(loop: Loop, loss: Action) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK), Expect(), loss], [Expect(), loss]) as upstream:
            assert await fetch(transport, upstream.url) == (200, b"ok")
            with pytest.raises(Reset, match=r"127\.0\.0\.1"):
                await fetch(transport, upstream.url)
            await eventually(lambda: transport.open_connections == 0)
            assert len(upstream.requests) == 3
            await transport.aclose()

    run_on(loop, main())


@pytest.mark.parametrize("loss", [Close(), Rst()], ids=["fin", "rst"])
def test_a_fresh_connection_that_dies_is_a_reset_at_once(loop: Loop, loss: Action) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), loss]) as upstream:
            with pytest.raises(Reset):
                await fetch(transport, upstream.url)
            assert len(upstream.requests) == 1
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_reused_connection_that_had_begun_to_answer_is_not_tried_again(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK), Expect(), Send(b"HTTP/1.1 2"), Close()]) as upstream:
            assert await fetch(transport, upstream.url) == (200, b"ok")
            with pytest.raises(Truncated):
                await fetch(transport, upstream.url)
            assert len(upstream.requests) == 2
            await transport.aclose()

    run_on(loop, main())


def test_silence_on_a_reused_connection_is_not_tried_again(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK), Expect()]) as upstream:
            assert await fetch(transport, upstream.url) == (200, b"ok")
            with pytest.raises(NoFirstEvent):
                await fetch(transport, upstream.url, Timeouts(first_byte_s=0.05))
            await upstream.peers[0].gone.wait()
            assert len(upstream.peers) == 1
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_leaving_early_is_seen_by_the_provider(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(ENDLESS)]) as upstream:
            async with transport.exchange(upstream.url, POST, PATIENT) as reply:
                assert await reply.read() == b"hi"
                assert not upstream.peers[0].gone.is_set()
            await asyncio.wait_for(upstream.peers[0].gone.wait(), PATIENCE_S)
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_an_unread_but_whole_reply_keeps_its_connection(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK)] * 2) as upstream:
            async with transport.exchange(upstream.url, POST, PATIENT) as reply:
                assert reply.status == 200
            assert await fetch(transport, upstream.url) == (200, b"ok")
            await transport.aclose()

    run_on(loop, main())


@dataclass
class Flood:
    """Sends `total_bytes`, counting, and waits whenever the client does not read."""

    total_bytes: int
    sent_bytes: int = field(default=0)

    async def __call__(self, peer: Peer) -> None:
        block = bytes(range(256)) * 256
        while self.sent_bytes < self.total_bytes:
            await peer.send(block)
            self.sent_bytes += len(block)


def test_a_reader_that_does_not_read_stops_the_provider(loop: Loop) -> None:
    total_bytes = 64 << 20

    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        flood = Flood(total_bytes)
        head = Send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total_bytes)
        async with FakeUpstream([Expect(), head, flood]) as upstream:
            async with transport.exchange(upstream.url, POST, PATIENT) as reply:
                still, before = 0, -1
                while still < 100:
                    still = still + 1 if flood.sent_bytes == before else 0
                    before = flood.sent_bytes
                    await asyncio.sleep(0.002)
                assert flood.sent_bytes < total_bytes // 2
                assert reply._connection is not None
                assert sum(map(len, reply._connection.pieces)) <= 2 * BUFFER_BYTES
                size = 0
                while piece := await reply.read():
                    assert piece[0] == size % 256
                    size += len(piece)
                assert size == total_bytes
            assert transport.idle_connections == 1
            await transport.aclose()

    run_on(loop, main())


def test_leaving_while_paused_frees_the_socket(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        head = Send(b"HTTP/1.1 200 OK\r\n\r\n")
        async with FakeUpstream([Expect(), head, SendForever(bytes(1 << 16))]) as upstream:
            async with transport.exchange(upstream.url, POST, PATIENT) as reply:
                connection = reply._connection
                assert connection is not None
                await eventually(lambda: connection._paused)
            await upstream.peers[0].gone.wait()
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_closing_the_transport_ends_what_runs(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(ENDLESS)], [Expect()]) as upstream:
            async with transport.exchange(upstream.url, POST, PATIENT) as reply:
                assert await reply.read() == b"hi"
                waiting = asyncio.ensure_future(fetch(transport, upstream.url))
                await eventually(lambda: len(upstream.requests) == 2)
                await transport.aclose()
                assert transport.open_connections == 0
                with pytest.raises(Truncated):
                    await reply.read()
                with pytest.raises(Reset):
                    await waiting
            with pytest.raises(ConnectFailed):
                await fetch(transport, upstream.url)
            await transport.aclose()

    run_on(loop, main())


def test_closing_the_transport_while_it_connects(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(ENDLESS)]) as upstream:
            connecting = asyncio.ensure_future(fetch(transport, upstream.url))
            await asyncio.sleep(0)
            assert transport.open_connections == 1
            await transport.aclose()
            assert transport.open_connections == 0
            with pytest.raises(ConnectFailed, match="the gateway stops"):
                await connecting
            assert not upstream.requests

    run_on(loop, main())


def test_nobody_listens(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([]) as upstream:
            url = upstream.url
        with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:\d+: connection refused$"):
            await fetch(transport, url + "/secret-path")
        assert transport.open_connections == 0

    run_on(loop, main())


def test_a_name_that_does_not_exist(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        with pytest.raises(ConnectFailed, match=r"^no-such-host\.invalid: its name was not resolved$"):
            await fetch(transport, "http://no-such-host.invalid/v1")
        assert transport.open_connections == 0

    run_on(loop, main())


def test_what_cannot_be_sent_opens_nothing(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([]) as upstream:
            for request in (WireRequest("/a\r\nx: y"), WireRequest("/", headers=((b"x", b"1\r\ny: 2"),))):
                with pytest.raises(BadRequest):
                    async with transport.exchange(upstream.url, request, PATIENT):
                        pass
            with pytest.raises(ConfigError):
                await fetch(transport, f"http://user:secret@127.0.0.1:{upstream.port}")
            assert not upstream.peers
            assert transport.open_connections == 0

    run_on(loop, main())


def test_redirects_are_replies(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        moved = Send(b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n")
        async with FakeUpstream([Expect(), moved]) as upstream:
            assert await fetch(transport, upstream.url) == (307, b"")
            assert len(upstream.requests) == 1
            await transport.aclose()

    run_on(loop, main())


def test_many_at_once(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK)] * 40) as upstream:
            for _ in range(2):
                replies = await asyncio.gather(*[fetch(transport, upstream.url) for _ in range(20)])
                assert replies == [(200, b"ok")] * 20
            assert transport.open_connections == transport.idle_connections == len(upstream.peers) <= 20
            await transport.aclose()

    run_on(loop, main())
