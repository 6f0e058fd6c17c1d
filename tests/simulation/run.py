"""One simulation: `PYTHONPATH=src:tests .venv/bin/python -m simulation.run SEED OPERATIONS [KIND]`."""

import sys
import time

from simulation.kinds import KINDS
from simulation.world import simulate


def main() -> None:
    seed, operations, *kind = map(int, sys.argv[1:])
    begun = time.perf_counter()
    world = simulate(seed, operations, KINDS[kind[0] if kind else 0])
    print(f"{time.perf_counter() - begun:.1f} s, {dict(world.counts)}, fullest {world.truth.tightest} %")


main()
