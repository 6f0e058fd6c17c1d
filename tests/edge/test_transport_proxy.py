"""Proxies on real sockets: CONNECT for https, absolute-form for http, and what a proxy may refuse."""

import asyncio
from collections.abc import Callable

import pytest

from edge.fake_upstream import (
    LOOPS,
    PATIENCE_S,
    Action,
    Certificates,
    Close,
    Expect,
    FakeUpstream,
    Peer,
    Rst,
    Send,
    SendPieces,
    eventually,
    make_certificates,
    run_on,
)
from hoosh.core.errors import ConnectFailed
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.proxy import proxies_from
from hoosh.transport.settings import TransportSettings

Loop = Callable[[], asyncio.AbstractEventLoop]
pytestmark = pytest.mark.parametrize("loop", LOOPS)

PATIENT = Timeouts(connect_s=PATIENCE_S, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S, total_s=2 * PATIENCE_S)
POST = WireRequest("/chat?q=1", b"{}")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nvia: 1.1 me\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def relay(port: int) -> Action:
    """Whatever name CONNECT said, the bytes go to this port of this machine."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def action(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))
        finally:
            writer.transport.abort()

    return action


def behind(proxy: FakeUpstream, certificates: Certificates, user: str = "") -> HTTPTransport:
    proxies = proxies_from({"ALL_PROXY": proxy.url.replace("://", f"://{user}@") if user else proxy.url})
    return HTTPTransport(TransportSettings(proxies=proxies, ca_file=certificates.ca))


async def drain(transport: HTTPTransport, url: str) -> tuple[int, bytes]:
    async with transport.exchange(url, POST, PATIENT) as reply:
        body = b""
        while piece := await reply.read():
            body += piece
        return reply.status, body


@pytest.mark.parametrize("secure_proxy", [False, True], ids=["http proxy", "https proxy"])
def test_https_goes_through_a_tunnel(loop: Loop, secure_proxy: bool, certificates: Certificates) -> None:
    async def main() -> None:
        async with FakeUpstream([Expect(), Send(OK)] * 2, tls=certificates.for_server()) as upstream:
            script: list[Action] = [Expect(), SendPieces([ESTABLISHED[:20], ESTABLISHED[20:]]), relay(upstream.port)]
            async with FakeUpstream(script, tls=certificates.for_server() if secure_proxy else None) as proxy:
                transport = behind(proxy, certificates, "me:p%40ss")
                for _ in range(2):
                    assert await drain(transport, "https://api.test/v1") == (200, b"ok")
                assert proxy.requests[0].head == (
                    b"CONNECT api.test:443 HTTP/1.1\r\nhost: api.test:443\r\n"
                    b"proxy-authorization: Basic bWU6cEBzcw==\r\n\r\n"
                )
                assert len(proxy.peers) == len(upstream.peers) == 1
                assert [request.path for request in upstream.requests] == [b"/v1/chat?q=1"] * 2
                assert upstream.requests[0].headers[b"host"] == b"api.test"
                assert b"proxy-authorization" not in upstream.requests[0].headers
                await transport.aclose()
                assert transport.open_connections == 0

    run_on(loop, main())


def test_http_goes_in_absolute_form(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        async with FakeUpstream([Expect(), Send(OK)] * 2) as proxy:
            transport = behind(proxy, certificates, "me:secret")
            for _ in range(2):
                assert await drain(transport, "http://api.test:8080/v1") == (200, b"ok")
            assert proxy.requests[1].path == b"http://api.test:8080/v1/chat?q=1"
            assert proxy.requests[1].headers[b"host"] == b"api.test:8080"
            assert proxy.requests[1].headers[b"proxy-authorization"] == b"Basic bWU6c2VjcmV0"
            assert len(proxy.peers) == 1
            await transport.aclose()

    run_on(loop, main())


def test_this_machine_is_reached_directly(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        async with FakeUpstream([Expect(), Send(OK)]) as upstream, FakeUpstream([]) as proxy:
            transport = behind(proxy, certificates)
            assert await drain(transport, upstream.url) == (200, b"ok")
            assert not proxy.peers
            await transport.aclose()

    run_on(loop, main())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            [Send(b"HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n")],
            "the proxy answered 407",
        ),
        ([Send(b"HTTP/1.0 502 Bad\r\n\r\nno way")], "the proxy answered 502"),
        ([Send(b"SSH-2.0-x\r\n\r\n")], "the proxy did not answer CONNECT in HTTP"),
        ([Send(b"HTTP/1.1 200 OK\r\nx: " + b"1" * 20_000)], "the proxy did not answer CONNECT in HTTP"),
        ([Send(ESTABLISHED + b"early")], "the proxy did not answer CONNECT in HTTP"),
        ([Close()], "the proxy closed the connection"),
        ([Rst()], "the proxy closed the connection"),
        ([Send(b"HTTP/1.1 200"), Close()], "the proxy closed the connection"),
    ],
    ids=["407", "502", "not http", "endless", "early bytes", "fin", "rst", "half"],
)
def test_a_proxy_that_gives_no_tunnel(loop: Loop, answer: list[Action], says: str, certificates: Certificates) -> None:
    async def main() -> None:
        async with FakeUpstream([Expect(), *answer]) as proxy:
            transport = behind(proxy, certificates, "me:secret")
            with pytest.raises(ConnectFailed) as caught:
                await drain(transport, "https://api.test/v1")
            assert caught.value.message == f"api.test: {says}"
            await proxy.peers[0].gone.wait()
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_the_far_end_of_a_tunnel_is_verified(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        upstream = FakeUpstream([Expect(), Send(OK)], tls=certificates.for_server())

        async def to_upstream(peer: Peer) -> None:
            await relay(upstream.port)(peer)

        proxy = FakeUpstream([Expect(), Send(ESTABLISHED), to_upstream])
        async with upstream, proxy:
            transport = behind(proxy, certificates)
            with pytest.raises(ConnectFailed, match=r"^other\.test \(by its proxy\): its certificate is refused"):
                await drain(transport, "https://other.test")
            assert not upstream.requests
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_proxy_that_is_not_there(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        async with FakeUpstream([]) as proxy:
            transport = behind(proxy, certificates, "me:secret")
        with pytest.raises(ConnectFailed) as caught:
            await drain(transport, "https://api.test")
        assert caught.value.message == "api.test (by its proxy): connection refused"
        assert transport.open_connections == 0

    run_on(loop, main())
