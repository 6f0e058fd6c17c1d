"""Gateways on one store through crashes, cut lines and clocks that jump: never overspent, nothing lost, nothing twice."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from hoosh.ports import Ledger
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.ledger import SQLiteLedger
from simulation.kinds import KINDS, Kind
from simulation.world import simulate

NUMBERED = pytest.mark.parametrize("kind", [pytest.param(kind, id=str(n)) for n, kind in enumerate(KINDS)])


@asynccontextmanager
async def sqlite(now_ms: Callable[[], int]) -> AsyncIterator[Ledger]:
    with TemporaryDirectory() as folder:
        ledger = SQLiteLedger(StoreFile(Path(folder) / "hoosh.db"), now_ms)
        try:
            yield ledger
        finally:
            await ledger.close()


@NUMBERED
def test_all_adds_up(kind: Kind) -> None:
    world = simulate(1, 8000, kind)
    assert (world.counts["kills"] > 0) == kind.faults
    assert world.counts["refused: budget_exceeded"] > 0
    if world.truth.is_exact:
        assert world.truth.tightest >= (100 if kind.tight else 70)  # near the ceiling, where it counts


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 105))
@NUMBERED
def test_all_adds_up_for_a_million_operations(kind: Kind, seed: int) -> None:
    simulate(seed, 34_000, kind)


@pytest.mark.parametrize("kind", KINDS[:2], ids=["journal", "durable"])
def test_all_adds_up_in_sqlite(kind: Kind) -> None:
    simulate(2, 1500, kind, sqlite)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@NUMBERED
def test_all_adds_up_in_sqlite_for_long(kind: Kind) -> None:
    simulate(3, 30_000, kind, sqlite)


def test_a_seed_takes_the_same_steps_again() -> None:
    seed = Random(4).randrange(1 << 32)
    one, other = simulate(seed, 3000, KINDS[0]), simulate(seed, 3000, KINDS[0])
    assert list(one.log) == list(other.log)
    assert one.counts == other.counts


def test_a_run_that_fails_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("hoosh.engine.escrow.Escrow.settle", sync)
    with pytest.raises(AssertionError, match=r"(?s)a bug.*last operations.*simulation\.run 7 2000 1"):
        simulate(7, 2000, KINDS[1])
