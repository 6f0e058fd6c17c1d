"""One batch, run from wherever it stands to its end. Every step is in the store before the next is begun, so that after
a crash the next process goes on there; only lines that were being asked at that moment are asked again.
"""

import asyncio
import secrets
from collections.abc import Iterable

import msgspec

from hoosh.core.batch import Batch, Line, LineProblem, LineState, Status
from hoosh.core.errors import ClientError
from hoosh.http.batches.intake import Intake
from hoosh.http.batches.lines import answered, asked_of, unasked
from hoosh.http.batches.outlet import close_waiting, line_id, write_files
from hoosh.http.batches.parts import Parts
from hoosh.http.batches.work import END_S, Lost, Work

LINES_AT_ONCE = 50
# Before a line is asked again whose reply does not say when: the first time, and at most.
DELAY_S = 1.0
MAX_DELAY_S = 60.0


class Run:
    """`slots` are all lines of this process. Once `ending` no other line is begun: then the batch is cancelled, if the
    store says so, or left where it stands.
    """

    def __init__(self, batch: Batch, work: Work, slots: asyncio.Semaphore) -> None:
        self.ending = asyncio.Event()
        self._batch = batch
        self._work = work
        self._slots = slots
        self._asker = work.asking.asker(batch)
        self._fetching = asyncio.Lock()
        self._fetched: list[Line] = []
        self._after = -1
        self._parts = Parts(batch.hold, batch.id, work)

    async def go(self) -> None:
        """Raises: Lost, StoreFailed."""
        if self._batch.status == "validating":
            await self._validate()
        if self._batch.status == "in_progress":
            await self._ask_all()
        if self._batch.status in ("finalizing", "cancelling"):
            await self._finish()

    async def _validate(self) -> None:
        batch, work = self._batch, self._work
        if batch.hold:  # of a process that died here
            await work.holds.let_go(f"{batch.hold}{n}" for n in range(work.rules.lines))
        await work.batches.clear(batch.id)
        await self._become("validating", hold=f"hold-{secrets.token_hex(12)}-")
        intake = Intake(self._batch, work)
        await intake.read()
        if not intake.problems and await work.batches.used_bytes() >= work.rules.most_bytes:
            told = f"All files and batches may take {work.rules.most_bytes} bytes; delete some."
            intake.problems.append(LineProblem(code="storage_full", message=told))
        if self._batch.status == "validating" and not intake.problems:
            await self._become("validating", parts=len(intake.holds))
        if self._batch.status == "validating" and not intake.problems:
            try:
                await work.holds.accept(intake.holds)
            except ClientError as error:  # the budget cannot cover it, or is no more
                intake.problems.append(LineProblem(code=error.code, message=error.message))
        if self._batch.status == "validating":
            if intake.problems:
                await self._become("failed", failed_s=work.clock.unix_s(), problems=tuple(intake.problems))
            else:
                await self._become("in_progress", in_progress_s=work.clock.unix_s())
        if self._batch.status == "failed":
            await work.batches.clear(batch.id)

    async def _ask_all(self) -> None:
        self._parts = Parts(self._batch.hold, self._batch.id, self._work)
        tasks = [asyncio.create_task(self._ask_some()) for _ in range(self._work.rules.concurrency)]
        end = asyncio.create_task(self.ending.wait())
        try:
            left: set[asyncio.Task[None]] = set(tasks)
            while left and not end.done():
                done, _ = await asyncio.wait({*left, end}, return_when=asyncio.FIRST_COMPLETED)
                left -= done
                if any(task in done and task.exception() for task in tasks):
                    self.ending.set()
            if left:
                await asyncio.wait(left, timeout=END_S)
        finally:
            for task in (*tasks, end):
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._parts.close()
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error
        if not self.ending.is_set():
            await self._become("finalizing", finalizing_s=self._work.clock.unix_s())
        else:
            self._batch = await self._known()

    async def _ask_some(self) -> None:
        while not self.ending.is_set() and not self._is_over() and (line := await self._next()):
            backing = await self._parts.enter(line.part)
            try:
                await self._ask(line, backing)
            finally:
                self._parts.leave(line.part)

    async def _next(self) -> Line | None:
        async with self._fetching:
            if not self._fetched:
                found = await self._work.batches.lines(self._batch.id, "waiting", self._after, LINES_AT_ONCE)
                self._fetched = list(reversed(found))
            if not self._fetched:
                return None
            line = self._fetched.pop()
            self._after = line.n
            return line

    async def _ask(self, line: Line, backing: str) -> None:
        """Until it is answered, or the batch's time is over."""
        batch, work, asked = self._batch, self._work, asked_of(line.data)
        identity, delay_s = line_id(batch, line.n), DELAY_S
        while not self.ending.is_set():
            async with self._slots:
                if await work.batches.used_bytes() >= work.rules.most_bytes:
                    told = f"all files and batches may take {work.rules.most_bytes} bytes, and do"
                    await self._told(line, unasked(identity, asked, "storage_full", told), is_good=False)
                    return
                reply = await self._asker(asked, backing)
            wait_s = reply.retry_after_s
            wait_s = delay_s if wait_s == 0 else wait_s
            if wait_s is None or work.clock.unix_s() + wait_s >= batch.expires_s:
                text = answered(identity, asked, reply.status, reply.request_id, reply.body)
                await self._told(line, text, is_good=reply.status == 200)
                return
            await _until(self.ending, wait_s)
            delay_s = min(2 * delay_s, MAX_DELAY_S)

    async def _told(self, line: Line, text: bytes, *, is_good: bool) -> None:
        state: LineState = "answered" if is_good else "refused"
        if not await self._work.batches.finish(self._batch.id, line, state, text):
            raise Lost

    async def _finish(self) -> None:
        batch, work = self._batch, self._work
        await work.holds.let_go(f"{batch.hold}{n}" for n in range(batch.parts))
        now_s = work.clock.unix_s()
        is_cancelled = batch.status == "cancelling"
        if is_cancelled:
            told = ("batch_cancelled", "This request was not executed, for the batch was cancelled.")
        else:
            told = ("batch_expired", "This request could not be executed before the completion window expired.")
        await close_waiting(batch, work, *told)
        counts = await work.batches.counts(batch.id)
        batch = await write_files(batch, work)
        is_expired = counts.total > counts.completed + counts.failed
        status: Status = "cancelled" if is_cancelled else "expired" if is_expired else "completed"
        await self._become(
            status,
            output_file_id=batch.output_file_id,
            error_file_id=batch.error_file_id,
            total=counts.total,
            completed=counts.completed,
            failed=counts.failed,
            **{f"{status}_s": now_s},
        )
        await work.batches.clear(batch.id)

    def _is_over(self) -> bool:
        return self._work.clock.unix_s() >= self._batch.expires_s

    async def _become(self, status: Status, **changes: object) -> None:
        """In the store first; where it was cancelled meanwhile it becomes that. Raises: Lost, StoreFailed."""
        was = self._batch.status
        batch = msgspec.structs.replace(self._batch, status=status, **changes)
        if not await self._work.batches.advance(batch, was):
            batch = await self._known()
            if was == "cancelling" or batch.status != "cancelling":
                raise Lost
        self._batch = batch

    async def _known(self) -> Batch:
        batch = await self._work.batches.batch(self._batch.owner, self._batch.id)
        if batch is None:
            raise Lost
        return batch


async def _until(event: asyncio.Event, limit_s: float) -> None:
    waiting: Iterable[asyncio.Task[bool]] = [asyncio.create_task(event.wait())]
    try:
        await asyncio.wait(waiting, timeout=limit_s)
    finally:
        for task in waiting:
            task.cancel()
