"""`hoosh prove` on every store: the proof holds, also where the store itself is killed, and it finds what is wrong."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Protocol

import pytest

import postgres_server
import redis_server
from gateway import PATIENCE_S, clean_environ
from hoosh.app import known_types
from hoosh.config.load import load_text
from hoosh.prove import run as run_module
from hoosh.prove.run import CEILINGS, Proof, Verdict, Wanted


class Server(Protocol):
    @property
    def url(self) -> str: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


STORES = ("sqlite", "postgres", "redis")


def shared(kind: str) -> str:
    urls = {"postgres": lambda: postgres_server.shared().url, "redis": lambda: redis_server.shared().url}
    return f"[store]\nkind = '{kind}'\n" + (f"url = '{urls[kind]()}'\n" if kind in urls else "")


def prove(home: Path, config: str, *words: str) -> subprocess.CompletedProcess[str]:
    (home / "hoosh.toml").write_text(config)
    command = [sys.executable, "-m", "hoosh", "prove", "--json", *words]
    return subprocess.run(
        command, cwd=home, env=clean_environ(home), capture_output=True, text=True, timeout=3 * PATIENCE_S, check=False
    )


@pytest.mark.parametrize("kind", STORES)
def test_budgets_hold(tmp_path: Path, kind: str) -> None:
    done = prove(tmp_path, shared(kind), "--seconds", "2", "--kills", "1", "--callers", "16", "--seed", "1")
    told = json.loads(done.stdout)
    assert (done.returncode, told["holds"]) == (0, True), done.stdout + done.stderr
    assert told["kills"] == 1
    assert told["small_tokens"] == CEILINGS["small"]
    assert told["found"]["acknowledged"] > 100
    assert not list((tmp_path / "hoosh").glob("prove-*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", STORES)
def test_budgets_hold_over_four_workers_each_with_sixteen_callers(tmp_path: Path, kind: str) -> None:
    words = ("--seconds", "5", "--kills", "3", "--gateways", "1", "--workers", "4", "--callers", "64", "--seed", "2")
    done = prove(tmp_path, shared(kind), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["small_tokens"] == CEILINGS["small"]


def test_what_nobody_else_can_see_cannot_be_proved(tmp_path: Path) -> None:
    done = prove(tmp_path, "[store]\nkind = 'memory'\n")
    assert done.returncode == 2
    assert 'store.kind is "memory"' in done.stderr


def run(config: str, home: Path, wanted: Wanted, server: Server | None = None, deaths: int = 0) -> Verdict:
    """`deaths`: so often the store's server is killed meanwhile, and comes again."""
    chance = Random(3)

    async def kill() -> None:
        for _ in range(deaths if server else 0):
            await asyncio.sleep(chance.random() * wanted.seconds / deaths)
            await asyncio.to_thread(server.kill)  # type: ignore[union-attr]
            await asyncio.to_thread(server.start)  # type: ignore[union-attr]

    return asyncio.run(Proof(load_text(config, None, {}, known_types()), home, wanted).run(kill))


def test_a_budget_that_is_overspent_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateways believe in twice what the audit does."""
    right = run_module.configuration

    def wrong(store: Mapping[str, str | bool], upstream: str) -> str:
        return right(store, upstream).replace("capacity = 10000\n", "capacity = 20000\n")

    monkeypatch.setattr(run_module, "configuration", wrong)
    verdict = run("", tmp_path, Wanted(seconds=0.5, callers=8, kills=0))
    assert verdict.small_tokens == 2 * CEILINGS["small"]
    assert any(breach.startswith("I1: pool small") for breach in verdict.found.breaches)
    assert not verdict.holds
    assert Path(verdict.kept, "gateway.log").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", STORES)
def test_budgets_hold_though_gateways_and_the_store_are_killed(tmp_path: Path, kind: str) -> None:
    servers: dict[str, Callable[[], AbstractContextManager[Server | None]]] = {
        "sqlite": nullcontext,
        "postgres": postgres_server.server,
        "redis": redis_server.server,
    }
    with servers[kind]() as server:
        url = f"url = '{server.url}'\n" if server else ""
        wanted = Wanted(seconds=25, callers=32, kills=10, seed=4)
        verdict = run(f"[store]\nkind = '{kind}'\n{url}", tmp_path, wanted, server, deaths=7)
    assert verdict.found.breaches == []
    assert verdict.kills == 10
