"""What upstreams do to a gateway: reset, stall, refuse with nonsense, come and go. Rows U1, U2, U5, U6 and B3."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fault.faultproxy import Fault
from fault.stage import Stage, Told, ask, eventually, page, stage
from fault.upstream import HEAD, PROMPT_TOKENS, Upstream, reply
from gateway import PATIENT, Running, serving
from prometheus_text import Page

PIECES = 4
NETWORK = "connect_timeout_s = 0.5\nfirst_byte_timeout_s = 0.5\nidle_timeout_s = 0.5"
BUDGET = '[[budgets]]\nname = "default"\ncapacity = 1_000_000_000\n'
Reached = Callable[[str, str], None]
IN_THE_MIDDLE = len(HEAD) + 200


def pool(gateway: Running) -> tuple[int, int]:
    value = json.loads(page(gateway, "/v1/tokens/pools/default"))
    return value["used"], value["reserved"]


def open_circuits(gateway: Running) -> int:
    return int(Page(page(gateway, "/metrics")).value("hoosh_provider_circuits_open"))


def lines(home: Path) -> list[dict[str, Any]]:
    told = (json.loads(line) for line in (home / "stderr.log").read_text().splitlines() if line.startswith("{"))
    return [line for line in told if line.get("event") == "call"]


def many(at: Stage, gateway: Running, count: int, callers: int, *, stream: bool = False) -> list[Told]:
    async def caller(n: int) -> list[Told]:
        return [await ask(gateway.port, f"{n}-{m}", stream=stream) for m in range(count // callers)]

    async def all_callers() -> list[Told]:
        return [told for row in await asyncio.gather(*map(caller, range(callers))) for told in row]

    return at.run(all_callers(), 200)


@pytest.mark.parametrize("after", [0, len(HEAD), IN_THE_MIDDLE], ids=["before the head", "after it", "in the middle"])
def test_a_reset_is_made_good_before_the_first_token_and_told_after_it(
    tmp_path: Path, reached: Reached, after: int
) -> None:
    with stage(Upstream(PIECES), Upstream(PIECES)) as at, serving(tmp_path, at.config(more=BUDGET)) as gateway:
        at.proxies[0].fault = Fault("reset", after)
        answers = [at.run(ask(gateway.port, str(n), stream=True)) for n in range(4)]
        eventually(lambda: pool(gateway)[1] == 0)
        if after < IN_THE_MIDDLE:
            assert all(told.is_answer(PIECES, stream=True) for told in answers)
            reached("U1", "4 of 4 answered though one of two upstreams resets before its first token; 0 held")
        else:
            cut = [told for told in answers if not told.is_answer(PIECES, stream=True)]
            assert cut
            assert all(told.error and not told.done and told.whole and told.words < PIECES for told in cut)
            assert all(len({entry.call for entry in one.account}) == len(one.account) for one in at.upstreams)
            assert at.calls == len(answers)  # nothing was asked again after its first token


def test_an_answer_that_is_not_streamed_is_asked_elsewhere_after_a_reset_in_its_middle(tmp_path: Path) -> None:
    with stage(Upstream(PIECES), Upstream(PIECES)) as at, serving(tmp_path, at.config()) as gateway:
        at.proxies[0].fault = Fault("reset", 150)
        for n in range(4):
            assert at.run(ask(gateway.port, str(n), stream=False)).is_answer(PIECES, stream=False)


@pytest.mark.parametrize(("after", "status"), [(0, 504), (len(HEAD), 504), (IN_THE_MIDDLE, 200)])
def test_silence_ends_at_its_limit_counts_against_the_upstream_and_frees_its_place(
    tmp_path: Path, reached: Reached, after: int, status: int
) -> None:
    """Of a whole answer, or of a stream, that stops for ever."""
    with stage(Upstream(PIECES)) as at:
        config = at.config(network=NETWORK, more=BUDGET + "[health]\nfailures = 3\n[retry]\ntries = 1\n")
        with serving(tmp_path, config.replace("local = true", "local = true\nmax_concurrency = 1")) as gateway:
            at.proxies[0].fault = Fault("stall", after)
            for n in range(3):
                assert open_circuits(gateway) == 0
                told = at.run(ask(gateway.port, str(n), stream=True))
                assert told.status == status
                assert told.error
                assert not told.done
                assert told.took_s >= 0.45
            if status == 504:
                assert open_circuits(gateway) == 1
                assert at.run(ask(gateway.port, "next", stream=True)).status == 503
                assert at.calls == 3
            at.run(at.proxies[0].heal())
            eventually(lambda: at.run(ask(gateway.port, "well", stream=True)).is_answer(PIECES, stream=True))
            assert open_circuits(gateway) == 0
            eventually(lambda: pool(gateway)[1] == 0)
    took = [line for line in lines(tmp_path) if line["outcome"] == "failed"]
    assert len(took) >= 3
    reached("U2", "0.5 s of silence end the attempt; 3 of them open the breaker; the only place is free again")


NONSENSE = [b"soon", b"-5", b"1000000000", b"1e9", b"", b"Wed, 21 Oct 2065 07:28:00 GMT", b"\xff", b"0", b"2"]


def busy(n: int) -> bytes:
    status = (b"429 Too Many Requests", b"503 Service Unavailable")[n % 2]
    body = b'{"error":{"message":"busy","type":"rate_limit_error","code":"x"}}'
    return reply(status, body, b"date: Wed, 25 Nov 2026 00:00:00 GMT\r\nretry-after: %b\r\n" % NONSENSE[n % 9])


@pytest.mark.parametrize("is_guarded", [True, False], ids=["with breakers", "without breakers"])
def test_a_storm_in_which_every_upstream_fails_stays_the_size_of_the_traffic(
    tmp_path: Path, reached: Reached, is_guarded: bool
) -> None:
    """Without breakers the retry budget alone holds: a tenth, beside a stock of 100 and 3 a second."""
    with stage(*(Upstream(PIECES, instead=busy) for _ in range(3))) as at:
        config = at.config(more=("" if is_guarded else PATIENT) + "[retry]\nbase_delay_s = 0.01\n")
        with serving(tmp_path, config) as gateway:
            began_s = time.monotonic()
            answers = many(at, gateway, 2400, 16)
            passed_s = time.monotonic() - began_s
        assert all(told.status in (429, 503) and told.error for told in answers)
        waits = [int(told.head.partition(b"retry-after: ")[2].split(b"\r\n")[0] or 0) for told in answers]
        assert max(waits) <= 60  # whatever the upstreams say
        amplification = at.calls / len(answers)
        if is_guarded:
            assert amplification <= 1.10
            reached("U5", f"{len(answers)} calls, all refused: {amplification:.3f} upstream calls for each")
        else:
            assert at.calls - len(answers) <= 0.1 * len(answers) + 100 + 3 * passed_s + 1


def test_one_upstream_that_flaps_beside_two_that_work_is_not_noticed(tmp_path: Path, reached: Reached) -> None:
    random = Random(7)

    def flap(n: int) -> bytes | None:
        return reply(b"500 Internal Server Error", b'{"error":{"message":"no"}}') if random.random() < 0.5 else None

    with stage(Upstream(PIECES, instead=flap), Upstream(PIECES), Upstream(PIECES)) as at:
        with serving(tmp_path, at.config()) as gateway:
            answers = many(at, gateway, 3000, 12)
        good = sum(told.is_answer(PIECES, stream=False) for told in answers)
        assert good >= 0.999 * len(answers)
        amplification = at.calls / len(answers)
        assert amplification <= 1.10
        flapped = len(at.upstreams[0].account)
        reached("U6", f"{good} of {len(answers)} answered; {flapped} calls to the flapping one; {amplification:.3f}")


def test_one_call_at_a_time_finds_out_whether_an_upstream_works_again(tmp_path: Path, reached: Reached) -> None:
    """An upstream that has failed gets one call at a time while others can be asked."""
    bad = reply(b"500 Internal Server Error", b'{"error":{"message":"no"}}')
    with stage(Upstream(PIECES, instead=lambda _: bad), Upstream(PIECES), Upstream(PIECES)) as at:
        config = at.config(more="[health]\nfailures = 5\nopen_s = 0.2\nmax_open_s = 0.2\n[retry]\ntries = 1\n")
        with serving(tmp_path, config) as gateway:
            opened = False

            async def until_open() -> None:
                nonlocal opened
                for n in range(100):
                    await ask(gateway.port, str(n), stream=False)
                    if len(at.upstreams[0].account) == 5:
                        opened = True
                        return

            at.run(until_open())
            assert opened
            began_s = time.monotonic()
            answers = many(at, gateway, 1200, 12)
            passed_s = time.monotonic() - began_s
        probes = len(at.upstreams[0].account) - 5
        assert all(told.is_answer(PIECES, stream=False) for told in answers)
        assert 1 <= probes <= passed_s / 0.2 + 1
        reached("U6", f"{len(answers)} of {len(answers)} answered; {probes} probes in {passed_s:.1f} s, 0.2 s apart")


def test_a_call_is_served_by_who_works_again_though_all_breakers_are_open(tmp_path: Path) -> None:
    with stage(Upstream(PIECES), Upstream(PIECES)) as at:
        config = at.config(more="[health]\nopen_s = 3600.0\nmax_open_s = 3600.0\n[retry]\ntries = 1\n")
        with serving(tmp_path, config.replace("local = true", "local = false") + FREE) as gateway:
            for proxy in at.proxies:
                at.loop.call_soon_threadsafe(proxy.kill)
            eventually(lambda: at.run(ask(gateway.port, "x", stream=True)).error and open_circuits(gateway) == 2)
            at.run(at.proxies[1].heal())
            assert at.run(ask(gateway.port, "y", stream=True)).is_answer(PIECES, stream=True)
            assert open_circuits(gateway) == 1


FREE = "[[prices]]\ninput_usd_per_mtok = 0.0\noutput_usd_per_mtok = 0.0\n"
PAID = "[[prices]]\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 1.0\n"


@pytest.mark.parametrize("ambiguous", ["never", "free", "always"])
def test_a_paid_call_that_may_have_been_answered_is_made_again_only_where_that_is_said(
    tmp_path: Path, reached: Reached, ambiguous: str
) -> None:
    """The upstream answers all of it, and the answer is lost on its way: the truth is in its own account."""
    more = f'{BUDGET}{PAID}[retry]\nambiguous = "{ambiguous}"\n'
    with stage(Upstream(PIECES), Upstream(PIECES)) as at:
        config = at.config(local=False, more=more).replace("'round_robin'", "'priority'")
        with serving(tmp_path, config) as gateway:
            at.proxies[0].fault = Fault("cut", 0)
            told = at.run(ask(gateway.port, "once", stream=False))
            eventually(lambda: pool(gateway)[1] == 0)
            used = pool(gateway)[0]
        truth = sum(PROMPT_TOKENS + PIECES for one in at.upstreams for entry in one.account if entry.told)
        if ambiguous == "always":
            assert told.is_answer(PIECES, stream=False)
            assert at.calls >= 2
            assert used > PROMPT_TOKENS + PIECES  # what was lost is in the ledger, too
        else:
            assert told.status == 502
            assert at.calls == 1
            assert used > 0
        reached("B3", f"{ambiguous}: {at.calls} upstream calls of {truth} tokens, {used} booked")
