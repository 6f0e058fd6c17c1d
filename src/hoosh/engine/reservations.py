"""Budgets for callers that spend elsewhere: they look, reserve, report and release over HTTP.

A reservation is a line that the store itself holds: it outlives the gateway that took it, any gateway may settle it,
and it runs out by its own time.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence

import msgspec

from hoosh.core.call import Hold, Settlement
from hoosh.core.errors import BudgetExceeded, Forbidden, NotFound
from hoosh.core.events import Usage
from hoosh.core.ledger import CLOSED, RANK, Amount, Asked, Line
from hoosh.core.pool import PoolView
from hoosh.core.principal import Principal
from hoosh.engine.courier import Courier
from hoosh.engine.escrow import Escrow
from hoosh.engine.pools import PoolState
from hoosh.policy.scopes import check_pool
from hoosh.ports import Ledger

# Callers that report without an id are matched with what they reserved; the oldest go first.
REMEMBERED = 10_000


class PoolNotFound(NotFound):
    code = "pool_not_found"


class ReservationNotFound(NotFound):
    code = "reservation_not_found"


class Reservations:
    def __init__(self, escrow: Escrow, ledger: Ledger, courier: Courier) -> None:
        self._escrow = escrow
        self._ledger = ledger
        self._courier = courier
        self._taken: OrderedDict[tuple[str, str, int], deque[str]] = OrderedDict()

    def names(self, principal: Principal) -> list[str]:
        """Pools that the caller may charge, in order."""
        names = sorted(state.pool.name for state in self._escrow.pools.states)
        return [name for name in names if self._may_see(principal, name)]

    async def view(self, principal: Principal, name: str) -> PoolView:
        """Raises PoolNotFound, Forbidden, StoreFailed."""
        state = self._state(principal, name)
        await self._courier.flush()
        (view,) = await views([state], self._ledger, self._courier.now_ms() // 1000)
        return view

    async def reserve(self, principal: Principal, hold: Hold) -> bool:
        """Whether there was room in its pool and all above. Raises as `view` does."""
        self._state(principal, hold.pools[0])
        try:
            await self._escrow.reserve(hold)
        except BudgetExceeded:
            return False
        key = (principal.key_id, hold.pools[0], hold.amount.tokens)
        self._taken.setdefault(key, deque(maxlen=REMEMBERED)).append(hold.id)
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)
        return True

    async def report(self, principal: Principal, reservation_id: str, tokens: int) -> str:
        """What a reservation came to; the answer is its pool. Told again, it changes nothing.

        Raises: ReservationNotFound, StoreFailed.
        """
        line = await self._line(principal, reservation_id)
        closed = msgspec.structs.replace(
            line, state="committed", used=Amount(tokens), input=tokens, settled_ms=self._courier.now_ms()
        )
        return await self._close(line, closed)

    async def report_oldest(self, principal: Principal, hold: Hold, reserved: int, tokens: int) -> None:
        """Of the caller's own reservations of `reserved` tokens the oldest; without one the use is booked as it is."""
        ids = self._taken.get((principal.key_id, hold.pools[0], reserved))
        while ids:
            name = ids.popleft()
            line = await self._ledger.line(name)
            if line is not None and RANK[line.state] < CLOSED:  # else it was reported by its id, or ran out
                await self.report(principal, name, tokens)
                return
        await self.spend(principal, hold, tokens)

    async def spend(self, principal: Principal, hold: Hold, tokens: int) -> None:
        """Use that nobody reserved. It is booked also beyond the ceiling, for it has happened."""
        self._state(principal, hold.pools[0])
        self._escrow.settle(Settlement(id=hold.id, hold=hold, usage=Usage(input=tokens)))
        await self._courier.flush()

    async def release(self, principal: Principal, reservation_id: str) -> str:
        """Nothing was used. Raises as `report` does."""
        line = await self._line(principal, reservation_id)
        closed = msgspec.structs.replace(line, state="voided", settled_ms=self._courier.now_ms())
        return await self._close(line, closed)

    async def _close(self, line: Line, closed: Line) -> str:
        if RANK[line.state] < CLOSED or (line.state == "voided" and closed.state == "committed"):
            self._courier.post_late(closed)
            await self._courier.flush()
        return line.scopes[0].pool

    async def _line(self, principal: Principal, reservation_id: str) -> Line:
        """Of the caller's own alone."""
        line = await self._ledger.line(reservation_id)
        if line is None or line.gateway or line.key != principal.key_id:
            raise ReservationNotFound(f"Reservation '{reservation_id[:64]}' not found", param="reservation_id")
        return line

    def _state(self, principal: Principal, name: str) -> PoolState:
        if name not in self._escrow.pools:
            raise PoolNotFound(f"Token pool '{name[:64]}' not found", param="pool")
        check_pool(principal, name)
        return self._escrow.pools[name]

    def _may_see(self, principal: Principal, name: str) -> bool:
        try:
            check_pool(principal, name)
        except Forbidden:
            return False
        return True


async def views(states: Sequence[PoolState], ledger: Ledger, now_s: int) -> list[PoolView]:
    """As the store knows them, in one look. Raises StoreFailed."""
    for state in states:
        state.at(now_s)
    told = [(state.pool.name, state.window, state.desk.ceiling) for state in states]
    standings = await ledger.standing([Asked(name, window.since_s, window.window_s) for name, window, _ in told])
    return [
        PoolView(
            name=name,
            capacity=ceiling[0],
            used=standing.committed.tokens,
            reserved=standing.held.tokens,
            used_micros=standing.committed.micros,
            capacity_micros=ceiling[1],
            starts_s=window.start_s,
            ends_s=window.end_s,
            now_s=now_s,
        )
        for (name, window, ceiling), standing in zip(told, standings, strict=True)
    ]
