"""Clients that leave, by FIN and by RST, at every place of an answer; and a gateway that is told to end. Rows D1, D2, K5."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fault.stage import Leave, Stage, Told, ask, eventually, page, stage
from fault.upstream import PROMPT_TOKENS, Upstream
from gateway import PATIENCE_S, Running, serving
from prometheus_text import Page

Reached = Callable[[str, str], None]
PIECES = 6
BUDGET = '[[budgets]]\nname = "default"\ncapacity = 1_000_000_000\n'
AT_ONCE = 40
PLACES = (0, 1, PIECES // 2, PIECES - 1)
STREAMS = 200


@pytest.mark.parametrize("policy", ["cancel", "drain"])
@pytest.mark.parametrize(
    "times", [10, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=["some", "thousand"]
)
def test_who_leaves_leaves_nothing_behind(tmp_path: Path, reached: Reached, policy: str, times: int) -> None:
    with stage(Upstream(PIECES, pause_s=0.02)) as at:
        more = f'{BUDGET}[server]\non_disconnect = "{policy}"\n'
        with serving(tmp_path, at.config(more=more)) as gateway:
            for way in ("fin", "rst"):
                for place in PLACES:
                    at.run(leave(gateway.port, way, place, times), 300)
            eventually(lambda: held(gateway) == (0, 0, 0))
            upstream = at.upstreams[0]
            eventually(lambda: all(entry.told or entry.gone for entry in upstream.account))
            assert at.run(ask(gateway.port, "the last", stream=True)).is_answer(PIECES, stream=True)
            eventually(lambda: held(gateway) == (0, 0, 0))
            is_cut = [entry for entry in upstream.account if not entry.told]
            used = json.loads(page(gateway, "/v1/tokens/pools/default"))["used"]
            left = len(upstream.account) - 1
            asked = [entry.call.split()[1] for entry in upstream.account[:-1]]
            assert all(asked.count(str(place)) == 2 * times for place in PLACES[1:])
            assert asked.count("0") <= 2 * times  # some, or all, leave before anybody is asked
            assert upstream.connections <= 100  # those that are kept for the next calls
            if policy == "cancel":
                eventually(lambda: upstream.connections <= 2)
                assert len(is_cut) >= left / 2
            told = sum(PROMPT_TOKENS + PIECES for entry in upstream.account if entry.told)
            assert used > 0
            if not is_cut:
                assert used == told
    if times < 1000:
        return
    figure = f"{left} clients left at pieces {', '.join(map(str, PLACES))} by FIN and RST: 0 held, 0 calls left running"
    reached("D1" if policy == "cancel" else "D2", f"{figure}; {len(is_cut)} answers not read to their end")


def held(gateway: Running) -> tuple[int, int, int]:
    metrics = Page(page(gateway, "/metrics"))
    reserved = json.loads(page(gateway, "/v1/tokens/pools/default"))["reserved"]
    return int(metrics.value("hoosh_in_flight")), int(metrics.value("hoosh_budget_holds")), reserved


async def leave(port: int, way: Leave, place: int, times: int) -> None:
    async def one_after_the_other(n: int) -> None:
        for m in range(n, times, AT_ONCE):
            await ask(port, f"{way} {place} {m}", stream=True, leave=way, after=place)

    await asyncio.gather(*map(one_after_the_other, range(AT_ONCE)))


def test_two_hundred_streams_come_to_their_end_when_the_gateway_is_told_to_end(
    tmp_path: Path, reached: Reached
) -> None:
    with stage(Upstream(40, pause_s=0.1)) as at, serving(tmp_path, at.config(more=BUDGET)) as gateway:

        async def all_streams() -> int:
            calls = [asyncio.ensure_future(ask(gateway.port, str(n), stream=True)) for n in range(STREAMS)]
            while sum(entry.pieces > 0 for entry in at.upstreams[0].account) < STREAMS:
                await asyncio.sleep(0.01)
            gateway.process.send_signal(signal.SIGTERM)
            return sum(told.is_answer(40, stream=True) for told in await asyncio.gather(*calls))

        whole = at.run(all_streams())
        assert gateway.process.wait(PATIENCE_S) == 0
    assert whole == STREAMS
    assert not list((tmp_path / "hoosh" / "journals").iterdir())
    reached("K5", f"{whole} of {STREAMS} streams whole, exit status 0, nothing left in the journal")


def test_two_hundred_streams_are_broken_off_when_their_time_to_end_is_over(tmp_path: Path, reached: Reached) -> None:
    more = f"{BUDGET}[server]\ndrain_s = 0.5\n"
    with stage(Upstream(4, pause_s=3600.0)) as at, serving(tmp_path, at.config(more=more)) as gateway:
        heard = at.run(_streams_that_are_ended(at, gateway))
        assert gateway.process.wait(PATIENCE_S) == 0
    assert heard == (STREAMS, 0, STREAMS)
    reached("K5", f"{STREAMS} of {STREAMS} streams that outlive the drain end with an error event")


async def _streams_that_are_ended(at: Stage, gateway: Running) -> tuple[int, int, int]:
    calls = [asyncio.ensure_future(ask(gateway.port, str(n), stream=True)) for n in range(STREAMS)]
    while sum(entry.pieces > 0 for entry in at.upstreams[0].account) < STREAMS:
        await asyncio.sleep(0.01)
    gateway.process.send_signal(signal.SIGTERM)
    told = await asyncio.gather(*calls)
    is_told = [one.whole and one.error and b"shutting_down" in one.body for one in told]
    return sum(one.status == 200 for one in told), sum(one.done for one in told), sum(is_told)


def test_who_has_heard_nothing_when_the_time_is_over_is_told_by_a_status(tmp_path: Path) -> None:
    more = f"{BUDGET}[server]\ndrain_s = 0.2\n"
    with stage(Upstream(4, pause_s=3600.0)) as at, serving(tmp_path, at.config(more=more)) as gateway:

        async def main() -> Told:
            call = asyncio.ensure_future(ask(gateway.port, "1", stream=False))
            while not at.upstreams[0].account:
                await asyncio.sleep(0.01)
            gateway.process.send_signal(signal.SIGTERM)
            return await call

        told = at.run(main())
        assert gateway.process.wait(PATIENCE_S) == 0
    assert (told.status, told.whole) == (503, True)
    assert b"shutting_down" in told.body
