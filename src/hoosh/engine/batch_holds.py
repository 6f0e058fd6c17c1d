"""What a batch may use, held for all of it before the first of its lines is asked.

The store holds it, in parts of some lines each: so it outlives the gateway that took it. A part comes back to the
process that runs the batch when its first line is asked, and each call takes its own hold out of that. After a crash
the part that was begun is held again as far as the budget still has room.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from hoosh.core.call import Call, Hold
from hoosh.core.errors import BudgetExceeded
from hoosh.core.ledger import CLOSED, RANK, Amount
from hoosh.engine.cashier import Cashier
from hoosh.engine.courier import Courier
from hoosh.engine.escrow import Escrow
from hoosh.engine.router import Router
from hoosh.ports import Ledger


class BatchHolds:
    def __init__(
        self, cashier: Callable[[], Cashier], router: Router, escrow: Escrow, ledger: Ledger, courier: Courier
    ) -> None:
        self._cashier = cashier
        self._router = router
        self._escrow = escrow
        self._ledger = ledger
        self._courier = courier

    def bound(self, call: Call) -> tuple[tuple[str, ...], Amount]:
        """The pools that a line is charged to, () where none of them has a ceiling, and the most that it is held to.

        Raises HooshError where the line would be refused.
        """
        terms = self._cashier().terms(call)
        if not terms.is_capped:
            return (), Amount()
        reach = self._router.within_reach(call, terms)
        backends = ((target, self._router.backends[target.provider]) for target in reach)
        return terms.pools, self._cashier().bound(call, backends)

    async def accept(self, holds: Sequence[Hold]) -> None:
        """All of them or none. Raises: BudgetExceeded, StoreFailed."""
        by_pools: dict[tuple[str, ...], list[Hold]] = {}
        for hold in holds:
            by_pools.setdefault(hold.pools, []).append(hold)
        done: list[str] = []
        try:
            for same in by_pools.values():
                await self._escrow.set_aside(same)
                done += [hold.id for hold in same]
        except BaseException:
            await self.let_go(done)
            raise

    async def begin(self, hold_id: str, rest: Amount) -> str:
        """Have a part here: the name of what backs its lines, "" where nothing does. `rest` is what those need that are
        still to be asked. Raises StoreFailed.
        """
        if self._escrow.stands(hold_id):
            await self._courier.flush()
            return hold_id
        line = await self._ledger.line(hold_id)
        if line is None:
            return ""
        if RANK[line.state] < CLOSED and await self._escrow.take_over(line):
            return hold_id
        await self.let_go([hold_id])
        try:
            await self._escrow.earmark(line, rest)
        except BudgetExceeded:
            return ""
        return hold_id

    def end(self, backing: str) -> None:
        """Its lines are done."""
        self._escrow.unmark(backing)

    async def let_go(self, hold_ids: Iterable[str]) -> None:
        """Those that the store still holds are free, up to the first that it does not know. Raises StoreFailed."""
        for hold_id in hold_ids:
            line = await self._ledger.line(hold_id)
            if line is None:
                break
            if RANK[line.state] < CLOSED:
                voided = msgspec.structs.replace(line, state="voided", settled_ms=self._courier.now_ms())
                self._courier.post_late(voided)
        await self._courier.flush()
