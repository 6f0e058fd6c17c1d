"""Two attempts at once: who wins, what the loser costs, and that it is only ever done where it was asked for."""

import asyncio

from engine_world import CUT, GOOD, HELLO, ROLE, Script, Stage
from hoosh.core.call import Outcome
from hoosh.core.errors import BudgetExceeded, ConnectFailed, Refused

SLOW: Script = [ROLE] * 20 + list(GOOD)
NOW = 1e-9
LATER = 60.0


def play(hedge_s: float, **scripts: Script) -> Stage:
    async def main() -> Stage:
        stage = Stage(tries=1, hedge_s=hedge_s, **scripts)
        await stage.serve()
        await stage.check()
        return stage

    return asyncio.run(main())


def test_the_faster_of_two_wins_and_the_slower_is_closed_and_charged_as_an_estimate() -> None:
    stage = play(NOW, slow=SLOW, good=GOOD)
    assert stage.outcome is Outcome.OK
    assert stage.sink.headers[b"x-hoosh-provider"] == b"good"
    assert stage.transport.asked == ["slow", "good"]
    lines = {line.hold.provider: line for line in stage.budgets.lines}
    assert (lines["slow"].absorbed, lines["slow"].error, lines["slow"].usage.source) == (True, "slower", "estimated")
    assert lines["slow"].usage.input > 0
    assert (lines["good"].absorbed, lines["good"].usage.total) == (False, 7)
    assert stage.journal.receipts[0].usage.total == 7
    assert [str(tried.target) for tried in stage.journal.receipts[0].tried] == ["slow/m"]
    assert stage.vitals.is_well  # to be slower is no fault


def test_who_answers_in_time_is_asked_alone() -> None:
    stage = play(LATER, good=GOOD, other=GOOD)
    assert stage.transport.asked == ["good"]
    assert len(stage.budgets.lines) == 1


def test_who_fails_in_time_is_followed_by_the_next_at_once() -> None:
    stage = play(LATER, down=[ConnectFailed("refused")], good=GOOD)
    assert stage.sink.headers[b"x-hoosh-provider"] == b"good"
    assert stage.transport.asked == ["down", "good"]


def test_the_first_goes_on_when_the_second_fails() -> None:
    stage = play(NOW, slow=SLOW, down=[ConnectFailed("refused")])
    assert stage.outcome is Outcome.OK
    assert stage.sink.headers[b"x-hoosh-provider"] == b"slow"
    assert {line.hold.provider: line.absorbed for line in stage.budgets.lines} == {"slow": False, "down": True}


def test_when_both_fail_the_client_hears_of_it_once() -> None:
    stage = play(NOW, slow=[ROLE] * 20, down=[ConnectFailed("refused")])
    assert stage.outcome is Outcome.FAILED
    assert stage.sink.error is not None
    assert all(line.absorbed for line in stage.budgets.lines)


def test_what_is_the_clients_fault_is_asked_of_nobody_else() -> None:
    stage = play(LATER, wrong=[Refused("no such field", upstream_status=400)], good=GOOD)
    assert stage.transport.asked == ["wrong"]
    assert isinstance(stage.sink.error, Refused)


def test_a_budget_that_has_room_for_one_leaves_it_at_one() -> None:
    async def main() -> None:
        stage = Stage(tries=1, hedge_s=NOW, slow=SLOW, good=GOOD)
        stage.budgets.capacity = 5000  # a hold is 4096 and the prompt
        await stage.serve()
        await stage.check()
        assert stage.outcome is Outcome.OK
        assert stage.transport.asked == ["slow"]

    asyncio.run(main())


def test_a_cut_after_the_first_words_of_the_winner_is_told_in_band() -> None:
    stage = play(NOW, slow=SLOW, cut=[ROLE, HELLO, CUT])
    assert stage.outcome is Outcome.FAILED
    assert stage.sink.started
    assert stage.transport.open == 0


def test_without_a_further_attempt_to_spend_there_is_no_second() -> None:
    async def main() -> None:
        stage = Stage(tries=1, hedge_s=NOW, slow=SLOW, good=GOOD)
        retries = stage.engine.world.retries
        while retries.take(1):
            pass
        stage.clock.now_ns = 1
        await stage.serve()
        await stage.check()
        assert stage.transport.asked == ["slow"]

    asyncio.run(main())


def test_a_budget_error_of_the_only_attempt_is_the_clients() -> None:
    async def main() -> None:
        stage = Stage(tries=1, hedge_s=LATER, good=GOOD, other=GOOD)
        stage.budgets.capacity = 1
        await stage.serve()
        await stage.check()
        assert isinstance(stage.sink.error, BudgetExceeded)

    asyncio.run(main())
