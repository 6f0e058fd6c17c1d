"""The event loop that sockets are served by."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    async def started() -> T:
        return await main()

    with asyncio.Runner(loop_factory=_event_loop) as runner:
        return runner.run(started())


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415
    except ImportError:  # not on Windows
        return asyncio.new_event_loop()
    return new_event_loop()
