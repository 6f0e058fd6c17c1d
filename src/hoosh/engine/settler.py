"""Settling: what a call owes is fixed here, synchronously, and written by one task that batches and retries.

`settle` and `absorb` never await and never raise, so they stand in a `finally` that a second cancellation
may hit. A `finally` that awaited would be cancelled there and settle nothing.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress

import msgspec

from hoosh.core.call import Account, Outcome, Receipt, Settlement, Tried
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.usage import Usage
from hoosh.policy.estimate import guess, output_guess
from hoosh.ports import Budgets, Clock, Journal, Observer

log = logging.getLogger("hoosh.settler")
RETRY_S = 0.1
MAX_RETRY_S = 5.0
# nginx's word for a client that left before the answer; in receipts only.
STATUS_CLIENT_LEFT = 499


class Settler:
    def __init__(self, budgets: Budgets, journal: Journal, observer: Observer, clock: Clock) -> None:
        self._budgets = budgets
        self._journal = journal
        self._observer = observer
        self._clock = clock
        self._queue: deque[Settlement] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._writer: asyncio.Task[None] | None = None

    def absorb(self, account: Account, error: UpstreamError) -> None:
        """An attempt failed and the call goes on (or gives up): its line is closed now."""
        attempt, hold = account.attempt, account.hold
        if attempt is None or hold is None:
            return
        account.hold = None
        account.tried.append(Tried(attempt.target, error))
        self._observer.failed(attempt.target, error)
        self._write(
            Settlement(
                id=hold.id, pool=hold.pool, usage=Usage(), target=attempt.target, error=error.code, absorbed=True
            )
        )

    def settle(self, account: Account) -> None:
        attempt, hold = account.attempt, account.hold
        usage = usage_of(account) if hold else Usage()
        if attempt is not None and hold is not None:
            account.hold = None
            if account.outcome is Outcome.OK:
                self._observer.succeeded(attempt.target, (account.first_event_ns - account.call.arrived_ns) / 1e9)
            elif account.error is not None:
                self._observer.failed(attempt.target, account.error)
            error = account.error.code if account.error else ""
            self._write(Settlement(id=hold.id, pool=hold.pool, usage=usage, target=attempt.target, error=error))
        self._journal.note(self._receipt(account, usage))

    def start(self) -> None:
        self._writer = asyncio.create_task(self._write_for_ever())

    async def drain(self) -> None:
        """Wait until all that was settled is written."""
        await self._idle.wait()

    async def stop(self, limit_s: float) -> None:
        """A store that stays away must not keep the process: what is left after `limit_s` is told in the log."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self.drain()
        if self._queue:
            log.error("%d settlements could not be written: %s", len(self._queue), [line.id for line in self._queue])
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def _write(self, settlement: Settlement) -> None:
        self._queue.append(settlement)
        self._idle.clear()
        self._wake.set()

    async def _write_for_ever(self) -> None:
        delay_s = RETRY_S
        while True:
            await self._wake.wait()
            batch = list(self._queue)
            try:
                await self._budgets.settle(batch)
            except Exception:  # noqa: BLE001 - a store may fail in any way, and money is never dropped: try again
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, MAX_RETRY_S)
                continue
            delay_s = RETRY_S
            for _ in batch:
                self._queue.popleft()
            if not self._queue:
                self._wake.clear()
                self._idle.set()

    def _receipt(self, account: Account, usage: Usage) -> Receipt:
        call, error = account.call, account.error
        return Receipt(
            call_id=call.id,
            request_id=call.request_id,
            model=call.request.model,
            outcome=account.outcome,
            status=_status(account.outcome, error),
            principal=call.principal,
            target=account.attempt.target if account.attempt else None,
            attempts=account.attempt.n if account.attempt else 0,
            usage=usage,
            stream=call.request.stream,
            first_event_ns=max(0, account.first_event_ns - call.arrived_ns),
            total_ns=self._clock.monotonic_ns() - call.arrived_ns,
            error=error.code if error else "",
            wishes=call.wishes,
        )


def usage_of(account: Account) -> Usage:
    """What the provider reported, else an estimate of what was sent and seen; nothing if no reply began.

    Of an answer that broke off, a report may be from before it began: what was seen since counts then.
    """
    reported = account.reported
    if reported is None:
        return guess(account.call.request, account.seen_chars) if account.first_event_ns else Usage()
    if not account.finished and (seen_tokens := output_guess(account.seen_chars)) > reported.output:
        return msgspec.structs.replace(reported, output=seen_tokens, source="estimated")
    return reported


def _status(outcome: Outcome, error: HooshError | None) -> int:
    if error is not None:
        return error.status
    return {Outcome.OK: 200, Outcome.CANCELLED: STATUS_CLIENT_LEFT}.get(outcome, 500)
