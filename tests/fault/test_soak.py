"""Faults, clients that leave and garbage for a while, then rest: memory, files and calls are what they were."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil  # type: ignore[import-untyped]
import pytest

from fault.stage import Stage, eventually, page, stage
from fault.upstream import Upstream
from fault.weather import NETWORK, Crowd, Weather
from gateway import Running, serving
from prometheus_text import Page

PIECES = 4
CALLERS = 12
LEAVE_PERCENT = 10
SOAK_S = float(os.environ.get("HOOSH_SOAK_S", "60"))
WARM_S = 60.0  # RSS levels off only after some ten thousand calls
REST_S = 30.0
BUDGET = '[[budgets]]\nname = "default"\ncapacity = 1_000_000_000\n'

GARBAGE = (
    b"\x16\x03\x01 no HTTP\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{",
    b"GET /",
)


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S + 2 * WARM_S + 400)
def test_after_bad_weather_it_is_as_large_as_before(tmp_path: Path, reached: Callable[[str, str], None]) -> None:
    """Measured against what it is after a first shower: the code and the buffers that only faults need are there by then."""
    seed = int(os.environ.get("HOOSH_CHAOS_SEED", "0")) or Random().randrange(1 << 32)
    print(f"HOOSH_CHAOS_SEED={seed} HOOSH_SOAK_S={SOAK_S:g}")
    with stage(*(Upstream(PIECES, pause_s=0.002) for _ in range(3))) as at:
        weather = Weather(at.proxies, Random(seed))
        limits = "[server]\nheader_timeout_s = 2.0\nbody_timeout_s = 2.0\n"
        with serving(tmp_path, at.config(network=NETWORK, more=limits + BUDGET)) as gateway:
            warm = Crowd(gateway.port, weather, pieces=PIECES, leaves=LEAVE_PERCENT)
            at.run(warm.call_for(WARM_S, CALLERS), WARM_S + 60)
            calm = measured(at, gateway)
            shower = Crowd(gateway.port, weather, pieces=PIECES, leaves=LEAVE_PERCENT)

            async def first_shower() -> None:
                await asyncio.gather(weather.blow(WARM_S), shower.call_for(WARM_S, CALLERS))

            at.run(first_shower(), WARM_S + 60)
            before = measured(at, gateway)
            crowd = Crowd(gateway.port, weather, pieces=PIECES, leaves=LEAVE_PERCENT)

            async def all_at_once() -> None:
                await asyncio.gather(
                    weather.blow(SOAK_S), crowd.call_for(SOAK_S, CALLERS), talk_nonsense(gateway.port, SOAK_S)
                )

            at.run(all_at_once(), SOAK_S + 120)
            after = measured(at, gateway)
        fate = crowd.fate
        assert warm.fate.wrong == fate.wrong == []
        assert warm.fate.lost == fate.lost == []
        assert fate.left > 0
        assert fate.cut > 0
        assert sum(weather.turns.values()) > 5
        figure = (
            f"{SOAK_S:g} s, {fate.calls} calls, {fate.left} left, {sum(weather.turns.values())} faults: "
            f"RSS {calm.rss_bytes / 2**20:.1f} MiB in calm, then {before.rss_bytes / 2**20:.1f} to {after.rss_bytes / 2**20:.1f} MiB, "
            f"fds {before.fds} to {after.fds}, calls in flight 0, holds 0"
        )
        print(figure)
        assert after.rss_bytes <= before.rss_bytes * 1.05
        assert after.fds <= before.fds * 1.05
        reached("M1", figure)


class Size:
    def __init__(self, pid: int) -> None:
        process = psutil.Process(pid)
        self.rss_bytes = int(process.memory_info().rss)
        self.fds = int(process.num_fds())


def measured(at: Stage, gateway: Running) -> Size:
    """Once nothing runs or is held, every client is gone, and it has rested."""

    def is_at_rest() -> bool:
        metrics = Page(page(gateway, "/metrics"))
        names = ("hoosh_in_flight", "hoosh_budget_holds", "hoosh_budget_held_tokens")
        return all(metrics.value(name) == 0 for name in names)

    eventually(is_at_rest)
    time.sleep(REST_S)  # what the gateway closes or frees by its own clock, it has by now
    assert is_at_rest()
    assert sum(proxy.connections for proxy in at.proxies) <= 3 * CALLERS
    return Size(gateway.process.pid)


async def talk_nonsense(port: int, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end_s:
        n += 1
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GARBAGE[n % len(GARBAGE)])
        await asyncio.sleep(0.05)
        writer.transport.abort()
