"""An event loop whose time is a number: it leaps to the next timer, and two runs of one seed take the same steps."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class NobodyMoves(Exception):
    """All wait for something that no timer and no task will bring."""


class VirtualLoop(asyncio.BaseEventLoop):
    """It is its own selector, for asyncio's loop sleeps nowhere else; work for threads is done at once."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self
        self._now_s = 0.0

    def time(self) -> float:
        return self._now_s

    def select(self, timeout_s: float | None) -> list[object]:
        if timeout_s is None:
            raise NobodyMoves
        self._now_s += timeout_s
        return []

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[object]) -> None:
        """Nothing but timers ever happens."""

    def _write_to_self(self) -> None:
        """There is no other thread to be woken by."""
