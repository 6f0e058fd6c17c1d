"""The words of the ledger: one line per attempt, integers only, and what a gateway and its store say to each other.

A gateway does not ask the store for each call. It leases a part of a pool, spends that in its own memory, and tells
the store in batches what became of it. The store's promise is the whole of exactness: per pool and window,
`committed + leases + central holds <= ceiling`, but for what a provider used beyond what was held.
"""

from typing import Literal

import msgspec

UNLIMITED = -1

State = Literal["held", "sent", "voided", "estimated", "committed"]
# A line only ever goes up: a second delivery, or one out of order, changes nothing. What expired before its usage was
# known ("voided" if nothing was sent, "estimated" at what was held if something may have been) is still corrected: an
# estimate also by a gateway that says that it never sent the call.
RANK: dict[State, int] = {"held": 0, "sent": 1, "estimated": 2, "voided": 3, "committed": 4}
CLOSED = 2
Priced = Literal["known", "estimated", "free", "unknown"]


class Amount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is counted: tokens, micro-USD, milliseconds of sound. In a ceiling, UNLIMITED for no limit."""

    tokens: int = 0
    micros: int = 0
    audio_ms: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.tokens + other.tokens, self.micros + other.micros, self.audio_ms + other.audio_ms)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.tokens - other.tokens, self.micros - other.micros, self.audio_ms - other.audio_ms)

    def meet(self, other: "Amount") -> "Amount":
        """The smaller of each."""
        return Amount(
            min(self.tokens, other.tokens), min(self.micros, other.micros), min(self.audio_ms, other.audio_ms)
        )

    def join(self, other: "Amount") -> "Amount":
        """The larger of each."""
        return Amount(
            max(self.tokens, other.tokens), max(self.micros, other.micros), max(self.audio_ms, other.audio_ms)
        )

    def covers(self, other: "Amount") -> bool:
        return self.tokens >= other.tokens and self.micros >= other.micros and self.audio_ms >= other.audio_ms


NOTHING = Amount()
NO_CEILING = Amount(UNLIMITED, UNLIMITED, UNLIMITED)


class Scope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A pool that a line is charged to, and where in time. `bucket_s` is the start of the stretch (Unix seconds of the
    store) that the usage is booked into, `window_s` names the lease that covers it: the same as the bucket for
    calendar periods, 0 where the window slides or there is none.
    """

    pool: str
    bucket_s: int = 0
    window_s: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One attempt. `used` is what it is charged: nothing while "held" or "sent", what was held once "estimated".

    `gateway` is who leases for it; "" for a hold that a gateway ceded to the store from its lease: it is kept until
    `expires_ms` (the store's clock), and any gateway may settle it. `estimated`: the usage is not the provider's word.
    `absorbed`: another attempt took its place. `key` to `operation` are for reports, which name the first scope as the
    caller's pool.
    """

    id: str
    state: State
    scopes: tuple[Scope, ...]
    held: Amount = NOTHING
    used: Amount = NOTHING
    gateway: str = ""
    expires_ms: int = 0
    reserved_ms: int = 0
    settled_ms: int = 0
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False
    absorbed: bool = False
    cache_hit: bool = False
    priced: Priced = "free"
    request_id: str = ""
    key: str = ""
    agent: str = ""
    provider: str = ""
    model: str = ""
    operation: str = ""
    error: str = ""


class LeaseWish(msgspec.Struct, frozen=True, array_like=True):
    """What a gateway wants to have of a pool in all: absolute figures, so that a repeated batch asks for nothing more.

    `keep` is what it goes on spending whatever the answer (never more than the store has granted it, less what the
    same batch books), `want` what it would like, `active` what of it is held for calls now. `ceiling` is the pool's
    capacity in this window and `since_s` the first bucket that counts against it. `urgent`: a call waits, so others
    shall give back what they do not use.
    """

    pool: str
    window_s: int
    since_s: int
    ceiling: Amount
    keep: Amount
    want: Amount
    active: Amount
    urgent: bool = False


class Batch(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one gateway tells and asks in one step. `lease_ms` is how long it may go without another. `journalled`:
    its lines outlive it in a journal, so its leases stay taken after its death until that was replayed.
    """

    gateway: str
    epoch: str
    lease_ms: int
    journalled: bool = False
    lines: tuple[Line, ...] = ()
    leases: tuple[LeaseWish, ...] = ()


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """`granted` is all that the gateway has of the pool now, `left` what nobody has (UNLIMITED without a ceiling),
    `idle` what others have and did not use when they last told. `recalled`: another gateway's call waits.
    """

    pool: str
    window_s: int
    granted: Amount
    left: Amount
    idle: Amount = NOTHING
    recalled: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """`now_ms` is the store's clock, `gateways` how many live, `recalled` leases not in the batch that others want."""

    now_ms: int
    gateways: int = 1
    leases: tuple[Lease, ...] = ()
    recalled: tuple[tuple[str, int], ...] = ()


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """Which standing is wanted: buckets from `since_s` on, and the leases of `window_s`."""

    pool: str
    since_s: int = 0
    window_s: int = 0


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """Of one pool: what is booked, what open lines hold (a gateway's as well as the store's own), what is leased and
    held for nobody, and what dead gateways with a journal have leased (`stranded`, a part of `leased`).
    """

    committed: Amount = NOTHING
    held: Amount = NOTHING
    leased: Amount = NOTHING
    stranded: Amount = NOTHING


class UsageKey(msgspec.Struct, frozen=True, array_like=True):
    """What usage is summed by. `day_s` is the start of the day in UTC."""

    day_s: int
    key: str
    agent: str
    pool: str
    provider: str
    model: str
    operation: str


class UsageSum(msgspec.Struct, frozen=True, array_like=True):
    """Sums over closed lines that are booked ("estimated" or "committed"). `calls` leaves absorbed attempts out;
    `estimated` counts lines, `unpriced` lines whose cost is not known.
    """

    calls: int = 0
    attempts: int = 0
    cache_hits: int = 0
    estimated: int = 0
    unpriced: int = 0
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    tokens: int = 0
    micros: int = 0
    audio_ms: int = 0


class PoolBooks(msgspec.Struct, frozen=True, kw_only=True):
    """One pool and bucket, for the audit. `committed` is the counter, `lines` the sum over the ledger with what was
    pruned from it, `overrun` the sum of what was used beyond what was held.
    """

    pool: str
    bucket_s: int
    committed: Amount
    lines: Amount
    overrun: Amount


class OpenLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is not closed. `until_ms` is when its gateway's lease, or its own, ends by the store's clock."""

    id: str
    state: State
    gateway: str
    scopes: tuple[Scope, ...]
    held: Amount
    until_ms: int


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """All books at one moment, read in one transaction."""

    now_ms: int
    books: tuple[PoolBooks, ...]
    leases: tuple[tuple[str, str, int, Amount], ...]  # gateway, pool, window_s, granted
    open_lines: tuple[OpenLine, ...]
