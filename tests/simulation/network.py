"""Between a gateway and its store: what takes time, is lost, arrives twice, or arrives though nobody waits any more."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

import msgspec

from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import Amount, Asked, Audit, Batch, Line, Reply, Standing, UsageKey, UsageSum
from hoosh.ports import Ledger
from simulation.truth import Truth

T = TypeVar("T")
SOON_S = 0.002


class Weather(msgspec.Struct):
    """How likely a step fails before it is done (`cut`) or after (`lost`), or is done twice; `away`: all are cut."""

    cut: float = 0.0
    lost: float = 0.0
    twice: float = 0.0
    slow_s: float = SOON_S
    away: bool = False


class Link:
    """ports.Ledger, as one gateway has it. `is_dead` once the gateway was killed."""

    def __init__(self, ledger: Ledger, truth: Truth, weather: Weather, chance: Random) -> None:
        self._ledger = ledger
        self._truth = truth
        self._chance = chance
        self.weather = weather
        self.is_dead = False

    async def open(self) -> str:
        return await self._ledger.open()

    async def close(self) -> None:
        """The store goes on."""

    async def sync(self, batch: Batch) -> Reply:
        async def step() -> Reply:
            reply = await self._ledger.sync(batch)
            self._truth.heard(batch, reply.now_ms)
            return reply

        return await self._through(step)

    async def sweep(self) -> int:
        return await self._through(lambda: self._truth.sweep(self._ledger))

    async def reconcile(self, gateway: str) -> None:
        await self._through(lambda: self._ledger.reconcile(gateway))

    async def carry(self, pool: str, bucket_s: int, extra: Amount) -> Amount:
        return await self._through(lambda: self._ledger.carry(pool, bucket_s, extra))

    async def standing(self, asked: Sequence[Asked]) -> Sequence[Standing]:
        return await self._through(lambda: self._ledger.standing(asked))

    async def line(self, line_id: str) -> Line | None:
        return await self._through(lambda: self._ledger.line(line_id))

    async def usage(self, from_day_s: int, to_day_s: int) -> Sequence[tuple[UsageKey, UsageSum]]:
        return await self._through(lambda: self._ledger.usage(from_day_s, to_day_s))

    async def prune(self, before_ms: int) -> int:
        return await self._through(lambda: self._ledger.prune(before_ms))

    async def audit(self) -> Audit:
        return await self._through(self._ledger.audit)

    async def _through(self, step: Callable[[], Awaitable[T]]) -> T:
        luck, weather = self._chance.random(), self.weather
        try:
            await asyncio.sleep(self._chance.random() * weather.slow_s)
        except asyncio.CancelledError:
            if self.is_dead and luck < 0.5:  # it was on its way already
                await step()
            raise
        if weather.away or luck < weather.cut:
            raise StoreFailed("no connection", code="store_down")
        answer = await step()
        if luck > 1 - weather.twice:
            await asyncio.sleep(self._chance.random() * weather.slow_s)
            answer = await step()
        await asyncio.sleep(self._chance.random() * weather.slow_s)
        if self.weather.away or luck < weather.cut + weather.lost:
            raise StoreFailed("no answer", code="store_slow")
        return answer


class Paper:
    """ports.Spool in memory: it survives its gateway. As the real one it may keep more than it must (whole segments),
    so that a replay tells again what the store has long had.
    """

    def __init__(self, gateway: str, segment: int) -> None:
        self.gateway = gateway
        self._segment = segment
        self._records: list[bytes] = []
        self._first = 0
        self.is_sealed = False

    def put(self, record: bytes) -> None:
        if not self.is_sealed:
            self._records.append(record)

    def mark(self) -> int:
        return self._first + len(self._records)

    def forget(self, mark: int) -> None:
        if self.is_sealed:
            return
        upto = mark if mark == self.mark() else mark // self._segment * self._segment
        if upto > self._first:
            del self._records[: upto - self._first]
            self._first = upto

    def records(self) -> Sequence[bytes]:
        return list(self._records)
