"""Cancel a call at every single suspension point, once and twice: the invariants hold at each.

The call crosses all that can await: reserve (whose reply may be lost), a refused and an empty provider, the
winner's open and relay, the last write. A sweep that catches nothing proves nothing, so mutants of the engine are
planted here, each of which must be caught:

1. an await before settle: a second cancellation falls between, and nothing is settled;
2. an await between opening an exchange and pushing it on the stack: the connection belongs to nobody and leaks;
3. settle skipped when an error is told: a hold stays for ever;
4. a place at a target that is not given back with the attempt; limits given back after an await, only after success, or not with the attempt: a call's place is taken for ever.
"""

import asyncio
import sys
from pathlib import Path
from types import ModuleType

import pytest

from engine_world import CUT, GOOD, HELLO, ROLE, Script, Stage
from hoosh.core.call import Outcome
from hoosh.core.errors import ConnectFailed
from hoosh.engine import engine
from hoosh.engine.engine import Engine

LONG: dict[str, Script] = {"down": [ConnectFailed("refused")], "empty": [ROLE], "good": GOOD}
HEDGED: dict[str, Script] = {"slow": [ROLE] * 9 + list(GOOD), "good": GOOD}
RACE_LOST: dict[str, Script] = {"slow": [ROLE] * 9, "down": [ConnectFailed("refused")], "empty": [ROLE]}
BROKEN: dict[str, Script] = {"down": [ConnectFailed("refused")], "cut": [ROLE, HELLO, CUT]}


async def _steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def cancel_at(engine_class: type[Engine], scripts: dict[str, Script], *after: int, hedge_s: float = 0.0) -> bool:
    """Cancel after so many steps (and again after so many more); True when the call had ended by itself."""

    async def main() -> bool:
        stage = Stage(engine_class, tries=1, hedge_s=hedge_s, **scripts)
        task = asyncio.create_task(stage.serve())
        for steps in after:
            await _steps(steps)
            task.cancel()
        await asyncio.wait([task])
        ended = not task.cancelled()
        if hedge_s and len(after) > 1 and (beside := asyncio.all_tasks() - {asyncio.current_task()}):
            await asyncio.wait(beside)  # whom nobody waited for: each sees to its own end
        await stage.check()
        assert not (ended and stage.outcome is Outcome.CANCELLED)
        return ended

    return asyncio.run(main())


def sweep(engine_class: type[Engine], scripts: dict[str, Script]) -> int:
    """How many points there were."""
    points = 1
    while not cancel_at(engine_class, scripts, points):
        points += 1
    return points


def double_sweep(engine_class: type[Engine], scripts: dict[str, Script], points: int) -> None:
    for first in range(1, points):
        for second in range(5):
            cancel_at(engine_class, scripts, first, second)


def test_single_cancels() -> None:
    assert sweep(Engine, LONG) >= 25


def test_single_cancels_of_a_call_that_fails_after_its_first_content() -> None:
    assert sweep(Engine, BROKEN) >= 13


def test_double_cancels() -> None:
    points = sweep(Engine, LONG)
    double_sweep(Engine, LONG, points)
    double_sweep(Engine, BROKEN, sweep(Engine, BROKEN))


def test_single_and_double_cancels_of_two_attempts_that_race() -> None:
    """The second begins at the next turn of the loop, so both are under way at every point."""
    for scripts in (HEDGED, RACE_LOST):
        points = 1
        while not cancel_at(Engine, scripts, points, hedge_s=1e-9):
            points += 1
        assert points >= 15
        for first in range(1, points):
            for second in range(5):
                cancel_at(Engine, scripts, first, second, hedge_s=1e-9)


MUTANTS = {
    "await before settle": (
        "            world.settler.settle(account)  # never",
        "            await asyncio.sleep(0)\n            world.settler.settle(account)  # never",
    ),
    "await between open and push": (
        "            reply = await held.enter_async_context(exchange)\n",
        "            reply = await exchange.__aenter__()\n            await asyncio.sleep(0)\n"
        "            held.push_async_exit(exchange)\n",
    ),
    "await before the limits are given back": (
        "            if permit is not None:\n",
        "            await asyncio.sleep(0)\n            if permit is not None:\n",
    ),
    "limits given back only where all went well": (
        "            if permit is not None:\n",
        "            if permit is not None and account.outcome is Outcome.OK:\n",
    ),
    "limits of an attempt not tied to what it opened": (
        "target.model, held)\n",
        "target.model, AsyncExitStack())\n",
    ),
    "a place at a target not tied to the attempt": (
        "admission.enter(target, began_ns, held)",
        "admission.enter(target, began_ns, AsyncExitStack())",
    ),
    "settle skipped on error": (
        "            await sink.fail(error)\n",
        "            world.settler.settle = lambda account: None\n            await sink.fail(error)\n",
    ),
}


def mutant(name: str) -> type[Engine]:
    source = Path(engine.__file__).read_text()
    was, becomes = MUTANTS[name]
    assert source.count(was) == 1, f"the engine no longer has the line that {name!r} changes"
    module = ModuleType("engine_mutant")
    sys.modules[module.__name__] = module  # the structs look their annotations up there
    exec(compile(source.replace(was, becomes), "engine_mutant.py", "exec"), module.__dict__)
    mutated: type[Engine] = module.Engine
    return mutated


@pytest.mark.parametrize("name", MUTANTS)
def test_the_sweep_catches_a_planted_mutant(name: str) -> None:
    mutated = mutant(name)

    def sweeps() -> None:
        for scripts in (LONG, BROKEN):
            double_sweep(mutated, scripts, sweep(mutated, scripts))

    with pytest.raises(AssertionError):
        sweeps()
