"""One gateway's process, of the real parts, but for its clock, its way to the store and its journal."""

import asyncio
from random import Random

from hoosh.core.ledger import Line
from hoosh.engine.courier import Courier, Manner
from hoosh.engine.escrow import Escrow
from hoosh.engine.pools import Pools
from hoosh.engine.reservations import Reservations
from hoosh.ports import Ledger
from simulation.network import Link, Paper, Weather
from simulation.truth import Truth

START_S = 1_700_000_000
LEASE_S = 2.0


class Clock:
    """A process's own; `ahead_s` is by how much it has jumped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead_s: float = 0.0) -> None:
        self._loop = loop
        self.ahead_s = ahead_s

    def monotonic_ns(self) -> int:
        return int((self._loop.time() + self.ahead_s + 1000) * 1e9)

    def unix_s(self) -> int:
        return self.now_ms() // 1000

    def now_ms(self) -> int:
        return START_S * 1000 + int((self._loop.time() + self.ahead_s) * 1000)


class Told(Courier):
    """It lets the truth hear of each line in the moment it is posted."""

    truth: Truth

    def post(self, line: Line) -> None:
        self.truth.posted(line)
        super().post(line)


class Gateway:
    def __init__(self, name: str, ledger: Ledger, truth: Truth, pools: Pools, chance: Random, *, journal: bool) -> None:
        self.name = name
        self.clock = Clock(asyncio.get_running_loop(), chance.random() * 1000)
        self.weather = Weather()
        self.link = Link(ledger, truth, self.weather, chance)
        self.pools = pools
        self.paper = Paper(name, chance.choice((1, 50))) if journal else None
        self.courier = Told(
            self.link, self.pools, self.clock, name, spool=self.paper, manner=Manner(lease_s=LEASE_S, keep_s=10**9)
        )
        self.courier.truth = truth
        self.escrow = Escrow(self.link, self.pools, self.courier, durable=not journal)
        self.reservations = Reservations(self.escrow, self.link, self.courier)
        self.tasks: dict[asyncio.Task[None], None] = {}  # in order, as a set is not
