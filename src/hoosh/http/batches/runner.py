"""Runs batches, new ones and those of a process that died. Of all processes on one store exactly one runs a batch.

Whoever finds one that is nobody's claims it. A store that fails stops a run where it stands; it goes on once the store
works again.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from hoosh.core.batch import Batch, Running
from hoosh.core.errors import StoreFailed
from hoosh.http.batches.work import END_S, Lost, Work

log = logging.getLogger("hoosh.batches")
# How soon a process sees what was wanted at another.
LOOK_S = 0.5
PURGE_S = 600.0
# Batches that one process runs at once; their lines share its concurrency.
AT_ONCE = 16


class Run(Protocol):
    """What is needed of http.batches.run.Run."""

    @property
    def ending(self) -> asyncio.Event: ...

    async def go(self) -> None: ...


class Runner:
    """`begin` makes the run of a batch."""

    def __init__(self, work: Work, begin: Callable[[Batch], Run]) -> None:
        self._work = work
        self._begin = begin
        self._runs: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._broken: set[str] = set()
        self._wake = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._is_pausing = False
        self._purge_ns = 0

    def start(self) -> None:
        self._watch = asyncio.create_task(self._look_again())

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def pause(self) -> None:
        """No line is begun from now on."""
        self._is_pausing = True
        for run, _ in self._runs.values():
            run.ending.set()

    async def stop(self) -> None:
        """What is being asked may end; what takes longer is asked again by whoever runs the batch next."""
        self.pause()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        tasks = [task for _, task in self._runs.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=2 * END_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_again(self) -> None:
        while True:
            try:
                await self._look()
            except StoreFailed as error:  # it may work again at the next look
                log.debug("which batches there are is not known: %s", error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _look(self) -> None:
        await self._purge()
        for found in await self._work.batches.running():
            if found.id in self._runs:
                self._tell(found)
            elif self._is_ours_to_take(found) and (batch := await self._work.batches.claim(found.id)) is not None:
                run = self._begin(batch)
                task = asyncio.create_task(self._go(run, found.id), name=found.id)
                self._runs[found.id] = (run, task)
                task.add_done_callback(self._ended)

    def _tell(self, found: Running) -> None:
        run, task = self._runs[found.id]
        if found.runner != self._work.batches.runner:
            task.cancel()
        elif found.status == "cancelling":
            run.ending.set()

    def _is_ours_to_take(self, found: Running) -> bool:
        is_free = found.runner in ("", self._work.batches.runner) and found.id not in self._broken
        return is_free and len(self._runs) < AT_ONCE and not self._is_pausing

    async def _go(self, run: Run, batch_id: str) -> None:
        try:
            await run.go()
        except StoreFailed as error:
            log.warning("batch %s waits, for the store fails: %s", batch_id, error.message)
        except Lost:
            log.warning("batch %s is run by another process now", batch_id)
        finally:
            with suppress(StoreFailed):
                await self._work.batches.release(batch_id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._runs.pop(task.get_name(), None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "a bug while running %s: it rests until the gateway starts again", task.get_name(), exc_info=error
            )
            self._broken.add(task.get_name())

    async def _purge(self) -> None:
        now_ns = self._work.clock.monotonic_ns()
        if now_ns < self._purge_ns:
            return
        self._purge_ns = now_ns + int(PURGE_S * 1e9)
        if await self._work.batches.used_bytes():  # else it would make a store where nothing was ever kept
            now_s = self._work.clock.unix_s()
            await self._work.batches.purge(now_s, now_s - self._work.rules.keep_s)
