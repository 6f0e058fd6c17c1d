"""Budgets over a ledger that many gateways share: spent in memory from leases, told to the store in batches.

A call costs no round trip while the lease covers it. What a call holds is in the spool before a provider hears of it,
so that it outlives this process; with `durable` it is in the store itself before that.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from hoosh.core.call import Hold, Settlement
from hoosh.core.errors import BadRequest, BudgetExceeded, Shortage
from hoosh.core.ledger import UNLIMITED, Amount, Asked, Line
from hoosh.core.pool import Terms
from hoosh.engine.courier import Courier
from hoosh.engine.desk import NONE, Desk, Meters, all_have, meters, percent_used
from hoosh.engine.pools import Pools, PoolState
from hoosh.policy.periods import carry, previous
from hoosh.ports import Ledger

# Every configuration has it; without budgets it has no ceiling, and meters all.
DEFAULT_POOL = "default"
UNITS = ("tokens", "micro_usd", "audio_ms")
UNIT_NAMES = ("tokens", "micro-USD", "milliseconds of audio")
# How long a call waits for what other gateways have leased and do not use, and how often it looks.
RECALL_S = 1.0
RECALL_STEP_S = 0.01
# What others have settled is known a moment later: two flushes long a shortage is not believed while there are others.
DOUBT_S = 0.025


class _Open(msgspec.Struct, frozen=True):
    """A hold that stands, and where: its pools may be gone from the configuration meanwhile. `drawn` is what of it was
    taken out of what stood as `backing`.
    """

    line: Line
    states: tuple[PoolState, ...]
    desks: tuple[Desk, ...]
    amount: Meters
    backing: str = ""
    drawn: Meters = NONE


class Escrow:
    """ports.Budgets."""

    def __init__(self, ledger: Ledger, pools: Pools, courier: Courier, *, durable: bool = False) -> None:
        self._ledger = ledger
        self.pools = pools
        self._courier = courier
        self._durable = durable
        self._open: dict[str, _Open] = {}

    def terms(self, pool: str, key_id: str, agent: str) -> Terms:
        return self.pools.terms(pool, key_id, agent)

    async def reserve(self, hold: Hold) -> None:
        if hold.id in self._open:
            return
        courier = self._courier
        now_ms = courier.now_ms()
        states = self.pools.chain(hold.pools)
        for state in states:
            state.at(now_ms // 1000)
        amount = meters(hold.amount)
        desks = tuple(state.desk for state in states)
        drawn = self._draw(hold.backing, desks, amount) if hold.backing else NONE
        if courier.is_late or not all_have(desks, amount):
            try:
                desks = await self._obtain(states, amount)
            except BaseException:
                self._draw_back(hold.backing, drawn)
                raise
            now_ms = courier.now_ms()
        for desk in desks:
            desk.take(amount, now_ms)
        line = _line(hold, states, courier.gateway, now_ms)
        self._open[hold.id] = _Open(line, states, desks, amount, hold.backing, drawn)
        try:
            courier.post(line)
            if hold.expires_s:
                await self._cede(hold.id)
            elif self._durable:
                await courier.flush()
        except BaseException:
            self._release(hold.id)
            raise

    async def extend(self, hold_id: str, more: Amount) -> None:
        opened = self._open[hold_id]
        amount = meters(more)
        if self._courier.is_late or not all_have(opened.desks, amount):
            await self._obtain(opened.states, amount, opened.desks)
        for desk in opened.desks:
            desk.take(amount, self._courier.now_ms())
        line = msgspec.structs.replace(opened.line, held=opened.line.held + more)
        extended = self._open[hold_id] = msgspec.structs.replace(opened, line=line, amount=meters(line.held))
        try:
            self._courier.post(line)
            if self._durable:
                await self._courier.flush()
        except BaseException:
            if self._open.get(hold_id) is extended:  # else it was settled meanwhile
                self._open[hold_id] = opened
                for desk in opened.desks:
                    desk.give(amount, NONE)
            raise

    def settle(self, settlement: Settlement) -> None:
        opened = self._open.pop(settlement.id, None)
        used = Amount(settlement.usage.total, settlement.micros, settlement.audio_ms)
        now_ms = self._courier.now_ms()
        if opened is not None:
            line = opened.line
            for desk in opened.desks:
                desk.give(opened.amount, meters(used))
            if settlement.error:  # what it was to do may be tried again
                self._draw_back(opened.backing, _less(opened.drawn, meters(used)))
        elif (used == Amount() and not settlement.cache_hit) or self._courier.has_end(settlement.id):
            return
        else:
            line = _line(settlement.hold, self._charged(settlement.hold), self._courier.gateway, now_ms, Amount())
        self._courier.post_late(_closed(line, settlement, used, now_ms))

    def percent_used(self, pools: tuple[str, ...]) -> int:
        states = self.pools.chain(pools)
        now_s = self._courier.now_ms() // 1000
        for state in states:
            state.at(now_s)
        return max(percent_used(state.desk) for state in states)

    async def flush(self) -> None:
        await self._courier.flush()

    @property
    def open_holds(self) -> Sequence[Amount]:
        """What each attempt of this process holds now."""
        return [opened.line.held for opened in self._open.values()]

    async def set_aside(self, holds: Sequence[Hold]) -> None:
        """Let the store hold all of them, or none. They have the same pools, and `expires_s`. Raises as `reserve`."""
        states = self.pools.chain(holds[0].pools)
        total = sum((hold.amount for hold in holds), Amount())
        desks = await self._obtain(states, meters(total))
        now_ms = self._courier.now_ms()
        for desk in desks:
            desk.put_by(meters(total))
            desk.cede(meters(total))
        lines = [_line(hold, states, "", now_ms) for hold in holds]
        try:
            for line in lines:
                self._courier.post(line)
            await self._courier.flush()
        except BaseException:
            self._void(*lines)
            raise

    async def take_over(self, line: Line) -> bool:
        """Have here what the store holds by `line`, for calls to take as their `backing`: in one step of the store, so
        that nobody comes between. False where it is not to be had: its window is over, or its pools are gone.

        Raises StoreFailed, and may then be asked again.
        """
        states = self._states_of(line)
        desks = tuple(state.desk for state in states)
        if line.id not in self._open:
            if [(desk.pool, desk.window_s) for desk in desks] != [(at.pool, at.window_s) for at in line.scopes]:
                return False
            for desk in desks:
                desk.put_by(meters(line.held))
            self._open[line.id] = _Open(line, states, desks, meters(line.held))
            self._void(line)
        await self._courier.flush()
        return True

    async def earmark(self, line: Line, amount: Amount) -> None:
        """Keep `amount` here in the pools of `line` as they are now, as `take_over` does. Raises as `reserve`."""
        states = self._states_of(line)
        desks = await self._obtain(states, meters(amount))
        for desk in desks:
            desk.put_by(meters(amount))
        self._open[line.id] = _Open(line, states, desks, meters(amount))

    def stands(self, line_id: str) -> bool:
        return line_id in self._open

    def unmark(self, line_id: str) -> None:
        """What no call has taken of it is free again."""
        opened = self._open.pop(line_id, None)
        if opened is not None:
            for desk in opened.desks:
                desk.give(opened.amount, NONE)

    def _states_of(self, line: Line) -> tuple[PoolState, ...]:
        names = [scope.pool for scope in line.scopes]
        states = tuple(self.pools[name] for name in names if name in self.pools)
        for state in states:
            state.at(self._courier.now_ms() // 1000)
        return states

    def _void(self, *lines: Line) -> None:
        for line in lines:
            self._courier.post_late(msgspec.structs.replace(line, state="voided", settled_ms=self._courier.now_ms()))

    def _draw(self, backing: str, desks: tuple[Desk, ...], amount: Meters) -> Meters:
        """Free of what stands as `backing` up to `amount`, and say how much that was."""
        opened = self._open.get(backing)
        if opened is None or opened.desks != desks:
            return NONE
        drawn = (min(opened.amount[0], amount[0]), min(opened.amount[1], amount[1]), min(opened.amount[2], amount[2]))
        for desk in desks:
            desk.give(drawn, NONE)
        self._open[backing] = msgspec.structs.replace(opened, amount=_less(opened.amount, drawn))
        return drawn

    def _draw_back(self, backing: str, drawn: Meters) -> None:
        opened = self._open.get(backing)
        if opened is None or not any(drawn):
            return
        for desk in opened.desks:
            desk.put_by(drawn)
        more = (opened.amount[0] + drawn[0], opened.amount[1] + drawn[1], opened.amount[2] + drawn[2])
        self._open[backing] = msgspec.structs.replace(opened, amount=more)

    def _charged(self, hold: Hold) -> Sequence[PoolState]:
        """Where a hold goes that was never taken; "default" if its pools are gone meanwhile."""
        try:
            states = self.pools.chain(hold.pools)
        except BadRequest:
            states = self.pools.chain((DEFAULT_POOL,))
        for state in states:
            state.at(self._courier.now_ms() // 1000)
        return states

    def _release(self, hold_id: str) -> None:
        """A hold could not be made safe: nothing was sent, and nobody else will settle it."""
        opened = self._open.pop(hold_id, None)
        if opened is not None:
            for desk in opened.desks:
                desk.give(opened.amount, NONE)
            self._draw_back(opened.backing, opened.drawn)
            self._void(opened.line)

    async def _cede(self, hold_id: str) -> None:
        """Let the store hold it: then it outlives this process, and any gateway may settle it."""
        opened = self._open[hold_id]
        for desk in opened.desks:
            desk.cede(opened.amount)
        self._open[hold_id] = msgspec.structs.replace(opened, desks=())
        await self._courier.flush()
        del self._open[hold_id]

    async def _obtain(
        self, states: Sequence[PoolState], amount: Meters, fixed: tuple[Desk, ...] = ()
    ) -> tuple[Desk, ...]:
        """Wait until all desks have `amount` free. Raises BudgetExceeded, StoreFailed."""
        courier, loop = self._courier, asyncio.get_running_loop()
        begun_s = loop.time()  # not by the store's clock, which may be set back meanwhile
        while True:
            for state in states:
                if state.carried is None:
                    await self._carry(state)
                state.at(courier.now_ms() // 1000)
            desks = fixed or tuple(state.desk for state in states)
            if not courier.is_late and all_have(desks, amount):
                return desks
            await courier.lease(desks, amount)
            for state in states:
                state.at(courier.now_ms() // 1000)
            if not fixed and desks != tuple(state.desk for state in states):
                continue  # a window has ended while the store was asked
            if not courier.is_late and all_have(desks, amount):
                return desks
            waited_s = loop.time() - begun_s
            for state, desk in zip(states, desks, strict=True):
                meter = desk.lacking(amount)
                is_sure = courier.gateways <= 1 or waited_s > DOUBT_S
                if (meter is not None and is_sure) or (waited_s > RECALL_S and not desk.has(amount)):
                    raise _refusal(state, desk, amount, meter, courier.now_ms())
            await asyncio.sleep(RECALL_STEP_S)

    async def _carry(self, state: PoolState) -> None:
        """What the window before left over, fixed by whichever gateway comes first."""
        state.at(self._courier.now_ms() // 1000)
        now = state.window
        # Nothing comes over into a window that slides, or has no end, or from before there was the pool.
        if not now.window_s or state.pool.created_s >= now.start_s:
            state.carry(Amount())
            return
        await self._courier.lease((), NONE)  # give back what we have of the old window and do not use
        before = previous(state.pool, now, state.zone)
        (standing,) = await self._ledger.standing([Asked(state.pool.name, before.since_s, before.window_s)])
        (after,) = await self._ledger.standing([Asked(state.pool.name, now.since_s, now.window_s)])
        spent = standing.committed - after.committed + standing.leased
        state.carry(
            await self._ledger.carry(state.pool.name, now.bucket_s, carry(state.pool, state.pool.ceiling - spent))
        )


def _line(hold: Hold, states: Sequence[PoolState], gateway: str, now_ms: int, amount: Amount | None = None) -> Line:
    return Line(
        id=hold.id,
        state="sent" if hold.sent else "held",
        scopes=tuple([state.scope for state in states]),
        held=hold.amount if amount is None else amount,
        gateway="" if hold.expires_s else gateway,
        expires_ms=now_ms + hold.expires_s * 1000 if hold.expires_s else 0,
        reserved_ms=now_ms,
        request_id=hold.request_id,
        key=hold.key,
        agent=hold.agent,
        provider=hold.provider,
        model=hold.model,
        operation=hold.operation,
    )


def _closed(line: Line, settlement: Settlement, used: Amount, now_ms: int) -> Line:
    usage = settlement.usage
    return Line(
        id=line.id,
        state="committed",
        scopes=line.scopes,
        held=line.held,
        used=used,
        gateway=line.gateway,
        expires_ms=line.expires_ms,
        reserved_ms=line.reserved_ms,
        settled_ms=now_ms,
        input=usage.input,
        cached=usage.cached,
        cache_write=usage.cache_write,
        output=usage.output,
        reasoning=usage.reasoning,
        estimated=usage.source == "estimated",
        absorbed=settlement.absorbed,
        cache_hit=settlement.cache_hit,
        priced=settlement.priced,
        request_id=line.request_id,
        key=line.key,
        agent=line.agent,
        provider=line.provider,
        model=line.model,
        operation=line.operation,
        error=settlement.error,
    )


def _less(one: Meters, other: Meters) -> Meters:
    return max(0, one[0] - other[0]), max(0, one[1] - other[1]), max(0, one[2] - other[2])


def _refusal(state: PoolState, desk: Desk, amount: Meters, meter: int | None, now_ms: int) -> BudgetExceeded:
    if meter is None:
        meter = next((each for each in desk.capped if amount[each]), 0)
    left = desk.left or NONE
    free = max(0, desk.granted[meter] - desk.held[meter] - desk.pending[meter])
    rest = max(0, left[meter] + free) if desk.ceiling[meter] != UNLIMITED else 0
    resets_s = state.window.end_s
    name = state.pool.name
    begins = f"; it begins anew at {datetime.fromtimestamp(resets_s, UTC).isoformat()}" if resets_s else ""
    return BudgetExceeded(
        f"Token budget exceeded: pool '{name}' has {rest} {UNIT_NAMES[meter]} remaining of {desk.ceiling[meter]}, "
        f"requested {amount[meter]}{begins}",
        Shortage(
            pool=name,
            unit=UNITS[meter],
            limit=desk.ceiling[meter],
            left=rest,
            needed=amount[meter],
            resets_s=resets_s,
        ),
        retry_after_s=max(1.0, resets_s - now_ms / 1000) if resets_s else None,
    )
