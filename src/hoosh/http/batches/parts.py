"""Which parts of a batch's hold are in this process: each from its first line to its last."""

import asyncio

import msgspec

from hoosh.core.ledger import Amount
from hoosh.http.batches.work import Work


class _Part(msgspec.Struct):
    backing: asyncio.Task[str]
    lines: int = 0


class Parts:
    """Lines come in order, so a part is over once a later one has begun and none of its lines is being asked."""

    def __init__(self, hold: str, batch_id: str, work: Work) -> None:
        self._hold = hold
        self._batch_id = batch_id
        self._work = work
        self._begun: dict[int, _Part] = {}
        self._latest = -1

    async def enter(self, n: int) -> str:
        """What backs a line of part `n`. Raises StoreFailed."""
        if n < 0:
            return ""
        part = self._begun.get(n)
        if part is None:
            part = self._begun[n] = _Part(asyncio.create_task(self._begin(n)))
        part.lines += 1
        before, self._latest = self._latest, max(n, self._latest)
        self._end(before)
        try:
            return await asyncio.shield(part.backing)
        except BaseException:
            self.leave(n)
            raise

    def leave(self, n: int) -> None:
        if n in self._begun:
            self._begun[n].lines -= 1
            self._end(n)

    def close(self) -> None:
        """No line is being asked any more."""
        self._latest = -1
        for n, part in tuple(self._begun.items()):
            part.lines = 0
            self._end(n)

    async def _begin(self, n: int) -> str:
        tokens, micros = await self._work.batches.rest(self._batch_id, n)
        return await self._work.holds.begin(f"{self._hold}{n}", Amount(tokens, micros))

    def _end(self, n: int) -> None:
        part = self._begun.get(n)
        if part is not None and not part.lines and n != self._latest:
            part.backing.cancel()
            del self._begun[n]
            self._work.holds.end(f"{self._hold}{n}")
