"""Requests that two servers could read in two ways, and more of a request than anybody needs: told to a real gateway over
raw sockets. After each of them another request follows on the same connection: it is answered only where nobody can
doubt where it begins.
"""

import re
from collections.abc import Iterator

import pytest

from gateway import Provider, Running, one_provider, provider, serving

POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
NEXT = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
BODY = b'{"model":"echo","messages":[{"role":"user","content":"x"}]}'
SIZE = b"%d" % len(BODY)
HEX = b"%x" % len(BODY)


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("smuggling"), one_provider(fake.url)) as running:
        yield running


def statuses(said: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]


def lengths(value: bytes) -> bytes:
    return POST + b"content-length:" + value + b"\r\n\r\n" + BODY


def chunks(size_line: bytes, end: bytes = b"\r\n", last: bytes = b"0\r\n\r\n") -> bytes:
    return CHUNKED + size_line + BODY + end + last


REFUSED = {
    "length and chunks": POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: " + SIZE + b"\r\ncontent-length: 0\r\n\r\n" + BODY,
    "two equal lengths": POST + (b"content-length: " + SIZE + b"\r\n") * 2 + b"\r\n" + BODY,
    "a list of lengths": lengths(b" %b, %b" % (SIZE, SIZE)),
    "a length and a comma": lengths(b" %b," % SIZE),
    "a length with a plus": lengths(b" +" + SIZE),
    "a length with a minus": lengths(b" -" + SIZE),
    "a length in hex": lengths(b" 0x" + HEX),
    "a length with an exponent": lengths(b" 59e0"),
    "a length with an underscore": lengths(b" 5_9"),
    "two numbers": lengths(b" 5 9"),
    "no length": lengths(b" "),
    "a length beyond 64 bits": lengths(b" 18446744073709551675"),
    "a length in Arabic digits": lengths(" ٥٩".encode()),
    "xchunked": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked, and again": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked before identity": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "no coding": POST + b"transfer-encoding:\r\n\r\n0\r\n\r\n",
    "chunked on a folded line": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "an underscore for chunks": POST + b"transfer_encoding: chunked\r\n\r\n0\r\n\r\n",
    "an underscore for a length": POST + b"content_length: " + SIZE + b"\r\n\r\n" + BODY,
    "space before the colon": POST + b"content-length : " + SIZE + b"\r\n\r\n" + BODY,
    "tab before the colon": POST + b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": POST + b"x: a\r\n b\r\n\r\n",
    "a folded first line": b"GET /livez HTTP/1.1\r\n host: localhost\r\n\r\n",
    "line feeds alone": POST.replace(b"\r\n", b"\n") + b"content-length: 0\n\n",
    "one line feed alone": POST + b"x: a\ncontent-length: " + SIZE + b"\r\n\r\n" + BODY,
    "a head that ends in one": POST + b"content-length: " + SIZE + b"\r\n\n" + BODY,
    "a carriage return alone": POST + b"x: a\rcontent-length: 0\r\n\r\n",
    "two carriage returns": POST + b"x: a\r\r\n\r\n",
    "NUL in a value": POST + b"x: a\x00b\r\n\r\n",
    "NUL in a name": POST + b"x\x00y: a\r\n\r\n",
    "NUL in the target": POST.replace(b"completions", b"completions\x00"),
    "a control character in a value": POST + b"x: a\x01b\r\n\r\n",
    "a byte of no ASCII in a name": POST + b"x\xff: a\r\n\r\n",
    "a blank in the target": POST.replace(b"/chat", b"/cha t") + b"\r\n",
    "tabs in the first line": POST.replace(b" ", b"\t") + b"\r\n",
    "no host": POST.replace(b"host: localhost\r\n", b"") + b"\r\n",
    "two hosts": POST + b"host: localhost\r\n\r\n",
    "a host with a user": POST.replace(b"localhost", b"a@localhost") + b"\r\n",
    "a host with a path": POST.replace(b"localhost", b"localhost/x") + b"\r\n",
    "a host of two words": POST.replace(b"localhost", b"localhost evil") + b"\r\n",
    "HTTP/2.0": POST.replace(b"/1.1", b"/2.0") + b"\r\n",
    "HTTP/1.2": POST.replace(b"/1.1", b"/1.2") + b"\r\n",
    "an unknown method": POST.replace(b"POST", b"SMUGGLE") + b"\r\n",
    "a chunk's size with a sign": chunks(b"+" + HEX + b"\r\n"),
    "a chunk's size with a minus": chunks(b"-" + HEX + b"\r\n"),
    "a chunk's size with 0x": chunks(b"0x" + HEX + b"\r\n"),
    "a chunk's size with an underscore": chunks(b"3_b\r\n"),
    "a chunk's size and a blank": chunks(HEX + b" \r\n"),
    "a chunk's size beyond 64 bits": chunks(b"1000000000000003b\r\n"),
    "a chunk's size ends in a line feed": chunks(HEX + b"\n"),
    "a chunk's note ends in a line feed": chunks(HEX + b";a=\n"),
    "a chunk's note has a line in quotes": chunks(HEX + b';a="\r\n', end=b"\r\n"),
    "a chunk ends in a line feed": chunks(HEX + b"\r\n", end=b"\n"),
    "a chunk is longer than it says": chunks(b"3a\r\n"),
    "the last chunk ends in line feeds": chunks(HEX + b"\r\n", last=b"0\n\n"),
    "a length in the trailer": chunks(HEX + b"\r\n", last=b"0\r\ncontent-length: 9\r\n\r\n"),
}
ANSWERED = {
    "a length after a tab": lengths(b"\t" + SIZE),
    "zeros before a length": lengths(b" 00" + SIZE),
    "chunks": chunks(HEX + b"\r\n"),
    "chunks with a note": chunks(HEX + b";a=b\r\n"),
    "chunks in capitals": chunks(HEX + b"\r\n").replace(b": chunked", b":\tCHUNKED"),
    "a trailer": chunks(HEX + b"\r\n", last=b"0\r\nx: y\r\n\r\n"),
    "an absolute target": lengths(b" " + SIZE).replace(b"POST /", b"POST http://elsewhere.example/"),
    "an absolute target with a user": lengths(b" " + SIZE).replace(b"POST /", b"POST http://a:b@c.example/"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_served(
    gateway: Running, fake: Provider, name: str
) -> None:
    asked = len(fake.bodies)
    said = gateway.raw(REFUSED[name] + NEXT)
    assert statuses(said) == [400], said
    assert b"connection: close" in said
    assert b"not a valid HTTP/1.1 request" in said
    assert len(fake.bodies) == asked


@pytest.mark.parametrize("name", ANSWERED)
def test_what_can_be_read_in_one_way_is_answered_and_so_is_the_next(
    gateway: Running, fake: Provider, name: str
) -> None:
    asked = len(fake.bodies)
    said = gateway.raw(ANSWERED[name] + NEXT)
    assert statuses(said) == [200, 200], said
    assert len(fake.bodies) == asked + 1


def test_a_tunnel_is_not_opened(gateway: Running) -> None:
    said = gateway.raw(b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: elsewhere.example:443\r\n\r\n" + NEXT)
    assert statuses(said) == [404, 200]


def get(target: bytes, *lines: bytes) -> bytes:
    head = b"GET %b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n" % target
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize("size", [8193, 20_000, 40_000, 1 << 20])
def test_a_target_that_is_too_long(gateway: Running, size: int) -> None:
    said = gateway.raw(get(b"/livez?" + b"a" * (size - 7)))
    assert statuses(said) == [414]
    assert b'"code":"request_target_too_long"' in said


def test_a_target_of_eight_kibibytes_is_taken(gateway: Running) -> None:
    assert statuses(gateway.raw(get(b"/livez?" + b"a" * (8192 - 7)))) == [200]


@pytest.mark.parametrize("count", [99, 1000, 5000])
@pytest.mark.parametrize("alike", [True, False])
def test_more_headers_than_anybody_has(gateway: Running, count: int, alike: bool) -> None:
    """Two are in every request here."""
    said = gateway.raw(get(b"/livez", *(b"x: y" if alike else b"x%d: y" % n for n in range(count))))
    assert statuses(said) == [431]
    assert b'"code":"request_headers_too_large"' in said


def test_a_hundred_headers_are_taken(gateway: Running) -> None:
    assert statuses(gateway.raw(get(b"/livez", *(b"x%d: y" % n for n in range(98))))) == [200]


def test_a_header_of_64_kilobytes(gateway: Running) -> None:
    assert statuses(gateway.raw(get(b"/livez", b"x: " + b"y" * 65_536))) == [431]


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"deflate", b"gzip, identity", b"x"])
def test_a_compressed_body_is_not_unpacked(gateway: Running, fake: Provider, coding: bytes) -> None:
    asked = len(fake.bodies)
    head = POST + b"connection: close\r\ncontent-encoding: " + coding + b"\r\ncontent-length: 4\r\n\r\n"
    assert statuses(gateway.raw(head + b"\x1f\x8b\x08\x00")) == [415]
    assert len(fake.bodies) == asked


@pytest.mark.parametrize(
    "framing", [b"content-length: 1073741824", b"content-length: 9223372036854775807", b"content-length: 10485761"]
)
def test_a_gigabyte_is_refused_by_what_it_says(gateway: Running, framing: bytes) -> None:
    assert statuses(gateway.raw(POST + framing + b"\r\n\r\n{")) == [413]


def test_chunks_without_an_end_are_refused_at_the_limit(gateway: Running) -> None:
    megabyte = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    assert statuses(gateway.raw(CHUNKED + megabyte * 11)) == [413]
