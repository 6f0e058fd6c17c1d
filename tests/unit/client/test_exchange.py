"""Retries, and what becomes of connections, over a network of a few lines: no socket, no clock."""

from io import BytesIO
from typing import Any, BinaryIO

import pytest

from hoosh.client import calls
from hoosh.client.errors import APIConnectionError, APIError, APITimeoutError, RateLimitError
from hoosh.client.exchange import MAX_IDLE_LINKS, Caller
from hoosh.client.multipart import Form
from hoosh.client.network import Link, Untrusted
from hoosh.client.settings import Options, Settings, resolve
from hoosh.client.sync import _now
from hoosh.client.types import Timeouts

HEALTHY = b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"status":"ok"}'
BUSY = b"HTTP/1.1 503 X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n"
ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"choices":[]}'
TEXT = b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"text":""}'
HEALTH = calls.health()
CHAT = calls.chat({"model": "m"}, None)


class Fake:
    """A connection that answers each request with the next of `replies`; an error there is raised in its place."""

    def __init__(self, *replies: bytes | OSError, refuses: OSError | None = None) -> None:
        self._replies = list(replies)
        self._refuses = refuses
        self.sent = b""
        self.aborted = 0

    async def send(self, data: bytes) -> None:
        if self._refuses is not None:
            raise self._refuses
        self.sent += data

    async def receive(self) -> bytes:
        reply = self._replies.pop(0)
        if isinstance(reply, OSError):
            raise reply
        return reply

    def is_idle(self) -> bool:
        return not self.aborted

    def abort(self) -> None:
        self.aborted += 1


class World:
    """Connections in their order; an error there is raised in its place."""

    def __init__(self, *links: Fake | OSError) -> None:
        self._links = list(links)
        self.waits: list[float] = []

    async def connect(self, settings: Settings) -> Link:
        link = self._links.pop(0)
        if isinstance(link, OSError):
            raise link
        return link

    async def read(self, file: BinaryIO, size_bytes: int) -> bytes:
        return file.read(size_bytes)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def caller(world: World, *, max_retries: int = 2) -> Caller:
    options = Options(base_url="http://h:1", max_retries=max_retries, timeouts=Timeouts(connect_s=1, read_s=2))
    return Caller(resolve(options, {}), world)


def test_who_is_not_there_yet_is_asked_again_after_a_growing_while() -> None:
    world = World(ConnectionRefusedError("no"), OSError("no route"), Fake(ANSWER))
    assert _now(caller(world).fetch(CHAT)).choices == ()
    first, second = world.waits
    assert 0.3 < first < 0.7 < second < 1.4


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (Untrusted("self-signed"), APIConnectionError, "cannot reach http://h:1: self-signed"),
        (TimeoutError(), APITimeoutError, "cannot reach http://h:1 within 1 s"),
    ],
)
def test_what_would_end_the_same_way_is_not_repeated(error: OSError, kind: type[APIError], words: str) -> None:
    world = World(error)
    with pytest.raises(kind) as raised:
        _now(caller(world).fetch(HEALTH))
    assert raised.value.message == words
    assert world.waits == []


def test_the_server_says_how_long_to_wait() -> None:
    world = World(Fake(BUSY, BUSY, ANSWER))
    _now(caller(world).fetch(CHAT))
    assert world.waits == [7.0, 7.0]
    with pytest.raises(APIError, match="503"):
        _now(caller(World(Fake(BUSY)), max_retries=0).fetch(CHAT))


@pytest.mark.parametrize("end", [b"", ConnectionResetError("reset")])
def test_only_a_safe_call_is_repeated_when_no_reply_came(end: Any) -> None:
    world = World(first := Fake(end), Fake(HEALTHY))
    assert _now(caller(world).fetch(HEALTH)).status == "ok"
    assert len(world.waits) == 1
    assert first.aborted
    with pytest.raises(APIConnectionError) as raised:
        _now(caller(World(Fake(end))).fetch(CHAT))
    assert raised.value.sent
    assert raised.value.request_id


def test_a_check_of_tokens_is_safe_and_a_reservation_is_not() -> None:
    answer = b'HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n{"allowed":true,"available":1}'
    body = {"pool": "p", "tokens": 1}
    assert _now(caller(World(Fake(b""), Fake(answer))).fetch(calls.check(body))).allowed
    for call in (calls.reserve(body), calls.report(body), calls.release(body)):
        with pytest.raises(APIConnectionError):
            _now(caller(World(Fake(b""))).fetch(call))


def test_silence_is_a_timeout() -> None:
    for link in (Fake(TimeoutError()), Fake(refuses=TimeoutError())):
        with pytest.raises(APITimeoutError, match="for 2 s"):
            _now(caller(World(link)).fetch(HEALTH))
        assert link.aborted


def test_a_body_that_breaks_off_is_not_repeated() -> None:
    world = World(link := Fake(HEALTHY[:-2], b""))
    with pytest.raises(APIConnectionError, match="in the middle"):
        _now(caller(world).fetch(HEALTH))
    assert link.aborted
    assert world.waits == []


def test_a_server_that_refuses_before_all_is_sent_is_heard() -> None:
    told = b"HTTP/1.1 429 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    link = Fake(told, refuses=BrokenPipeError())
    with pytest.raises(RateLimitError):
        _now(caller(World(link)).fetch(CHAT))
    assert link.aborted


def test_no_more_than_some_connections_are_kept() -> None:
    one = caller(World())
    links = [Fake() for _ in range(MAX_IDLE_LINKS + 2)]
    for link in links:
        one.keep(link)
    assert [link.aborted for link in links] == [0] * MAX_IDLE_LINKS + [1] * 2
    one.close()
    assert all(link.aborted == 1 for link in links)
    one.keep(late := Fake())
    assert late.aborted


def test_a_wrong_header_never_leaves() -> None:
    world = World(link := Fake())
    with pytest.raises(ValueError):
        _now(caller(world).fetch(calls.chat({}, {"x": "a\r\nb: c"})))
    assert link.sent == b""
    assert link.aborted


class Shrinking(BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size)[:-1]


def test_a_file_that_shrinks_while_it_is_sent() -> None:
    link = Fake(TEXT)
    with pytest.raises(OSError, match="shorter"):
        _now(caller(World(link)).fetch(calls.transcribe(Form(Shrinking(b"abc"), "file", None, {}))))
    assert link.aborted


def test_a_file_is_read_in_pieces_and_not_past_its_length() -> None:
    reads: list[int] = []

    class Growing(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reads.append(size or 0)
            return b"x" * (size or 0)

    link = Fake(TEXT)
    _now(caller(World(link)).fetch(calls.transcribe(Form(Growing(bytes(100_000)), "file", None, {}))))
    assert reads == [65536, 34464]
    head, _, body = link.sent.partition(b"\r\n\r\n")
    assert int(head.partition(b"content-length: ")[2]) == len(body)
