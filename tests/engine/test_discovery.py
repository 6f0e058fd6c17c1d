"""Finding local servers: where each is looked for, and whose word is believed."""

import asyncio
from collections.abc import Mapping
from types import TracebackType

import pytest

from hoosh.core.errors import ConfigError, ConnectFailed
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.engine.backend import tongues_of
from hoosh.engine.discovery import address, discover
from hoosh.providers import Provider, llamacpp, lmstudio, localai, ollama

KINDS: tuple[Provider, ...] = (ollama.PROVIDER, llamacpp.PROVIDER, lmstudio.PROVIDER, localai.PROVIDER)
OLLAMA, SHARED, STUDIO = "http://localhost:11434", "http://localhost:8080/v1", "http://localhost:1234/v1"
TAGS = (200, b'{"models":[{"name":"llama3.2:latest"}]}')
IDS = (200, b'{"data":[{"id":"a"}]}')
LLAMA = (200, b'{"data":[{"id":"a","owned_by":"llamacpp"}]}')
SILENT = "silent"
Answer = tuple[int, bytes] | Exception | str


class Server:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._left = b""

    async def __aenter__(self) -> "Server":
        if isinstance(self._answer, str):
            await asyncio.Event().wait()
        elif isinstance(self._answer, Exception):
            raise self._answer
        else:
            self.status, self._left = self._answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._left = b""

    async def read(self) -> bytes:
        piece, self._left = self._left, b""
        return piece


class Ports:
    """ports.Transport: whoever listens at an address. Elsewhere nobody does."""

    def __init__(self, servers: Mapping[str, Answer]) -> None:
        self._servers = servers
        self.asked: list[str] = []
        self.timeouts: set[Timeouts] = set()

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> Server:
        self.asked.append(base_url)
        self.timeouts.add(timeouts)
        return Server(self._servers.get(base_url, ConnectFailed("refused")))


def found(
    servers: Mapping[str, Answer], environ: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> list[tuple[str, str]]:
    async def main() -> list[tuple[str, str]]:
        backends = await discover(KINDS, ports, environ or {}, timeout_s)
        for backend in backends:
            assert backend.tongues == tongues_of(backend.provider)
            assert backend.local == ("//host" not in backend.base_url), "another machine is not local"
        return [(backend.name, backend.base_url) for backend in backends]

    ports = Ports(servers)
    result = asyncio.run(main())
    assert sorted(ports.asked) == sorted(set(ports.asked)), "one question to each address"
    return result


def test_all_that_answer_are_found_in_the_order_of_their_kinds() -> None:
    assert found({STUDIO: IDS, OLLAMA: TAGS}) == [("ollama", OLLAMA), ("lmstudio", STUDIO)]
    assert found({}) == []


@pytest.mark.parametrize(("answer", "name"), [(LLAMA, "llamacpp"), (IDS, "localai")])
def test_of_those_who_share_a_port_the_signature_decides(answer: Answer, name: str) -> None:
    assert found({SHARED: answer}) == [(name, SHARED)]


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"not found"),
        (401, TAGS[1]),
        (302, b""),
        (200, b""),
        (200, b"<html>hello</html>"),
        (200, b'{"other":1}'),
        (200, b"\xff\xfe"),
        ConnectFailed("refused"),
        ConfigError("no such address"),
    ],
)
def test_whoever_answers_something_else_is_not_one(answer: Answer) -> None:
    assert found({OLLAMA: answer, STUDIO: IDS}) == [("lmstudio", STUDIO)]


def test_a_server_that_is_silent_holds_up_nobody() -> None:
    assert found({OLLAMA: SILENT, STUDIO: IDS}, timeout_s=0.05) == [("lmstudio", STUDIO)]


def test_the_transport_is_told_the_same_limit() -> None:
    ports = Ports({})
    asyncio.run(discover(KINDS, ports, {}, 0.7))
    assert ports.timeouts == {Timeouts(connect_s=0.7, first_byte_s=0.7, idle_s=0.7, total_s=0.7)}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", OLLAMA),
        ("  ", OLLAMA),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("0.0.0.0:9", "http://127.0.0.1:9"),
        ("host", "http://host:11434"),
        ("host:1", "http://host:1"),
        (" host:1/ ", "http://host:1"),
        ("http://host:1/", "http://host:1"),
        ("https://host:1", "https://host:1"),
    ],
)
def test_ollamas_own_variable_says_where_it_is(host: str, url: str) -> None:
    environ = {"OLLAMA_HOST": host}
    assert address(ollama.PROVIDER, environ) == url
    assert found({url: TAGS}, environ) == [("ollama", url)]


def test_it_says_nothing_of_other_servers() -> None:
    assert address(lmstudio.PROVIDER, {"OLLAMA_HOST": "host:1"}) == STUDIO
