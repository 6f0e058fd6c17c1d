"""Who goes next of those who wait: each tenant in turn, by what its calls cost, and what cannot wait before what can.

Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995): at each turn a tenant may spend QUANTUM more; rounds in
which nobody has enough yet are taken at once, so that a small quantum costs nothing. A queue that is full gives the
newest place of whoever has most of them to one who has fewer and asks for less, so that who sends twenty times its
share turns away itself. Within a tenant who came first goes first, also when it is full: what is not going to be served
in time was refused when it came, so that nobody who waits is too old to be worth it.

Calls end in waves, and between two of them those who ask for little wait, too. For them there is MORE room: for who was
LIGHT, well below an equal part of those who lately came to wait.
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

QUANTUM = 16
MORE = 4
LIGHT = 0.75
# Arrivals after which those before count half.
HALF = 512

Item = TypeVar("Item")


class Entry(Generic[Item]):
    """One who waits. `cost` is in tokens, at least QUANTUM: a message has no fewer."""

    __slots__ = ("cost", "is_batch", "item", "tenant")

    def __init__(self, item: Item, tenant: str = "", cost: int = 1, *, is_batch: bool = False) -> None:
        self.item = item
        self.tenant = tenant
        self.cost = max(QUANTUM, cost)
        self.is_batch = is_batch


class _Line(Generic[Item]):
    """One tenant's."""

    __slots__ = ("deficit", "entries")

    def __init__(self) -> None:
        self.entries: deque[Entry[Item]] = deque()
        self.deficit = 0


class _Ring(Generic[Item]):
    """All of one priority."""

    def __init__(self) -> None:
        self.lines: dict[str, _Line[Item]] = {}
        self._turns: deque[str] = deque()
        self._has_spent = False  # the first in turn has got its quantum already

    def add(self, entry: Entry[Item]) -> None:
        line = self.lines.get(entry.tenant)
        if line is None:
            line = self.lines[entry.tenant] = _Line()
            self._turns.append(entry.tenant)
        line.entries.append(entry)

    def next(self) -> Entry[Item] | None:
        if not self.lines:
            return None
        while True:
            for _ in range(len(self._turns) + 1):
                tenant = self._turns[0]
                line = self.lines[tenant]
                if not self._has_spent:
                    line.deficit += QUANTUM
                    self._has_spent = True
                if line.entries[0].cost <= line.deficit:
                    entry = line.entries.popleft()
                    line.deficit -= entry.cost
                    if not line.entries:
                        self._drop(tenant)
                    return entry
                self._turns.rotate(-1)
                self._has_spent = False
            self._skip()

    def remove(self, entry: Entry[Item]) -> bool:
        line = self.lines.get(entry.tenant)
        if line is None or entry not in line.entries:
            return False
        line.entries.remove(entry)
        if not line.entries:
            self._drop(entry.tenant)
        return True

    def heaviest(self) -> tuple[int, str]:
        """How many places who has most of them has, and who that is."""
        return max(((len(line.entries), tenant) for tenant, line in self.lines.items()), default=(0, ""))

    def _skip(self) -> None:
        """Rounds in which nobody could afford anything, at once."""
        rounds = min(-(-(line.entries[0].cost - line.deficit) // QUANTUM) for line in self.lines.values()) - 1
        for line in self.lines.values():
            line.deficit += rounds * QUANTUM

    def _drop(self, tenant: str) -> None:
        if self._turns[0] == tenant:
            self._has_spent = False
        del self.lines[tenant]
        self._turns.remove(tenant)


class FairQueue(Generic[Item]):
    def __init__(self) -> None:
        self._now: _Ring[Item] = _Ring()
        self._later: _Ring[Item] = _Ring()
        self._count = 0
        self._came: dict[str, int] = {}
        self._all = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry[Item]]:
        for ring in (self._now, self._later):
            for line in ring.lines.values():
                yield from line.entries

    def place(self, entry: Entry[Item]) -> int:
        """How many go before it, and itself, if it came now: at most."""
        ring = self._later if entry.is_batch else self._now
        line = ring.lines.get(entry.tenant)
        own = 1 + (len(line.entries) if line else 0)
        rest = sum(min(own, len(other.entries)) for name, other in ring.lines.items() if name != entry.tenant)
        before = sum(len(other.entries) for other in self._now.lines.values()) if entry.is_batch else 0
        return before + own + rest

    def push(self, entry: Entry[Item], room: int) -> Entry[Item] | None:
        """Let it wait where not more than `room` may. Returns who has to go for that: itself, another or nobody."""
        self._note(entry.tenant)
        victim = self._victim(entry, room) if self._count >= room else None
        if victim is entry:
            return entry
        if victim is not None:
            self.remove(victim)
        (self._later if entry.is_batch else self._now).add(entry)
        self._count += 1
        return victim

    def pop(self) -> Entry[Item] | None:
        entry = self._now.next() or self._later.next()
        if entry is not None:
            self._count -= 1
        return entry

    def remove(self, entry: Entry[Item]) -> bool:
        """Whether it waited."""
        was_there = (self._later if entry.is_batch else self._now).remove(entry)
        self._count -= was_there
        return was_there

    def _victim(self, entry: Entry[Item], room: int) -> Entry[Item] | None:
        if not entry.is_batch and self._later.lines:
            return self._later.lines[self._later.heaviest()[1]].entries[-1]
        ring, came = self._later if entry.is_batch else self._now, self._came
        mine = came[entry.tenant]
        if mine * len(came) < LIGHT * self._all and not entry.is_batch:
            loudest = max(ring.lines, key=lambda tenant: came.get(tenant, 0), default="")
            if came.get(loudest, 0) > 2 * mine:
                return ring.lines[loudest].entries[-1]
            return None if self._count < MORE * room else entry
        count, tenant = ring.heaviest()
        own = ring.lines.get(entry.tenant)
        if count > (len(own.entries) if own else 0) + 1 and came.get(tenant, 0) >= mine:
            return ring.lines[tenant].entries[-1]
        return entry

    def _note(self, tenant: str) -> None:
        if self._all >= HALF:
            self._came = {name: count // 2 for name, count in self._came.items() if count > 1}
            self._all = sum(self._came.values())
        self._came[tenant] = self._came.get(tenant, 0) + 1
        self._all += 1
