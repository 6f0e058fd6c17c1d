"""What ends a call's attempts besides its plan: its time, the attempts of all calls, and doubt whether it was answered."""

import asyncio

import msgspec
import pytest

from engine_world import GOOD, HELLO, ROLE, Script, Stage
from hoosh.core.call import Outcome, Wishes
from hoosh.core.errors import BadUpstream, ConnectFailed, Idle, NoFirstEvent, Reset, Truncated, UpstreamError
from hoosh.core.events import Usage
from hoosh.core.ledger import Priced
from hoosh.core.plan import Target
from hoosh.core.quote import Quote
from hoosh.core.routing import Route
from hoosh.engine.cashier import Cashier
from hoosh.engine.router import Rules
from hoosh.policy.retry_budget import RetryBudget

BROKEN: Script = [BadUpstream("broken")]


class AtRate(msgspec.Struct, frozen=True):
    """core.quote.Quote of one micro-USD a token."""

    priced: Priced = "known"

    def cost(self, usage: Usage, audio_ms: int = 0) -> int:
        return usage.total

    def bound(self, input_tokens: int, output_tokens: int, audio_ms: int = 0) -> int:
        return input_tokens + output_tokens


class Rates:
    def quote(self, target: Target, kind: str) -> Quote:
        return AtRate()


def staged(ambiguous: str = "free", *, paid: bool = False, total_s: float = 600.0, **scripts: Script) -> Stage:
    """Inside a running loop."""
    stage = Stage(tries=1, hedge_s=0.0, **scripts)
    plan = msgspec.structs.replace(stage.router._rules.fallback.plan, total_s=total_s, ambiguous=ambiguous)
    prices = Rates() if paid else stage.router._prices
    stage.router.define(Rules(fallback=Route(plan=plan)), prices)
    cashier = Cashier(stage.budgets, prices)
    stage.engine.world = msgspec.structs.replace(stage.engine.world, cashier=cashier)
    return stage


def test_no_attempt_begins_after_the_time_is_over() -> None:
    async def main() -> None:
        stage = staged(total_s=1e-6, one=BROKEN, two=GOOD)  # the clock of this world goes on by itself
        await stage.serve()
        await stage.check()
        assert stage.transport.asked == ["one"]
        assert isinstance(stage.sink.error, BadUpstream)

    asyncio.run(main())


def test_when_all_calls_have_spent_their_further_attempts_each_makes_one() -> None:
    async def main() -> None:
        stage = staged(one=BROKEN, two=GOOD)
        budget = RetryBudget(part=0.0, floor_per_s=0.0, most=1.0)
        stage.engine.world = msgspec.structs.replace(stage.engine.world, retries=budget)
        await stage.serve()
        assert stage.transport.asked == ["one", "two"]
        stage.transport.asked.clear()
        await stage.serve()
        assert stage.transport.asked == ["one"]
        assert isinstance(stage.sink.error, BadUpstream)

    asyncio.run(main())


def test_what_was_never_asked_costs_no_further_attempt() -> None:
    async def main() -> None:
        stage = staged(one=GOOD, two=GOOD)
        for _ in range(5):
            stage.vitals.ended(stage.vitals.began(Target("one", "m")), ConnectFailed("no"))
        budget = RetryBudget(part=0.0, floor_per_s=0.0, most=0.0)
        stage.engine.world = msgspec.structs.replace(stage.engine.world, retries=budget)
        await stage.serve()
        assert stage.outcome is Outcome.OK
        assert stage.transport.asked == ["two"]

    asyncio.run(main())


@pytest.mark.parametrize("how", [Reset("gone"), NoFirstEvent("silent"), Truncated("cut"), Idle("silent")])
@pytest.mark.parametrize(
    ("ambiguous", "paid", "asks_again"),
    [("free", True, False), ("free", False, True), ("never", False, False), ("always", True, True)],
)
def test_a_call_that_may_have_been_answered_is_made_again_only_where_that_is_wanted(
    how: UpstreamError, ambiguous: str, paid: bool, asks_again: bool
) -> None:
    async def main() -> None:
        stage = staged(ambiguous, paid=paid, one=[ROLE, type(how)(how.message)], two=GOOD)
        await stage.serve(wishes=Wishes())
        await stage.check()
        assert stage.transport.asked == (["one", "two"] if asks_again else ["one"])
        first = stage.budgets.lines[0]
        assert (first.absorbed, first.usage.source) == (True, "estimated")
        if not asks_again:
            assert stage.sink.error is not None
            assert stage.sink.error.is_ambiguous

    asyncio.run(main())


def test_what_was_refused_before_it_was_sent_is_in_no_doubt() -> None:
    async def main() -> None:
        stage = staged("never", paid=True, one=[ConnectFailed("refused")], two=[ROLE, HELLO, *GOOD[2:]])
        await stage.serve()
        assert stage.outcome is Outcome.OK
        assert stage.transport.asked == ["one", "two"]

    asyncio.run(main())
