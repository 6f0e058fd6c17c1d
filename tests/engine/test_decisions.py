"""What is kept of past calls, and that it is no more than that."""

import asyncio
import gc

from engine_world import BODY, GOOD, Stage
from hoosh.core.call import Account, Call, Outcome, Receipt
from hoosh.core.errors import BadUpstream
from hoosh.core.events import Usage
from hoosh.core.plan import Plan
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.core.routing import Decision
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.decisions import Decisions

WHY = Decision(route="r", strategy="priority", considered=(), plan=Plan(targets=()))


def receipt(name: str, request_id: str = "", principal: Principal = ANONYMOUS) -> Receipt:
    return Receipt(
        call_id=name,
        request_id=request_id or name,
        model="m",
        outcome=Outcome.OK,
        status=200,
        principal=principal,
        target=None,
        attempts=1,
        usage=Usage(),
        stream=False,
        first_event_ns=0,
        total_ns=0,
        decision=WHY,
    )


def test_the_oldest_go_with_their_names() -> None:
    decisions = Decisions(2)
    for n in range(3):
        decisions.note(receipt(f"c{n}", f"mine{n}"))
    assert decisions.find("c0", "anonymous") is None
    assert decisions.find("mine0", "anonymous") is None
    assert decisions.find("mine2", "anonymous") is decisions.find("c2", "anonymous") is not None
    assert len(decisions._named) == 2
    decisions.keep(0)
    assert decisions.find("c2", "anonymous") is None


def test_only_the_key_that_made_a_call_finds_it() -> None:
    decisions = Decisions(2)
    decisions.note(receipt("c", principal=Principal("a")))
    assert decisions.find("c", "b") is None
    assert decisions.find("c", "a") is not None


def test_a_call_whose_attempts_failed_is_not_kept_alive_by_its_errors() -> None:
    """An exception holds the frames that it went through, and those the call: ten thousand of them stayed in memory."""

    def accounts() -> int:
        gc.collect()
        return sum(isinstance(one, Account) for one in gc.get_objects())

    async def main() -> None:
        stage = Stage(tries=1, hedge_s=0.0, down=[BadUpstream("broken")], good=GOOD)
        decisions = Decisions(10)
        stage.settler._journal = decisions
        before = accounts()
        call = Call(id="call", dialect="openai_chat", request=DIALECT.parse(BODY), body=BODY)
        await stage.engine.serve(call, DIALECT, stage.sink)
        stage.transport._scripts = {}
        found = decisions.find("call", "anonymous")
        assert found is not None
        assert [failure.message for failure in found.tried] == ["broken"]
        assert accounts() == before

    asyncio.run(main())
