"""What this process may spend of one pool in one window, in plain integers: looked at by every call.

`granted` is the lease that the store confirmed. It covers what calls hold, what they used and the store has not booked
yet (`pending`), and what is free. Each list has one place per meter: tokens, micro-USD, milliseconds of sound.
"""

from collections.abc import Sequence

from hoosh.core.ledger import UNLIMITED, Amount, Lease, LeaseWish

Meters = tuple[int, int, int]
_ALL = (0, 1, 2)
NONE: Meters = (0, 0, 0)
# A lease is a share of what is left while that would serve each gateway for this many more calls of the largest size
# seen; below that every call leases what it needs and no more, so that nothing lies idle near the ceiling.
CALLS_AHEAD = 8


def meters(amount: Amount) -> Meters:
    return amount.tokens, amount.micros, amount.audio_ms


class Desk:
    """`capped` are the meters that have a ceiling; the others are never looked at."""

    __slots__ = (
        "_ceded",
        "_given_up",
        "_sent",
        "biggest",
        "capped",
        "ceiling",
        "dirty",
        "granted",
        "held",
        "idle",
        "left",
        "pending",
        "pool",
        "since_s",
        "strict_until_ms",
        "unanswered",
        "used_at_ms",
        "waiting",
        "window_s",
    )

    def __init__(self, pool: str, window_s: int) -> None:
        self.pool = pool
        self.window_s = window_s
        self.since_s = 0
        self.ceiling: Meters = NONE
        self.capped: tuple[int, ...] = ()
        self.granted = [0, 0, 0]
        self.held = [0, 0, 0]
        self.pending = [0, 0, 0]
        self.waiting = [0, 0, 0]
        self.biggest = [0, 0, 0]
        self.left: Meters | None = None
        self.idle: Meters = NONE
        self.dirty = False
        self.unanswered = False
        self.used_at_ms = 0
        self.strict_until_ms = 0
        self._sent = [0, 0, 0]
        self._ceded = [0, 0, 0]
        self._given_up = False  # while the store was asked: its answer is of before

    def cap(self, ceiling: Amount, since_s: int, *, hard: bool = True) -> None:
        """A ceiling that is not `hard` is only told, and nothing is leased below it."""
        self.ceiling = meters(ceiling)
        self.since_s = since_s
        self.capped = tuple(meter for meter in _ALL if hard and self.ceiling[meter] != UNLIMITED)

    def has(self, amount: Meters) -> bool:
        for meter in self.capped:  # a generator costs more than the rest of this
            need = amount[meter]
            if need and self.granted[meter] - self.held[meter] - self.pending[meter] < need:
                return False
        return True

    def lacking(self, amount: Meters) -> int | None:
        """The first meter that could not be had, whoever gave back what is idle; None if all could."""
        if self.left is None:
            return None
        for meter in self.capped:
            free = self.granted[meter] - self.held[meter] - self.pending[meter]
            if amount[meter] and free + self.left[meter] + self.idle[meter] < amount[meter]:
                return meter
        return None

    def take(self, amount: Meters, now_ms: int) -> None:
        self.used_at_ms = now_ms
        for meter in self.capped:
            self.held[meter] += amount[meter]
            self.biggest[meter] = max(self.biggest[meter], amount[meter])

    def put_by(self, amount: Meters) -> None:
        """As `take`, for what is no call: it says nothing of how large calls are."""
        for meter in self.capped:
            self.held[meter] += amount[meter]

    def give(self, held: Meters, used: Meters) -> None:
        """A call is over. What it used beyond its hold the store books without a lease."""
        for meter in self.capped:
            self.held[meter] -= held[meter]
            self.pending[meter] += min(used[meter], held[meter])
        self.dirty = True

    def cede(self, held: Meters) -> None:
        """The store itself holds this from now on, and the lease is that much less."""
        for meter in self.capped:
            self.held[meter] -= held[meter]
            self.granted[meter] -= held[meter]
            self._ceded[meter] += held[meter]
        self.dirty = True

    def give_up_free(self) -> None:
        """All that no call holds; the store hears of it with the next wish."""
        for meter in self.capped:
            self.granted[meter] = min(self.granted[meter], self.held[meter] + self.pending[meter])
        self.dirty = True
        self._given_up = self.unanswered

    @property
    def is_free(self) -> bool:
        """Is something leased that no call holds?"""
        return any(self.granted[meter] > self.held[meter] + self.pending[meter] for meter in self.capped)

    @property
    def is_empty(self) -> bool:
        """The store may have leased us more than is here: by an answer that is still to come, or was lost, or was
        lessened by what was ceded meanwhile.
        """
        return (
            not self.dirty
            and not self.unanswered
            and not any(self.granted)
            and not any(self.held)
            and not any(self.pending)
        )

    def wish(self, gateways: int, *, keep_free: bool, urgent: bool) -> LeaseWish:
        """What to ask for. What is given back here is given up at once, for calls come while the store is asked."""
        keep, want = [0, 0, 0], [0, 0, 0]
        for meter in self.capped:
            self._sent[meter] = self.pending[meter]
            self._ceded[meter] = 0
            stays = max(0, self.granted[meter] - self.pending[meter])
            want[meter] = self.held[meter] + self.waiting[meter] + (self._ahead(meter, gateways) if keep_free else 0)
            keep[meter] = min(stays, want[meter])
            self.granted[meter] = self.pending[meter] + keep[meter]
        self.dirty = False
        self.unanswered = True
        return LeaseWish(
            self.pool,
            self.window_s,
            self.since_s,
            Amount(*self.ceiling),
            Amount(*keep),
            Amount(*want),
            Amount(*(self.held[meter] if meter in self.capped else 0 for meter in _ALL)),
            urgent and any(self.waiting),
        )

    def granted_by(self, lease: Lease) -> None:
        """The answer to the last wish: what it booked is no longer pending."""
        granted = meters(lease.granted)
        self.unanswered = False
        for meter in self.capped:
            self.granted[meter] = granted[meter] - self._ceded[meter]  # ceded while it was on its way
            self.pending[meter] -= self._sent[meter]
            self._sent[meter] = 0
        self.left = meters(lease.left)
        self.idle = meters(lease.idle)
        if self._given_up:
            self.give_up_free()

    def _ahead(self, meter: int, gateways: int) -> int:
        """How much to lease for calls that have not come yet."""
        if self.left is None:
            return 0
        free = max(0, self.granted[meter] - self.held[meter] - self.pending[meter])
        open_part = free + self.left[meter]
        if gateways <= 1:
            return open_part
        share = open_part // (2 * gateways)
        return share if share >= CALLS_AHEAD * self.biggest[meter] else 0


def percent_used(desk: Desk) -> int:
    """Of the ceiling, the fullest meter: what is leased counts as used only where a call holds it."""
    most = 0
    for meter in _ALL:
        if desk.left is not None and desk.ceiling[meter] > 0:
            free = max(0, desk.granted[meter] - desk.held[meter] - desk.pending[meter])
            used = desk.ceiling[meter] - desk.left[meter] - desk.idle[meter] - free
            most = max(most, 100 * used // desk.ceiling[meter])
    return most


def all_have(desks: Sequence[Desk], amount: Meters) -> bool:
    for desk in desks:  # noqa: SIM110 - as above
        if not desk.has(amount):
            return False
    return True
