"""Carries lines and leases between this gateway and the store: one batch at a time, soon, and again until it arrives.

While a batch is on its way the next one gathers, so that a slow store makes larger batches and not a longer queue.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Protocol

import msgspec

from hoosh.core.booking import told
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import CLOSED, RANK, Batch, Line, Reply
from hoosh.engine.desk import Desk, Meters, percent_used
from hoosh.engine.pools import Pools, PoolState
from hoosh.ports import Clock, Ledger, Spool

log = logging.getLogger("hoosh.budgets")
_decode = msgspec.msgpack.Decoder(Line).decode
_encode = msgspec.msgpack.Encoder().encode
# A process that was stopped must not spend what others may have got meanwhile: it stops a little before its lease does.
LEASE_PART = 0.99
IDLE_MS = 1000
HEARTBEAT_S = 0.1
SWEEP_S = 0.5
PRUNE_MS = 3_600_000
RETRY_S = 0.1
MAX_RETRY_S = 2.0
REPLAY_LINES = 1000


class LeftBehind(Protocol):
    """What a gateway left behind: its name, and its lines in the order that they were put."""

    gateway: str

    def records(self) -> Sequence[bytes]: ...


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """`flush_s` is how long a line waits for company, `lease_s` how long a gateway may be silent, `keep_s` for how long
    closed lines are kept. There are at least so many `gateways`, whether the store has heard of all of them or not.
    """

    flush_s: float = 0.01
    lease_s: float = 30.0
    keep_s: int = 90 * 86_400
    gateways: int = 1


class Courier:
    """`gateway` is this process's name in the ledger; nobody else may ever have it. Without a `spool` what the store
    does not have yet dies with the process.
    """

    def __init__(
        self, ledger: Ledger, pools: Pools, clock: Clock, gateway: str, *, spool: Spool | None, manner: Manner
    ) -> None:
        self._ledger = ledger
        self._pools = pools
        self._clock = clock
        self.gateway = gateway
        self._spool = spool
        self.manner = manner
        self._epoch = ""
        self._offset_ms = 0
        self._fence_ns = 0
        self.gateways = 1
        self.on_gateways: Callable[[int], None] | None = None  # hears how many there are whenever that changes
        self.failed: StoreFailed | None = None  # how the last batch failed, if it did
        self._queue: dict[str, Line] = {}
        self._under_way: dict[str, Line] = {}
        self._next: list[asyncio.Future[None]] = []
        self._sent: list[asyncio.Future[None]] = []
        self._is_sending = False
        self._step = asyncio.Lock()  # held while the store is at it
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Raises StoreFailed."""
        self._epoch = await self._ledger.open()
        await self._ledger.sweep()
        await self._send()
        self._tasks = [asyncio.create_task(self._carry_on()), asyncio.create_task(self._keep_sweeping())]

    async def close(self, limit_s: float) -> bool:
        """Tell the store the rest and give back all leases; whether it has all, for what cannot be told in `limit_s`
        stays in the spool.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._end_tasks()
                self._fail(StoreFailed("the gateway stops"))
                await self._leave()
                return True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        log.error("%d ledger lines could not be written: %s", len(self._queue), list(self._queue)[:100])
        return False

    async def _end_tasks(self) -> None:
        """A step that is under way is waited for: cut off, it might come to the store after the last one."""
        async with self._step:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _leave(self) -> None:
        """However often it takes."""
        while True:
            with suppress(StoreFailed):
                await self._send(leaving=True)
                await self._ledger.reconcile(self.gateway)
                return
            await asyncio.sleep(RETRY_S)

    def now_ms(self) -> int:
        """The store's clock, as last heard and carried on."""
        return self._clock.monotonic_ns() // 1_000_000 + self._offset_ms

    @property
    def is_late(self) -> bool:
        """Was the store silent for so long that our leases may be gone?"""
        return self._clock.monotonic_ns() > self._fence_ns

    def post(self, line: Line) -> None:
        """Raises StoreFailed where it could not be made safe."""
        if self._spool is not None:
            self._spool.put(_encode(line))
        self._queue[line.id] = line
        if self._timer is None and not self._is_sending:
            self._timer = asyncio.get_running_loop().call_later(self.manner.flush_s, self._wake.set)

    def has_end(self, line_id: str) -> bool:
        """Is the store still to be told how this line ended? Then another end must not take its place."""
        return any(_is_closed(lines.get(line_id)) for lines in (self._queue, self._under_way))

    def post_late(self, line: Line) -> None:
        """Of something that has happened already: it is kept even where it cannot be made safe."""
        try:
            self.post(line)
        except StoreFailed as error:
            log.warning("budgets: %s is only in memory: %s", line.id, error.message)
            self._queue[line.id] = line
            self._wake.set()

    async def flush(self) -> None:
        """Wait until the store has all that was posted. Raises StoreFailed."""
        if self._queue:
            await self._ride(self._next)
            self._wake.set()
        elif self._is_sending:
            await self._ride(self._sent)

    async def lease(self, desks: Sequence[Desk], amount: Meters) -> None:
        """Ask for `amount` at each desk and wait for the answer, whatever it is. Raises StoreFailed."""
        _wait_at(desks, amount, 1)
        try:
            await self._ride(self._next)
        finally:
            _wait_at(desks, amount, -1)

    async def _ride(self, batch: list[asyncio.Future[None]]) -> None:
        future = asyncio.get_running_loop().create_future()
        batch.append(future)
        self._wake.set()
        await future

    async def _carry_on(self) -> None:
        delay_s = RETRY_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s()):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._send()
            except Exception as error:  # noqa: BLE001 - whatever a store does, those who wait must not wait for ever
                self._note(error)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, MAX_RETRY_S)
                self._wake.set()
            else:
                if self.failed is not None:
                    log.warning("budgets: the store works again")
                self.failed = None
                delay_s = RETRY_S

    def _note(self, error: Exception) -> None:
        """Said once, and again when another kind of failure follows it."""
        failed = _as_failure(error)
        if self.failed is None or self.failed.code != failed.code:
            is_ours = not isinstance(error, StoreFailed)
            log.warning("budgets: the store fails: %s", failed.message, exc_info=error if is_ours else None)
        self.failed = failed

    def _patience_s(self) -> float:
        """Until the store should hear of us though nothing has happened."""
        if any(desk.is_free for desk, _ in self._pools.desks()):
            return HEARTBEAT_S
        return self.manner.lease_s / 3

    async def _keep_sweeping(self) -> None:
        pruned_ms = 0
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._ledger.sweep()
                if self.now_ms() > pruned_ms + PRUNE_MS:
                    pruned_ms = self.now_ms()
                    await self._ledger.prune(pruned_ms - self.manner.keep_s * 1000)
            except Exception as error:  # noqa: BLE001 - a sweep that failed must not be the last
                log.debug("budgets: a sweep failed: %s", error)  # the next batch says what is the matter

    async def _send(self, *, leaving: bool = False) -> None:
        """One batch, of all there is to say. Raises StoreFailed, and then all is still to be said."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._queue = self._queue, {}
        self._under_way = lines
        self._sent, self._next = self._next, []
        mark = self._spool.mark() if self._spool is not None else 0
        desks, batch = self._batch(tuple(lines.values()), leaving=leaving)
        sent_ns = self._clock.monotonic_ns()
        self._is_sending = True
        try:
            async with self._step:
                reply = await self._ledger.sync(batch)
        except BaseException as error:
            lines.update(self._queue)
            self._queue = lines
            self._fail(_as_failure(error))
            raise
        finally:
            self._is_sending, self._under_way = False, {}
        self._fence_ns = sent_ns + int(batch.lease_ms * LEASE_PART * 1e6)
        self._heard(reply, desks, batch)
        if self._spool is not None:
            self._spool.forget(mark)
        for future in self._sent:
            if not future.done():
                future.set_result(None)
        self._sent = []
        if self._queue and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.manner.flush_s, self._wake.set)

    def _batch(self, lines: tuple[Line, ...], *, leaving: bool) -> tuple[list[Desk], Batch]:
        now_ms = self.now_ms()
        desks, wishes = [], []
        for desk, is_current in self._pools.desks():
            if any(desk.waiting) or not desk.is_empty:
                is_fresh = is_current and now_ms - desk.used_at_ms < IDLE_MS and now_ms >= desk.strict_until_ms
                wishes.append(desk.wish(self.gateways, keep_free=is_fresh and not leaving, urgent=True))
                desks.append(desk)
        batch = Batch(
            gateway=self.gateway,
            epoch=self._epoch,
            lease_ms=int(self.manner.lease_s * 1000),
            journalled=self._spool is not None,
            lines=lines,
            leases=tuple(wishes),
        )
        return desks, batch

    def _heard(self, reply: Reply, desks: Sequence[Desk], batch: Batch) -> None:
        self._offset_ms = reply.now_ms - self._clock.monotonic_ns() // 1_000_000
        if (gateways := max(self.manner.gateways, reply.gateways)) != self.gateways:
            self.gateways = gateways
            if self.on_gateways is not None:
                self.on_gateways(gateways)
        strict_until_ms = reply.now_ms + IDLE_MS
        for desk, lease, wish in zip(desks, reply.leases, batch.leases, strict=True):
            desk.granted_by(lease)
            if wish.since_s > self._first_s(desk, reply.now_ms // 1000):
                desk.give_up_free()
            if lease.recalled:
                desk.strict_until_ms = strict_until_ms
                self._wake.set()
            if desk.pool in self._pools:
                _warn(self._pools[desk.pool], desk)
        recalled = set(reply.recalled)
        for desk, _ in self._pools.desks():
            if (desk.pool, desk.window_s) in recalled:
                desk.strict_until_ms = strict_until_ms
                desk.dirty = True
                self._wake.set()

    def _first_s(self, desk: Desk, now_s: int) -> int:
        """The first bucket that counts. Who was ahead of the store's clock has named a later one, and was granted what
        is used still.
        """
        if desk.pool in self._pools and (state := self._pools[desk.pool]).pool.rolling and state.desk is desk:
            state.at(now_s)
        return desk.since_s

    def _fail(self, error: StoreFailed) -> None:
        """Who waits must not wait for a store that is away."""
        waiting, self._sent, self._next = self._sent + self._next, [], []
        for future in waiting:
            if not future.done():
                future.set_exception(StoreFailed(error.message, code=error.code))


def _as_failure(error: BaseException) -> StoreFailed:
    return error if isinstance(error, StoreFailed) else StoreFailed("the budget store failed")


def _is_closed(line: Line | None) -> bool:
    return line is not None and RANK[line.state] >= CLOSED


def _wait_at(desks: Sequence[Desk], amount: Meters, sign: int) -> None:
    for desk in desks:
        for meter in desk.capped:
            desk.waiting[meter] += sign * amount[meter]


def _warn(state: PoolState, desk: Desk) -> None:
    if not state.pool.alerts or desk is not state.desk:
        return
    used = percent_used(desk)
    passed = max((percent for percent in state.pool.alerts if percent <= used), default=0)
    if passed > state.warned_percent:
        log.warning("budget '%s' has used %d %% of its limit", state.pool.name, used)
    state.warned_percent = max(passed, state.warned_percent)


async def replay(ledger: Ledger, epoch: str, journal: LeftBehind) -> None:
    """Tell the store what a dead gateway had not told yet, and close what it left open. Raises StoreFailed."""
    latest: dict[str, Line] = {}
    for record in journal.records():
        line = _decode(record)
        latest[line.id] = told(latest.get(line.id), line) or latest[line.id]
    lines = iter(latest.values())
    while batch := tuple(islice(lines, REPLAY_LINES)):
        await ledger.sync(Batch(gateway=journal.gateway, epoch=epoch, lease_ms=1000, journalled=True, lines=batch))
    await ledger.reconcile(journal.gateway)
