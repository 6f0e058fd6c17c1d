"""Two attempts at once, of which the first to answer wins."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from hoosh.core.errors import UpstreamError

T = TypeVar("T")


async def race(
    first: Coroutine[object, object, T],
    second: Callable[[], Coroutine[object, object, T]],
    after_s: float,
    allows: Callable[[], bool],
) -> T:
    """What `first` gives, or `second`, which begins when the first has given nothing for `after_s` and `allows` says
    yes, or when it has failed in a way that leaves it to others. The loser is cancelled, and sees to its own end.

    Raises what the last one failed with.
    """
    running = {asyncio.create_task(first)}
    timeout_s: float | None = after_s
    try:
        while True:
            done, running = await asyncio.wait(running, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    return task.result()
            if done and not running:
                failed = next(iter(done)).exception()
                if failed is not None and (timeout_s is None or not _leaves_it(failed)):
                    raise failed
            if timeout_s is not None and (done or allows()):
                running.add(asyncio.create_task(second()))
            timeout_s = None
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def _leaves_it(failed: BaseException) -> bool:
    return isinstance(failed, UpstreamError) and failed.verdict in ("retry", "next") and not failed.is_ambiguous
