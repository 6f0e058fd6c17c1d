"""What the process itself is like: its memory, its open files, how late its timers come."""

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path

TICK_S = 0.25
# The worst of this long and of as long before.
SPAN_S = 15.0


def resident_bytes() -> int | None:
    """None where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
    except OSError:
        return None
    return int(pages) * resource.getpagesize()


def open_fds() -> int | None:
    """None where the system does not say."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir()) - 1  # without the one that it is read by
    except OSError:
        return None


def most_fds() -> int:
    """How many may be open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class LoopLag:
    """One timer that looks how late it comes, and calls `also` now and then, for there shall be no second one."""

    def __init__(self, also: Callable[[], None], every_s: float) -> None:
        self._also = also
        self._ticks_apart = max(1, round(every_s / TICK_S))
        self._ticks = 0
        self._due_s = 0.0
        self._turns_s = 0.0
        self._worst_s = 0.0
        self._worst_before_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._late_s = (0.0, 0.0, 0.0, 0.0)

    @property
    def least_s(self) -> float:
        """Of the last four."""
        return min(self._late_s)

    @property
    def worst_s(self) -> float:
        return max(self._worst_s, self._worst_before_s)

    def start(self) -> None:
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = loop.time() + TICK_S
        self._timer = loop.call_at(self._due_s, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        if now_s >= self._turns_s:
            self._worst_before_s, self._worst_s = self._worst_s, 0.0
            self._turns_s = now_s + SPAN_S
        late_s = now_s - self._due_s
        self._worst_s = max(self._worst_s, late_s)
        self._late_s = (*self._late_s[1:], late_s)
        self._ticks += 1
        if self._ticks % self._ticks_apart == 0:
            self._also()
        self._arm(loop)
