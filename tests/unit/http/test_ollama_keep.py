"""What a client is told while a model of the gateway's own is on its way."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from engine_world import FakeBudgets, FakeClock, FakeTransport, FreeOfCharge
from hoosh.core.errors import HooshError, UnknownModel
from hoosh.core.local_model import LocalModel
from hoosh.core.principal import ANONYMOUS
from hoosh.dialects.ollama.client import CHAT
from hoosh.engine.catalog import Catalog
from hoosh.engine.router import Router, Rules
from hoosh.engine.vitals import Vitals
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.http.ollama.keep import Keeping
from hoosh.http.ollama.servers import Servers
from hoosh.policy.breaker import BreakerRules

MODEL = LocalModel(name="tiny", size_bytes=1000, sha256="ab", licence="MIT", description="", modified_s=0)


class FakeShelf:
    """A model of a thousand bytes that comes one by one, as a store pulls: in the thread that asks."""

    def __init__(self, failure: HooshError | None = None) -> None:
        self._failure = failure
        self.removed: list[str] = []

    def models(self) -> Sequence[LocalModel]:
        return [MODEL]

    def pullable(self, name: str) -> str:
        return "ab" * 32 if name == "tiny" else ""

    def pull(self, name: str, progress: Callable[[int, int], None]) -> LocalModel:
        for done_bytes in range(1001):
            progress(done_bytes, 1000)
        progress(5, 2000)
        if self._failure:
            raise self._failure
        return MODEL

    def remove(self, name: str) -> None:
        self.removed.append(name)


def asked(shelf: FakeShelf, body: object) -> bytes:
    """What a pull is answered with."""
    wire = MemoryWire(json.dumps(body).encode())

    async def main() -> None:
        transport = FakeTransport({})
        clock = FakeClock()
        catalog = Catalog([], transport, clock, Vitals(clock, BreakerRules()))
        router = Router(catalog, Rules(), FreeOfCharge(), FakeBudgets())
        servers = Servers(catalog, router, transport)
        headers = {b"content-type": b"application/json"}
        exchange = Exchange("POST", "/api/pull", headers, wire)
        exchange.principal = ANONYMOUS
        await Keeping(servers, shelf, CHAT).pull(exchange)

    asyncio.run(main())
    return wire.said


def lines(said: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_progress_is_a_line_for_each_percent() -> None:
    said = lines(asked(FakeShelf(), {"model": "tiny"}))
    assert [line["status"] for line in (said[0], *said[-3:])] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    steps = [line["completed"] for line in said if "completed" in line]
    assert len(steps) == 101
    assert (steps[0], steps[-1]) == (0, 1000)
    assert steps == sorted(steps)
    assert {line["digest"] for line in said if "digest" in line} == {f"sha256:{'ab' * 32}"}


def test_without_a_stream_only_the_end_is_told() -> None:
    assert lines(asked(FakeShelf(), {"model": "tiny", "stream": False})) == [{"status": "success"}]


def test_what_goes_wrong_on_the_way_is_the_last_line() -> None:
    said = lines(asked(FakeShelf(HooshError("the disk is full")), {"model": "tiny"}))
    assert said[-1] == {"error": "the disk is full"}
    assert not any(line.get("status") == "success" for line in said)
    with pytest.raises(HooshError, match="disk"):
        asked(FakeShelf(HooshError("the disk is full")), {"model": "tiny", "stream": False})


def test_a_model_that_nobody_can_pull_is_not_found() -> None:
    with pytest.raises(UnknownModel, match="llama3"):
        asked(FakeShelf(), {"model": "llama3"})
