"""A client leaves, and its answer is read to the end: exact, once, bounded, and nothing is begun for nobody."""

import asyncio
from collections.abc import Sequence

import pytest

from engine_world import BODY, DONE, FINISH, GOOD, HELLO, ROLE, USAGE, FakeSink, Script, Stage
from hoosh.core.call import Call, Outcome
from hoosh.core.errors import ConnectFailed, Truncated
from hoosh.core.events import Usage
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.draining import Drains
from hoosh.ports import Sink

TOLD = Usage(input=5, output=2)
ENDLESS: Script = (ROLE, HELLO, *(HELLO,) * 5000, USAGE, DONE)
LONG: dict[str, Script] = {"down": [ConnectFailed("refused")], "empty": [ROLE], "good": GOOD}


class Room:
    """A stage whose clients may leave."""

    def __init__(self, scripts: dict[str, Script], at_most: int = 64, limit_s: float = 30.0) -> None:
        self.stage = Stage(tries=1, hedge_s=0.0, **scripts)
        self.drains = Drains(self.stage.engine, at_most, limit_s)

    def serve(self, sink: Sink | None = None, name: str = "call") -> asyncio.Task[None]:
        call = Call(id=name, dialect="openai_chat", request=DIALECT.parse(BODY), body=BODY)
        return asyncio.create_task(self.drains.serve(call, DIALECT, sink or self.stage.sink))

    async def at_rest(self) -> None:
        """Until whoever was left to itself has ended."""
        while self.drains._left:
            await asyncio.sleep(0)

    @property
    def used(self) -> Sequence[Usage]:
        return [line.usage for line in self.stage.budgets.lines if not line.absorbed]


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def leave_after(count: int, scripts: dict[str, Script]) -> tuple[bool, Room]:
    """Whether the client was there to the end, and what was left."""

    async def main() -> tuple[bool, Room]:
        room = Room(scripts)
        task = room.serve()
        await steps(count)
        written, asked = room.stage.sink.out, list(room.stage.transport.asked)
        task.cancel()
        await asyncio.wait([task])
        was_there = not task.cancelled()
        if not was_there:
            await room.at_rest()
            assert room.stage.sink.out.startswith(written)
            assert len(room.stage.transport.asked) <= len(asked) + 1
        await room.stage.check()
        return was_there, room

    return asyncio.run(main())


def test_wherever_the_client_leaves_the_call_is_settled_once_and_by_what_the_provider_says() -> None:
    count, exact = 1, 0
    while True:
        was_there, room = leave_after(count, LONG)
        if was_there:
            break
        if room.stage.outcome is not Outcome.CANCELLED:  # it left when all was there
            assert (room.stage.outcome, room.stage.sink.closed) == (Outcome.OK, 1)
        if room.stage.transport.asked[-1:] == ["good"] and room.used:
            exact += 1
            assert room.used in ([TOLD], [Usage(input=2, source="estimated")], [Usage()])
        count += 1
    assert count > 25
    assert exact > 10


@pytest.mark.parametrize("count", range(3, 12))
def test_what_was_sent_is_read_to_the_end_for_its_usage(count: int) -> None:
    was_there, room = leave_after(count, {"good": (ROLE, HELLO, *(HELLO,) * 40, FINISH, USAGE, DONE)})
    assert not was_there
    sent = bool(room.stage.transport.asked)
    assert room.used == ([TOLD] if sent else [])
    assert room.stage.journal.receipts[0].usage == (TOLD if sent else Usage())


class Stuck(FakeSink):
    """A client that takes nothing."""

    async def write(self, data: bytes) -> None:
        await asyncio.Event().wait()


def test_a_client_that_took_nothing_and_left_holds_nobody_up() -> None:
    async def main() -> None:
        room = Room({"good": GOOD})
        task = room.serve(Stuck())
        await steps(40)
        task.cancel()
        await asyncio.wait([task])
        await room.at_rest()
        assert room.used == [TOLD]
        await room.stage.check()

    asyncio.run(main())


def test_for_nobody_there_is_no_second_attempt() -> None:
    async def main() -> None:
        room = Room({"cut": (ROLE, *(ROLE,) * 20, Truncated("cut")), "good": GOOD})
        task = room.serve()
        await steps(12)
        assert room.stage.transport.asked == ["cut"]
        task.cancel()
        await asyncio.wait([task])
        await room.at_rest()
        assert room.stage.transport.asked == ["cut"]
        assert room.stage.outcome is Outcome.CANCELLED
        await room.stage.check()

    asyncio.run(main())


@pytest.mark.parametrize(("at_most", "limit_s"), [(0, 30.0), (64, 0.0)])
def test_one_too_many_and_one_too_long_end_as_estimates(at_most: int, limit_s: float) -> None:
    async def main() -> None:
        room = Room({"good": ENDLESS}, at_most, limit_s)
        task = room.serve()
        await steps(20)
        task.cancel()
        await asyncio.wait([task])
        await room.at_rest()
        (usage,) = room.used
        assert usage.source == "estimated"
        assert 0 < usage.output < 5000
        await room.stage.check()

    asyncio.run(main())


def test_the_end_of_the_gateway_ends_what_is_drained() -> None:
    async def main() -> None:
        room = Room({"good": ENDLESS})
        task = room.serve()
        await steps(20)
        task.cancel()
        await asyncio.wait([task])
        await room.drains.stop()
        assert not room.drains._left
        assert room.used[0].source == "estimated"
        await room.stage.check()

    asyncio.run(main())


def test_a_client_that_stays_sees_no_difference() -> None:
    async def main() -> tuple[bytes, list[Usage]]:
        room = Room({"good": GOOD})
        await room.serve()
        await room.stage.check()
        assert room.stage.outcome is Outcome.OK
        return room.stage.sink.out, list(room.used)

    async def plain() -> tuple[bytes, list[Usage]]:
        stage = Stage(good=GOOD)
        await stage.serve()
        return stage.sink.out, [line.usage for line in stage.budgets.lines]

    assert asyncio.run(main()) == asyncio.run(plain())
