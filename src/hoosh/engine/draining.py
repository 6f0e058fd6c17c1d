"""What becomes of a call whose client left: with `on_disconnect = "drain"` its answer is read to the end, for the usage
that the provider tells there. The call holds its budget and its place in the limits until then.

Nothing is drained that was not sent: such a call ends at once, as does one too many and one that takes too long.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from hoosh.core.call import Account, Call
from hoosh.core.errors import HooshError
from hoosh.dialects import ClientDialect
from hoosh.ports import Sink

if TYPE_CHECKING:
    from hoosh.engine.engine import Engine

log = logging.getLogger("hoosh.draining")
AT_MOST = 64
LIMIT_S = 30.0


class Drains:
    """All calls of one process that may go on without their clients."""

    def __init__(self, engine: "Engine", at_most: int = AT_MOST, limit_s: float = LIMIT_S) -> None:
        self._engine = engine
        self._at_most = at_most
        self._limit_s = limit_s
        self._left: set[asyncio.Task[None]] = set()

    async def serve(self, call: Call, dialect: ClientDialect, sink: Sink) -> None:
        """As Engine.serve. To cancel it is to leave the call to itself."""
        account, end = Account(call), LeavingSink(sink)
        task = asyncio.create_task(self._engine.run(account, dialect, end))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.done():
                self._leave(account, end, task)
            raise

    async def stop(self) -> None:
        """Calls that are still being read end now, as if they had not been."""
        left = list(self._left)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _leave(self, account: Account, end: "LeavingSink", task: asyncio.Task[None]) -> None:
        account.has_left = True
        is_drained = account.sent and account.billed is None and len(self._left) < self._at_most
        self._left.add(task)
        task.add_done_callback(self._ended)
        if is_drained:
            end.leave()
            timer = asyncio.get_running_loop().call_later(self._limit_s, task.cancel)
            task.add_done_callback(lambda _: timer.cancel())
        else:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._left.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a call without its client broke off", exc_info=error)


class LeavingSink:
    """ports.Sink: the client's end, and once it has left, nobody's."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._has_left = False
        self._waits: asyncio.Task[object] | None = None  # who waits for the client to take what was written

    @property
    def started(self) -> bool:
        return self._sink.started

    def leave(self) -> None:
        """Who waits for the client waits no longer."""
        self._has_left = True
        if self._waits is not None:
            self._waits.cancel()

    def head(self, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        if not self._has_left:
            self._sink.head(content_type, headers)

    async def write(self, data: bytes) -> None:
        if not self._has_left:
            await self._unless_left(self._sink.write(data))

    async def close(self, data: bytes) -> None:
        if not self._has_left:
            await self._unless_left(self._sink.close(data))

    async def fail(self, error: HooshError) -> None:
        if not self._has_left:
            await self._unless_left(self._sink.fail(error))

    async def _unless_left(self, writing: Awaitable[None]) -> None:
        task = self._waits = asyncio.current_task()
        try:
            await writing
        except asyncio.CancelledError:
            if not self._has_left or task is None or task.uncancel():  # it was not for the wait alone
                raise
        finally:
            self._waits = None
