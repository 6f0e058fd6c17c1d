"""Checks that catch nothing prove nothing: each bug that is planted here must be caught, and by what is printed."""

import pytest
from hypothesis import Phase

from contract.test_ledger import sqlite
from contract.test_ledger_lockstep import march
from simulation.kinds import KINDS
from simulation.mutants import IN_SQLITE, SIMULATED, plant
from simulation.world import simulate

OPERATIONS = 12_000


def caught(first: int) -> str | None:
    for number, seed in [*((first, seed) for seed in range(1, 21)), *((number, 1) for number in range(len(KINDS)))]:
        try:
            simulate(seed, OPERATIONS, KINDS[number])
        except AssertionError as error:
            return f"seed {seed}, kind {number}: {str(error)[:160]}"
    return None


@pytest.mark.parametrize("name", SIMULATED)
def test_the_simulator_catches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(SIMULATED[name], monkeypatch)
    by = caught(SIMULATED[name].kind)
    print(f"{name}: {by}")
    assert by is not None


@pytest.mark.parametrize("name", IN_SQLITE)
def test_the_lockstep_catches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(IN_SQLITE[name], monkeypatch)
    with pytest.raises(AssertionError) as told:
        march(sqlite, 2000, 30, [Phase.generate])
    print(f"{name}: {str(told.value)[:160]}")
