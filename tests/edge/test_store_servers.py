"""A store that is a server dies under a gateway, or stands still: money is refused, health tells, and all goes on after."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest

import postgres_server
import redis_server
from gateway import PATIENCE_S, Provider, Running, one_provider, provider, serving

ASK = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
BUDGET = '[[budgets]]\nname = "default"\ncapacity = 100_000\n'


class Server(Protocol):
    @property
    def url(self) -> str: ...

    @property
    def pids(self) -> list[int]: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


SERVERS: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "postgres": postgres_server.server,
    "redis": lambda: redis_server.server("--appendfsync", "always"),
}


@pytest.fixture
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@contextlib.contextmanager
def over(kind: str, home: Path, fake: Provider, durability: str) -> Iterator[tuple[Running, Server]]:
    with SERVERS[kind]() as server:
        store = f"[store]\nkind = '{kind}'\nurl = '{server.url}'\ndurability = '{durability}'\nlease_s = 2\n"
        with serving(home, one_provider(fake.url) + BUDGET + store) as gateway:
            yield gateway, server


def health(gateway: Running) -> str:
    return str(gateway.ask(b"", path="/v1/health", method="GET").value["store"])


def until(gateway: Running, status: int) -> int:
    """How many calls there were until one was answered so, that one with them."""
    deadline, calls = time.monotonic() + PATIENCE_S, 1
    while (told := gateway.json(ASK)).status != status:
        assert told.status in (200, 503), told.value
        assert time.monotonic() < deadline
        calls += told.status == 200
        time.sleep(0.02)
    return calls


def used(gateway: Running) -> int:
    return int(gateway.ask(b"", path="/v1/tokens/pools/default", method="GET").value["used"])


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a process that came for a moment's work
            os.kill(pid, number)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_dies_is_told_and_nothing_that_was_used_is_lost(
    kind: str, tmp_path: Path, fake: Provider
) -> None:
    with over(kind, tmp_path, fake, "durable") as (gateway, server):
        assert gateway.json(ASK).status == 200
        assert health(gateway) == "ok"
        server.kill()
        refused = gateway.json(ASK)
        assert (refused.status, refused.error["code"]) == (503, "storage_unreachable")
        assert health(gateway) == "storage_unreachable"
        server.start()
        until(gateway, 200)
        assert health(gateway) == "ok"
        assert used(gateway) == 5 * 2
    assert len(fake.bodies) == 2  # what was refused was never sent


@pytest.mark.parametrize("kind", SERVERS)
def test_what_is_leased_is_spent_for_as_long_as_the_lease_lasts(kind: str, tmp_path: Path, fake: Provider) -> None:
    with over(kind, tmp_path, fake, "balanced") as (gateway, server):
        assert gateway.json(ASK).status == 200
        server.kill()
        calls = until(gateway, 503)
        server.start()
        calls += until(gateway, 200)
        deadline = time.monotonic() + PATIENCE_S
        while used(gateway) != 5 * len(fake.bodies):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert calls == len(fake.bodies)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_stands_still_is_told_as_slow(kind: str, tmp_path: Path, fake: Provider) -> None:
    with over(kind, tmp_path, fake, "durable") as (gateway, server):
        assert gateway.json(ASK).status == 200
        pids = server.pids
        send(pids, signal.SIGSTOP)
        try:
            refused = gateway.json(ASK)
            assert (refused.status, refused.error["code"]) == (503, "store_slow")
            assert health(gateway) == "store_slow"
        finally:
            send(pids, signal.SIGCONT)
        until(gateway, 200)
        assert health(gateway) == "ok"
        assert used(gateway) == 5 * 2
    assert len(fake.bodies) == 2
