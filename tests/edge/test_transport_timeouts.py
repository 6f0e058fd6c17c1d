"""Each of the four timeouts, and a cancel at every place where an exchange waits.

The waits that are to end are a few hundredths of a second, all others are generous: a slow machine changes nothing.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.fake_upstream import (
    LOOPS,
    PATIENCE_S,
    Action,
    Certificates,
    Expect,
    FakeUpstream,
    Send,
    SendPieces,
    Stall,
    eventually,
    make_certificates,
    run_on,
)
from hoosh.core.errors import ConnectFailed, DeadlineExceeded, HooshError, Idle, NoFirstEvent
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.proxy import Proxies, proxies_from
from hoosh.transport.settings import TransportSettings

Loop = Callable[[], asyncio.AbstractEventLoop]
pytestmark = pytest.mark.parametrize("loop", LOOPS)

SOON_S = 0.05
POST = WireRequest("/chat", b"{}")
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def patient(**changed: float) -> Timeouts:
    usual = {"connect_s": PATIENCE_S, "first_byte_s": PATIENCE_S, "idle_s": PATIENCE_S, "total_s": 2 * PATIENCE_S}
    return Timeouts(**(usual | changed))


async def drain(transport: HTTPTransport, url: str, timeouts: Timeouts) -> bytes:
    async with transport.exchange(url, POST, timeouts) as reply:
        body = b""
        while piece := await reply.read():
            body += piece
        return body


@pytest.mark.parametrize(
    ("script", "timeouts", "error"),
    [
        ([Expect()], patient(first_byte_s=SOON_S), NoFirstEvent),
        ([Expect(), Send(b"HTTP/1.1 200")], patient(idle_s=SOON_S), Idle),
        ([Expect(), Send(HEAD)], patient(idle_s=SOON_S), Idle),
        ([Expect(), Send(HEAD + b"2\r\nhi\r\n")], patient(idle_s=SOON_S), Idle),
        ([Expect()], patient(total_s=SOON_S), DeadlineExceeded),
        ([Expect(), Send(HEAD + b"2\r\nhi\r\n")], patient(total_s=SOON_S), DeadlineExceeded),
        ([Expect(), SendPieces([HEAD, *[b"2\r\nhi\r\n"] * 1_000_000])], patient(total_s=SOON_S), DeadlineExceeded),
        ([Expect()], patient(total_s=-1.0), DeadlineExceeded),
    ],
    ids=["first byte", "in the head", "after the head", "in the body", "total", "total, a body", "total, busy", "past"],
)
def test_a_timeout_ends_the_exchange(
    loop: Loop, script: list[Action], timeouts: Timeouts, error: type[HooshError]
) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream(script) as upstream:
            with pytest.raises(error, match=r"^127\.0\.0\.1:\d+"):
                await drain(transport, upstream.url, timeouts)
            await eventually(lambda: transport.open_connections == 0)
            for peer in upstream.peers:
                await peer.gone.wait()

    run_on(loop, main())


def test_pieces_that_keep_coming_are_not_idle(loop: Loop) -> None:
    """Many times idle_s in all, never idle_s between two: the deadline moves with each piece."""
    idle_s = 0.5

    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        told = asyncio.Event()
        script: list[Action] = [Expect(), Send(HEAD + b"2\r\nhi\r\n"), Stall(told), Send(b"2\r\nhi\r\n0\r\n\r\n")]
        async with FakeUpstream(script) as upstream:
            async with transport.exchange(upstream.url, POST, patient(idle_s=idle_s)) as reply:
                connection = reply._connection
                assert connection is not None
                await reply.read()
                reading = asyncio.ensure_future(reply.read())
                await asyncio.sleep(0)
                first_until = connection._wait_until
                told.set()
                assert await reading == b"hi"
                connection.more(idle_s)
                assert connection._wait_until >= first_until
                assert await reply.read() == b""
            await transport.aclose()

    run_on(loop, main())


def test_a_reader_that_pauses_is_not_silence_of_the_provider(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        told = asyncio.Event()
        async with FakeUpstream([Expect(), Send(HEAD), Stall(told), Send(b"2\r\nhi\r\n0\r\n\r\n")]) as upstream:
            async with transport.exchange(upstream.url, POST, patient(idle_s=5 * SOON_S)) as reply:
                await asyncio.sleep(7 * SOON_S)
                told.set()
                connection = reply._connection
                assert connection is not None
                await eventually(lambda: connection.complete)
                assert (await reply.read(), await reply.read()) == (b"hi", b"")
            await transport.aclose()

    run_on(loop, main())


def test_a_timer_that_fires_early_is_set_again_and_moves_no_deadline(loop: Loop) -> None:
    """One may be left over from the exchange before; nobody may lose time by it, or gain any."""

    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(HEAD)]) as upstream:
            async with transport.exchange(upstream.url, POST, patient()) as reply:
                connection = reply._connection
                assert connection is not None
                reading = asyncio.ensure_future(reply.read())
                await asyncio.sleep(0)
                until = connection._wait_until
                for _ in range(2):
                    connection._arm(asyncio.get_running_loop().time())
                    await eventually(lambda: connection._timer_at == until)
                    assert connection._wait_until == until
                assert not reading.done()
                reading.cancel()
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_timer_that_fires_while_nobody_waits_ends_nothing(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(HEAD)]) as upstream:
            async with transport.exchange(upstream.url, POST, patient()) as reply:
                connection = reply._connection
                assert connection is not None
                connection._wait_until = now = asyncio.get_running_loop().time()
                connection._arm(now)
                await eventually(lambda: connection._timer_at > now)
                assert connection.error is None
                assert connection._timer_at == connection._total_at
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_the_total_ends_an_exchange_that_nobody_reads(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(HEAD + b"2\r\nhi\r\n")]) as upstream:
            async with transport.exchange(upstream.url, POST, patient(total_s=0.5)) as reply:
                await upstream.peers[0].gone.wait()
                assert await reply.read() == b"hi"
                with pytest.raises(DeadlineExceeded):
                    await reply.read()
            assert transport.idle_connections == 0

    run_on(loop, main())


def test_one_timer_serves_a_connection_for_all_its_exchanges(loop: Loop) -> None:
    """It stays armed at the earliest deadline and is not made anew for each wait."""

    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Expect(), Send(OK)] * 5) as upstream:
            timers = set()
            for _ in range(5):
                async with transport.exchange(upstream.url, POST, patient()) as reply:
                    assert reply._connection is not None
                    timers.add(reply._connection._timer_at)
                    while await reply.read():
                        pass
            assert len(timers) == 1
            await transport.aclose()

    run_on(loop, main())


# A wait for each place where an exchange can be


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# name: the upstream's script, the way to it, whether it is reached by CONNECT
PLACES: dict[str, tuple[list[Action], str, bool]] = {
    "tls": ([], "https://127.0.0.1:{port}", False),
    "connect": ([Expect()], "https://api.test", True),
    "tls in the tunnel": ([Expect(), Send(ESTABLISHED)], "https://api.test", True),
    "head": ([Expect()], "http://127.0.0.1:{port}", False),
    "half a head": ([Expect(), Send(b"HTTP/1.1 200 OK\r\n")], "http://127.0.0.1:{port}", False),
    "body": ([Expect(), Send(HEAD)], "http://127.0.0.1:{port}", False),
}


def through(port: int, place: str, certificates: Certificates) -> tuple[HTTPTransport, str]:
    _, url, tunnelled = PLACES[place]
    proxies = proxies_from({"https_proxy": f"http://127.0.0.1:{port}"}) if tunnelled else Proxies()
    return HTTPTransport(TransportSettings(proxies=proxies, ca_file=certificates.ca)), url.format(port=port)


@pytest.mark.parametrize("place", ["tls", "connect", "tls in the tunnel"])
def test_connecting_has_its_own_time(loop: Loop, place: str, certificates: Certificates) -> None:
    async def main() -> None:
        async with FakeUpstream(PLACES[place][0]) as upstream:
            transport, url = through(upstream.port, place, certificates)
            with pytest.raises(ConnectFailed, match=r"not connected within 0\.05 s$"):
                await drain(transport, url, patient(connect_s=SOON_S))
            with pytest.raises(DeadlineExceeded):
                await drain(transport, url, patient(total_s=SOON_S))
            await eventually(lambda: transport.open_connections == 0)
            for peer in upstream.peers:
                await peer.gone.wait()

    run_on(loop, main())


@pytest.mark.parametrize("cancels", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_cancelled_while_it_waits(loop: Loop, place: str, cancels: int, certificates: Certificates) -> None:
    async def main() -> None:
        waits = asyncio.Event()

        async def tell(_: object) -> None:
            waits.set()

        async with FakeUpstream([*PLACES[place][0], tell]) as upstream:
            transport, url = through(upstream.port, place, certificates)
            task = asyncio.ensure_future(drain(transport, url, patient()))
            await waits.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            assert not task.done()
            for _ in range(cancels):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            await upstream.peers[0].gone.wait()
            await eventually(lambda: transport.open_connections == 0)
            assert transport.idle_connections == 0

    run_on(loop, main())


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_cancelled_after_any_number_of_turns(loop: Loop, secure: bool, certificates: Certificates) -> None:
    """Turn by turn through connecting, sending and reading, until a run ends by itself."""

    async def at(turns: int) -> bool:
        transport = HTTPTransport(TransportSettings(ca_file=certificates.ca))
        tls = certificates.for_server() if secure else None
        pieces = SendPieces([HEAD, b"2\r\nhi\r\n", b"0\r\n\r\n"])
        async with FakeUpstream([Expect(), pieces] * 2, tls=tls) as upstream:
            task = asyncio.ensure_future(drain(transport, upstream.url, patient()))
            for _ in range(turns):
                await asyncio.sleep(0)
            done = task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await eventually(lambda: transport.open_connections == transport.idle_connections)
            assert transport.open_connections <= 1  # kept, where the whole reply was there already
            await transport.aclose()
            for peer in upstream.peers:
                await peer.gone.wait()
        return done

    async def main() -> None:
        turns = 0
        while not await at(turns):
            turns += 1 + turns // 8
        assert turns > 5

    run_on(loop, main())


def test_a_cancelled_read_can_be_followed_by_another(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        told = asyncio.Event()
        async with FakeUpstream([Expect(), Send(HEAD), Stall(told), Send(b"2\r\nhi\r\n0\r\n\r\n")]) as upstream:
            async with transport.exchange(upstream.url, POST, patient()) as reply:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reply.read(), SOON_S)
                told.set()
                assert (await reply.read(), await reply.read()) == (b"hi", b"")
            assert transport.idle_connections == 1
            await transport.aclose()

    run_on(loop, main())


def test_no_path_of_a_file_is_needed_for_plain_http(loop: Loop, tmp_path: Path) -> None:
    """The TLS context, and so the CA file, is looked at only when TLS is."""

    async def main() -> None:
        transport = HTTPTransport(TransportSettings(ca_file=str(tmp_path / "none.pem")))
        async with FakeUpstream([Expect(), Send(OK)]) as upstream:
            assert await drain(transport, upstream.url, patient()) == b"ok"
            await transport.aclose()

    run_on(loop, main())
