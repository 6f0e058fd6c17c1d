"""TLS to providers with certificates made here: what is trusted, and that nothing else is."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

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
    Send,
    SendPieces,
    eventually,
    make_certificates,
    run_on,
)
from hoosh.core.errors import ConfigError, ConnectFailed
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.transport.dial import Dialer
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings

Loop = Callable[[], asyncio.AbstractEventLoop]
pytestmark = pytest.mark.parametrize("loop", LOOPS)

PATIENT = Timeouts(connect_s=PATIENCE_S, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S, total_s=2 * PATIENCE_S)
POST = WireRequest("/chat", b"{}" * 50_000)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
ANSWER: list[Action] = [Expect(), Send(OK)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


async def drain(transport: HTTPTransport, url: str) -> bytes:
    async with transport.exchange(url, POST, PATIENT) as reply:
        body = b""
        while piece := await reply.read():
            body += piece
        return body


def test_a_trusted_provider_is_spoken_to_and_kept(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings(ca_file=certificates.ca))
        agreed = []

        async def look(peer: Peer) -> None:
            tls: ssl.SSLObject = peer.writer.get_extra_info("ssl_object")
            agreed.append(tls.selected_alpn_protocol())

        async with FakeUpstream([look, *ANSWER, *ANSWER], tls=certificates.for_server()) as upstream:
            assert await drain(transport, upstream.url) == b"ok"
            assert await drain(transport, f"https://127.0.0.1:{upstream.port}/v1") == b"ok"
            assert [request.body for request in upstream.requests] == [POST.body] * 2
            assert len(upstream.peers) == 1
            assert agreed == ["http/1.1"]
            await transport.aclose()
            await upstream.peers[0].gone.wait()

    run_on(loop, main())


def test_the_name_is_told_to_the_provider(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        names: list[str | None] = []
        tls = certificates.for_server()
        tls.sni_callback = lambda _socket, name, _context: names.append(name)
        transport = HTTPTransport(TransportSettings(ca_file=certificates.ca))
        async with FakeUpstream([Expect(), Send(OK)], tls=tls) as upstream:
            assert await drain(transport, f"https://localhost:{upstream.port}") == b"ok"
            assert names == ["localhost"]
            await transport.aclose()

    run_on(loop, main())


def test_an_unknown_ca_is_refused(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        for ca_file in ("", certificates.stranger):
            transport = HTTPTransport(TransportSettings(ca_file=ca_file))
            async with FakeUpstream([Expect(), Send(OK)], tls=certificates.for_server()) as upstream:
                with pytest.raises(
                    ConnectFailed, match=r"^127\.0\.0\.1:\d+: its certificate is refused: unable to get"
                ):
                    await drain(transport, upstream.url)
                assert not upstream.requests
                await eventually(lambda transport=transport: transport.open_connections == 0)  # type: ignore[misc]

    run_on(loop, main())


def test_a_certificate_of_another_host_is_refused(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings(ca_file=certificates.ca))
        async with FakeUpstream([Expect(), Send(OK)], tls=certificates.for_server("other")) as upstream:
            with pytest.raises(ConnectFailed, match=r"its certificate is refused: .*mismatch"):
                await drain(transport, upstream.url)
            assert not upstream.requests
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_provider_without_tls_is_refused(loop: Loop, certificates: Certificates) -> None:
    async def garbage(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([garbage]) as upstream:
            with pytest.raises(ConnectFailed, match=r"^127\.0\.0\.1:\d+: TLS failed: "):
                await drain(transport, f"https://127.0.0.1:{upstream.port}")
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_provider_that_hangs_up_on_tls(loop: Loop) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings())
        async with FakeUpstream([Close()]) as upstream:
            with pytest.raises(ConnectFailed, match=r"^127\.0\.0\.1:\d+: \w"):
                await drain(transport, f"https://127.0.0.1:{upstream.port}")
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_ca_file_that_is_none(loop: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        for name, content in (("missing.pem", None), ("empty.pem", b"not PEM")):
            if content is not None:
                (tmp_path / name).write_bytes(content)
            transport = HTTPTransport(TransportSettings(ca_file=str(tmp_path / name)))
            with pytest.raises(ConfigError, match=name):
                await drain(transport, "https://127.0.0.1:9")
            assert transport.open_connections == 0

    run_on(loop, main())


def test_pieces_and_leaving_over_tls(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings(ca_file=certificates.ca))
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        script: list[Action] = [Expect(), SendPieces([head[:9], head[9:], b"2\r\nhi\r\n"])]
        async with FakeUpstream(script, tls=certificates.for_server()) as upstream:
            async with transport.exchange(upstream.url, POST, PATIENT) as reply:
                assert await reply.read() == b"hi"
            await upstream.peers[0].gone.wait()
            await eventually(lambda: transport.open_connections == 0)

    run_on(loop, main())


def test_a_close_is_seen_and_ends_a_body_without_length(loop: Loop, certificates: Certificates) -> None:
    async def main() -> None:
        transport = HTTPTransport(TransportSettings(ca_file=certificates.ca))
        until_eof: list[Action] = [Expect(), Send(b"HTTP/1.1 200 OK\r\n\r\nto the end"), Close()]
        scripts: list[list[Action]] = [until_eof, [*ANSWER, Close()], [*ANSWER, Expect(), Close()], ANSWER]
        async with FakeUpstream(*scripts, tls=certificates.for_server()) as upstream:
            assert await drain(transport, upstream.url) == b"to the end"
            assert await drain(transport, upstream.url) == b"ok"
            await eventually(lambda: transport.open_connections == 0)
            for _ in range(2):
                assert await drain(transport, upstream.url) == b"ok"
            assert [len(peer.requests) for peer in upstream.peers] == [1, 1, 2, 1]
            await transport.aclose()

    run_on(loop, main())


def test_a_reader_that_does_not_read_stops_a_provider_over_tls(loop: Loop, certificates: Certificates) -> None:
    size = 32 << 20

    async def flood(peer: Peer) -> None:
        for _ in range(size >> 16):
            await peer.send(bytes(1 << 16))

    async def main() -> None:
        transport = HTTPTransport(TransportSettings(ca_file=certificates.ca))
        head = Send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        async with FakeUpstream([Expect(), head, flood], tls=certificates.for_server()) as upstream:
            async with transport.exchange(upstream.url, POST, PATIENT) as reply:
                connection = reply._connection
                assert connection is not None
                await eventually(lambda: connection._paused)
                for _ in range(100):
                    await asyncio.sleep(0)
                assert sum(map(len, connection.pieces)) < 2 << 20
                got = 0
                while piece := await reply.read():
                    got += len(piece)
                assert got == size
            await transport.aclose()

    run_on(loop, main())


def test_tls_is_1_2_or_later_and_always_verified(loop: Loop, certificates: Certificates) -> None:
    for ca_file in ("", certificates.ca):
        context = Dialer(ca_file)._context()
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
