"""The books of a ledger, held against what must be true of them at any moment.

I1: what is booked and what calls hold never passes the ceiling, but for what a provider used beyond what was held.
So do leases with what is booked, while no gateway is dead: whose journal is being told, is counted twice until the
end of that, for its lease must not come free before.
I2: what a pool's counter says is what its lines add up to.
I5: no hold outlives its time by more than a second, and the time that a sweep takes.
"""

import asyncio
from collections.abc import Callable, Mapping

from hoosh.core.ledger import Audit
from hoosh.ports import Ledger

EVERY_S = 0.05
# A second until a sweep, and as much again where the machine is busy.
LATE_MS = 2000


def breaches(audit: Audit, ceilings: Mapping[str, int], *, all_live: bool) -> list[str]:
    """In words. `ceilings` are in tokens. `all_live`: no gateway is dead, or being followed by another."""
    found = [
        f"I2: pool {books.pool} has {books.committed} booked, its lines add up to {books.lines}"
        for books in audit.books
        if books.committed != books.lines
    ]
    for pool, most in ceilings.items():
        booked, beyond = _booked(audit, pool)
        held, ceded = _held(audit, pool, ceded=False), _held(audit, pool, ceded=True)
        if booked + held > most + beyond:
            found.append(f"I1: pool {pool} has {booked} tokens booked and {held} held of {most}, {beyond} beyond holds")
        leased = sum(granted.tokens for _, name, _, granted in audit.leases if name == pool)
        if all_live and booked + leased + ceded > most + beyond:
            found.append(f"I1: pool {pool} has {booked} tokens booked and {leased + ceded} leased of {most}")
    found += [
        f"I5: {line.id} is {line.state} {audit.now_ms - line.until_ms} ms after its time"
        for line in audit.open_lines
        if line.until_ms + LATE_MS < audit.now_ms
    ]
    return found


def _booked(audit: Audit, pool: str) -> tuple[int, int]:
    """And what of it is beyond what was held."""
    books = [books for books in audit.books if books.pool == pool]
    return sum(each.committed.tokens for each in books), sum(each.overrun.tokens for each in books)


def _held(audit: Audit, pool: str, *, ceded: bool) -> int:
    """By all calls, or only by those that hold of no gateway's lease."""
    return sum(
        line.held.tokens
        for line in audit.open_lines
        if not (ceded and line.gateway)
        for scope in line.scopes
        if scope.pool == pool
    )


class Auditor:
    """Looks every 50 ms, and more seldom where a look takes longer."""

    def __init__(self, ledger: Ledger, ceilings: Mapping[str, int], all_live: Callable[[], bool]) -> None:
        self.looks = 0
        self.breaches: list[str] = []
        self._ledger = ledger
        self._ceilings = ceilings
        self._all_live = all_live

    async def watch(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> Audit:
        """Raises StoreFailed."""
        before = self._all_live()
        audit = await self._ledger.audit()
        self.breaches += breaches(audit, self._ceilings, all_live=before and self._all_live())
        self.looks += 1
        return audit
