"""A batch's file, read and checked line by line and kept as lines that wait; and what all of them may use, bounded."""

import asyncio
from collections.abc import AsyncIterator

from hoosh.core.batch import Batch, Line, LineProblem
from hoosh.core.call import Hold
from hoosh.core.errors import HooshError
from hoosh.core.ledger import Amount
from hoosh.http.batches.lines import Asked, kept, read_line
from hoosh.http.batches.work import Work

MAX_PROBLEMS = 100
# Lines that are held for together: fewer make a store of many holds, more are held again after a crash.
PART_LINES = 20
ROWS_AT_ONCE = 200
# A hold outlives the batch's window by this much, for what was begun at its end.
GRACE_S = 600


class Intake:
    """Of one batch. `holds` and `problems` are complete once `read` is done."""

    def __init__(self, batch: Batch, work: Work) -> None:
        self.holds: list[Hold] = []
        self.problems: list[LineProblem] = []
        self._batch = batch
        self._work = work
        self._count = 0
        self._in_part = 0
        self._rows: list[Line] = []

    async def read(self) -> None:
        """Raises StoreFailed."""
        batch, seen = self._batch, set[str]()
        number = 0
        async for text in self._texts():
            number += 1
            if not text.strip():
                continue
            if self._count >= self._work.rules.lines:
                self._wrong("too_many_lines", f"The file has more than {self._work.rules.lines} lines.", number)
                break
            found = read_line(text, number, batch.endpoint, seen)
            if isinstance(found, Asked):
                await self._keep(found)
            else:
                self.problems.append(found)
            if len(self.problems) >= MAX_PROBLEMS:
                break
        if not self._count and not self.problems:
            self._wrong("empty_file", "The file has no lines.", None)
        await self._work.batches.add(batch.id, self._rows)

    async def _texts(self) -> AsyncIterator[bytes]:
        """Other work comes between two lines."""
        rest, n, limit_bytes = b"", 0, self._work.rules.line_bytes
        while piece := await self._work.files.piece(self._batch.input_file_id, n):
            *texts, rest = (rest + piece).split(b"\n")
            for text in texts:
                yield text
                await asyncio.sleep(0)
            if len(rest) > limit_bytes:  # it was shorter when the file was taken: the configuration has changed
                break
            n += 1
        if rest:
            yield rest

    async def _keep(self, asked: Asked) -> None:
        try:
            pools, amount = self._work.holds.bound(self._work.asking.call(self._batch, asked))
        except HooshError:  # it will be told when it is asked
            pools, amount = (), Amount()
        part = self._hold(pools, amount) if pools else -1
        row = Line(n=self._count, part=part, tokens=amount.tokens, micros=amount.micros, data=kept(asked))
        self._count += 1
        self._rows.append(row)
        if len(self._rows) >= ROWS_AT_ONCE:
            await self._work.batches.add(self._batch.id, self._rows)
            self._rows = []

    def _hold(self, pools: tuple[str, ...], amount: Amount) -> int:
        """The part that a line is held in."""
        batch, now_s = self._batch, self._work.clock.unix_s()
        if self.holds and self.holds[-1].pools == pools and self._in_part < PART_LINES:
            amount += self.holds.pop().amount
        else:
            self._in_part = 0
        self._in_part += 1
        hold = Hold(
            id=f"{batch.hold}{len(self.holds)}",
            pools=pools,
            amount=amount,
            sent=False,
            expires_s=max(1, batch.expires_s - now_s) + GRACE_S,
            request_id=batch.id,
            key=batch.owner,
            operation="batch",
        )
        self.holds.append(hold)
        return len(self.holds) - 1

    def _wrong(self, code: str, message: str, line: int | None) -> None:
        self.problems.append(LineProblem(code=code, message=message, line=line))
