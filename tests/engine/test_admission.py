"""A target that is full: the next one is asked, the last one is waited for, and who is cancelled leaves nothing."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from engine_world import GOOD, FakeSink, Script, Stage
from hoosh.core.call import Outcome
from hoosh.core.errors import HooshError, Throttled
from hoosh.core.plan import Target
from hoosh.engine.admission import AdmissionRules, Slot
from hoosh.engine.engine import Engine
from hoosh.policy.concurrency import LimitRules
from hoosh.policy.gate import QueueRules

ONE = AdmissionRules(limit=LimitRules(cap=1), queue=QueueRules(part=1.0))
TWO: dict[str, Script] = {"first": GOOD, "last": GOOD}


class Crowd:
    """A stage whose targets take one call each, and some of these places taken."""

    def __init__(self, scripts: dict[str, Script], *full: str, rules: AdmissionRules = ONE) -> None:
        self.stage = Stage(Engine, tries=2, hedge_s=0.0, **scripts)
        self.stage.admission.define(rules)
        self.held = {name: AsyncExitStack() for name in full}
        for name, held in self.held.items():
            assert isinstance(self.stage.admission.enter(Target(name, "m"), 0, held), Slot)

    async def steps(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


def test_one_that_is_full_is_passed_by() -> None:
    async def main() -> None:
        crowd = Crowd(TWO, "first")
        account = await crowd.stage.serve()
        assert account.outcome is Outcome.OK
        assert crowd.stage.transport.asked == ["last"]
        assert [type(tried.error).__name__ for tried in account.tried] == ["Full"]
        await crowd.held["first"].aclose()
        await crowd.stage.check()

    asyncio.run(main())


def test_only_the_last_is_waited_for_and_holds_no_money_meanwhile() -> None:
    async def main() -> None:
        crowd = Crowd(TWO, "first", "last")
        task = asyncio.create_task(crowd.stage.serve())
        await crowd.steps(20)
        assert crowd.stage.admission.standing(Target("last", "m")) == (1, 1)
        assert not crowd.stage.budgets.held
        await crowd.held["last"].aclose()
        assert (await task).outcome is Outcome.OK
        assert crowd.stage.transport.asked == ["last"]
        await crowd.held["first"].aclose()
        await crowd.stage.check()

    asyncio.run(main())


def refused(crowd: Crowd) -> HooshError:
    error = crowd.stage.sink.error
    assert error is not None
    assert (error.status, error.code) == (503, "overloaded")
    assert error.retry_after_s is not None
    assert 0.8 <= error.retry_after_s <= 36
    return error


def test_where_nobody_may_wait_a_call_is_refused_at_once_and_nobody_is_blamed() -> None:
    async def main() -> None:
        crowd = Crowd({"only": GOOD}, "only", rules=AdmissionRules(limit=LimitRules(cap=1), queue=QueueRules(part=0)))
        await crowd.stage.serve()
        refused(crowd)
        assert crowd.stage.admission.shedding.counts == {"queue_full": 1}
        assert crowd.stage.transport.asked == []
        assert crowd.stage.vitals.is_well
        await crowd.held["only"].aclose()
        await crowd.stage.check()

    asyncio.run(main())


def test_who_waits_is_refused_in_the_end() -> None:
    async def main() -> None:
        rules = AdmissionRules(limit=LimitRules(cap=1), queue=QueueRules(part=1, max_wait_ns=1))
        crowd = Crowd({"only": GOOD}, "only", rules=rules)
        await crowd.stage.serve()
        refused(crowd)
        assert crowd.stage.admission.shedding.counts == {"wait_too_long": 1}
        await crowd.held["only"].aclose()
        await crowd.stage.check()

    asyncio.run(main())


@pytest.mark.parametrize("gives_way", [False, True])
def test_cancelled_at_any_point_while_it_waits_and_gets_its_place(gives_way: bool) -> None:
    """`gives_way`: the place is there in the same turn of the loop as the cancellation."""

    async def main(points: int) -> bool:
        crowd = Crowd({"only": GOOD}, "only")
        task = asyncio.create_task(crowd.stage.serve())
        await crowd.steps(points)
        if gives_way:
            await crowd.held["only"].aclose()
        task.cancel()
        await asyncio.wait([task])
        await crowd.held["only"].aclose()
        await crowd.stage.check()
        return not task.cancelled()

    ended = [asyncio.run(main(points)) for points in range(1, 30)]
    assert not all(ended)


def test_what_a_provider_says_makes_the_limit_smaller() -> None:
    async def main() -> None:
        stage = Stage(only=[Throttled("slow down")])
        await stage.serve()
        assert stage.admission.standing(Target("only", "m")) == (64, 0)

    asyncio.run(main())


def test_another_configuration_lets_in_who_waits() -> None:
    async def main() -> None:
        crowd = Crowd({"only": GOOD}, "only")
        task = asyncio.create_task(crowd.stage.serve())
        await crowd.steps(20)
        crowd.stage.admission.define(AdmissionRules())
        crowd.stage.sink = FakeSink()
        crowd.stage.admission.define(AdmissionRules(limit=LimitRules(least=2)))
        assert (await task).outcome is Outcome.OK
        await crowd.held["only"].aclose()
        await crowd.stage.check()

    asyncio.run(main())
