"""Three upstreams of which any two are killed, stalled, reset, cut or garbled at any time, and callers who go on."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from fault.stage import page, stage
from fault.upstream import Upstream
from fault.weather import NETWORK, Crowd, Weather
from gateway import serving
from prometheus_text import Page

PIECES = 4
CALLERS = 12
CHAOS_S = float(os.environ.get("HOOSH_CHAOS_S", "60"))
# Refused by a breaker, or held back by a limit of ours: nobody was asked.
NOT_SENT = ("circuit_open", "held_back")


@pytest.mark.slow
@pytest.mark.timeout(CHAOS_S + 240)
def test_what_one_healthy_upstream_can_serve_is_served(tmp_path: Path, reached: Callable[[str, str], None]) -> None:
    seed = int(os.environ.get("HOOSH_CHAOS_SEED", "0")) or Random().randrange(1 << 32)
    print(f"HOOSH_CHAOS_SEED={seed} HOOSH_CHAOS_S={CHAOS_S:g}")
    with stage(*(Upstream(PIECES, pause_s=0.002) for _ in range(3))) as at:
        weather = Weather(at.proxies, Random(seed))
        with serving(tmp_path, at.config(network=NETWORK)) as gateway:
            crowd = Crowd(gateway.port, weather, pieces=PIECES)

            async def both() -> None:
                await asyncio.gather(weather.blow(CHAOS_S), crowd.call_for(CHAOS_S, CALLERS))

            at.run(both(), CHAOS_S + 120)
            metrics = Page(page(gateway, "/metrics"))
        fate = crowd.fate
        attempts = int(metrics.value("hoosh_attempts_total"))
        attempts -= sum(int(metrics.value("hoosh_attempts_total", result=result)) for result in NOT_SENT)
        amplification = attempts / fate.calls
        print(weather.turns, fate.calls, fate.answered, fate.cut, fate.unlucky, len(fate.lost), attempts)
        figure = (
            f"{CHAOS_S:g} s, {sum(weather.turns.values())} faults, {fate.calls} calls: {len(fate.lost)} lost, "
            f"{fate.unlucky} while no upstream was well throughout, {fate.cut} cut after the first token and told so, "
            f"amplification {amplification:.3f}"
        )
        for what in fate.lost[:40]:
            print(what)
        assert fate.wrong == []
        assert fate.lost == []
        assert amplification <= 1.10
        assert sum(proxy.calls for proxy in at.proxies) <= attempts + 1000  # lists of models are asked for, too
        reached("chaos", figure)
