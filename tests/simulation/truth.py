"""What callers did, reckoned in the plainest way and by nothing of `hoosh.core.booking`: what the books must come to.

**I1** at each moment, per pool and window: what calls hold, and what they used of what they held, is within the ceiling.
**I2** counter, sum of lines and callers' own sum are equal. **I3** each line is charged what its caller said.
**I4** one line per call, one attempt per line in the usage. **I5** what has run out is closed by the next sweep, and
nothing else is. **I6** what was said to be in the store is there, and what is in a journal comes there. **I7** a closed
line never opens again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from hoosh.core.ledger import Amount, Audit, Batch, Line, Scope, UsageSum
from hoosh.core.pool import Pool
from hoosh.ports import Ledger

Meters = tuple[int, int, int]
ZERO: Meters = (0, 0, 0)
OPEN = ("held", "sent")


class Call(msgspec.Struct):
    """`gateway` is who took it; `posted` what its line says that it holds; `said` what its caller last asked to hold.

    `sure` is what the store has said that it knows of it, `known` whether the store has said that it has the line, `known_end` whether also its end. `orphaned`: its
    gateway was killed; with `forgets` what that had only in memory is gone.
    """

    id: str
    gateway: str
    pools: tuple[str, ...]
    is_ceded: bool = False
    is_taken: bool = False
    posted: Meters = ZERO
    sure: Meters = ZERO
    scopes: tuple[Scope, ...] = ()
    counted: Meters = ZERO
    used: Meters | None = None
    is_estimated: bool = False
    is_busy: bool = False
    known: bool = False
    known_end: bool = False
    orphaned: bool = False
    forgets: bool = False
    is_released: bool = False
    is_swept: bool = False
    end_posted: bool = False
    held: set[Meters] = msgspec.field(default_factory=set)


def plus(one: Meters, other: Meters, sign: int = 1) -> Meters:
    return one[0] + sign * other[0], one[1] + sign * other[1], one[2] + sign * other[2]


def least(one: Meters, other: Meters) -> Meters:
    return min(one[0], other[0]), min(one[1], other[1]), min(one[2], other[2])


def most(one: Meters, other: Meters) -> Meters:
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])


def of(amount: Amount) -> Meters:
    return amount.tokens, amount.micros, amount.audio_ms


class Truth:
    """`is_exact`: no fault of this world excuses a pool that was overspent. `is_tight`: no hold runs out before it is
    reported.
    """

    def __init__(self, pools: Mapping[str, Pool], *, is_exact: bool, is_tight: bool = False) -> None:
        self.is_exact = is_exact
        self.is_tight = is_tight
        self.calls: dict[str, Call] = {}
        self.latest_s = 0
        self.tightest = 0
        self._pools = dict(pools)
        self._recent = {pool.name: [pool.ceiling.tokens] for pool in pools.values()}
        self._limits: dict[tuple[str, int], Meters] = {}
        self._counted: dict[tuple[str, int], dict[int, Meters]] = defaultdict(dict)
        self._until_ms: dict[str, int] = {}
        self._closed: set[str] = set()
        self._sums: dict[tuple[str, int], Meters] = defaultdict(lambda: ZERO)
        self._overruns: dict[tuple[str, int], Meters] = defaultdict(lambda: ZERO)
        self.usage: Meters = ZERO
        self.attempts = 0

    # Callers

    def defined(self, pool: Pool) -> None:
        """Some gateway goes by this from now on: what it may lease by it, others may have leased by what was before."""
        self._pools[pool.name] = pool
        self._recent[pool.name].append(pool.ceiling.tokens)
        for name, window_s in self._limits:
            if name == pool.name:
                self._limits[name, window_s] = self._limit(name, self._limits[name, window_s])

    def _limit(self, name: str, before: Meters = ZERO) -> Meters:
        pool = self._pools[name]
        tokens_limit = max(self._recent[name][-20:])
        share = 100 + pool.carry_percent
        ceiling = (tokens_limit, pool.ceiling.micros, pool.ceiling.audio_ms)
        tokens, micros, audio_ms = [max(old, limit * share // 100) for old, limit in zip(before, ceiling, strict=True)]
        return tokens, micros, audio_ms

    def posted(self, line: Line) -> None:
        """A gateway has written a line of its own, in the moment in which it took what the line holds."""
        call = self.calls[line.id]
        self.latest_s = max(self.latest_s, line.reserved_ms // 1000)
        if line.state not in OPEN:
            call.scopes = call.scopes or line.scopes
            call.end_posted = True
            if call.is_ceded:  # it may have run out before, and then its use is booked though its room is gone
                self._count(call, of(line.used) if self.is_tight else ZERO)
            return
        if not call.is_taken:
            call.scopes = line.scopes
            self._check_scopes(call, line)
        held = of(line.held)
        call.is_taken, call.posted = True, held
        # After an extension that failed, and another, the store has the larger of each meter.
        call.held |= {held, *(most(held, before) for before in call.held)}
        self._count(call, held)

    def _check_scopes(self, call: Call, line: Line) -> None:
        chain: list[str] = []
        for own in call.pools:
            name = own
            while name and name not in chain:
                chain.append(name)
                name = self._pools[name].parent
        assert [scope.pool for scope in line.scopes] == chain, f"{line.id} is charged to {line.scopes}, not to {chain}"
        for scope in line.scopes:
            pool, at_s = self._pools[scope.pool], line.reserved_ms // 1000
            step_s = 1 if pool.rolling else pool.period_s
            bucket_s = at_s - at_s % step_s if step_s else 0
            window_s = 0 if pool.rolling else bucket_s
            assert (scope.bucket_s, scope.window_s) == (bucket_s, window_s), f"{line.id} at {at_s} is in {scope}"

    def _count(self, call: Call, amount: Meters) -> None:
        """The call counts for this much from now on."""
        delta = plus(amount, call.counted, -1)
        if delta == ZERO:
            return
        call.counted = amount
        for scope in call.scopes:
            by = self._counted[scope.pool, scope.window_s]
            by[scope.bucket_s] = plus(by.get(scope.bucket_s, ZERO), delta)
            if self.is_exact and max(delta) > 0:
                self._check_ceiling(scope, by)

    def _check_ceiling(self, scope: Scope, by: Mapping[int, Meters]) -> None:
        at, pool = (scope.pool, scope.window_s), self._pools[scope.pool]
        if at not in self._limits:
            self._limits[at] = self._limit(scope.pool)
        since_s = self.latest_s - pool.period_s if pool.rolling else 0
        for meter, limit in enumerate(self._limits[at]):
            if of(pool.ceiling)[meter] >= 0:
                total = sum(amount[meter] for bucket_s, amount in by.items() if bucket_s >= since_s)
                assert total <= limit, f"I1: {total} of {limit} in meter {meter} of {scope}"
                self.tightest = max(self.tightest, 100 * total // max(1, limit))

    def settled(self, call: Call, used: Meters, *, is_estimated: bool) -> None:
        call.used, call.is_estimated = used, is_estimated
        if not call.is_ceded:
            self._count(call, least(used, call.counted))

    def not_extended(self, call: Call, before: Meters) -> None:
        """Its line may have said more already, and still may be charged with that if nobody says what was used."""
        self._count(call, before)

    def released(self, call: Call) -> None:
        """It was refused, or given back, or its hold ran out."""
        call.is_released = True
        self._count(call, ZERO)

    def killed(self, gateway: str, *, forgets: bool) -> None:
        """Without a journal all that its store was not told is gone."""
        for call in self.calls.values():
            if call.gateway == gateway and not (call.is_ceded and call.known and not call.end_posted):
                call.forgets = forgets
                call.orphaned = call.used is None and (forgets or not call.is_released)
                if forgets and not call.known:  # nobody was told that it holds anything
                    self._count(call, ZERO)
                elif (
                    call.orphaned and call.held and not call.end_posted
                ):  # as `_allowed` says, its last extension may never be charged
                    self._count(call, min(call.held))

    def used_of(self, pool: str) -> int:
        """Tokens, with what calls hold now."""
        return sum(amount[0] for (name, _), by in self._counted.items() if name == pool for amount in by.values())

    # The store

    def heard(self, batch: Batch, now_ms: int) -> None:
        wished = [(wish.pool, wish.window_s) for wish in batch.leases]
        assert len(set(wished)) == len(wished), f"I1: {batch.gateway} asks twice for one lease, and will believe both"
        self._until_ms[batch.gateway] = now_ms + batch.lease_ms
        self._closed.update(line.id for line in batch.lines if line.state not in OPEN)
        self.latest_s = max(self.latest_s, now_ms // 1000)

    async def sweep(self, ledger: Ledger) -> int:
        """I5, by what was heard."""
        before = await ledger.audit()
        count = await ledger.sweep()
        left = {line.id for line in (await ledger.audit()).open_lines}
        for line in before.open_lines:
            until_ms = self._until_ms.get(line.gateway, 0) if line.gateway else line.until_ms
            is_over = until_ms <= before.now_ms
            assert (line.id in left) != is_over, (
                f"I5: {line} of {until_ms} at {before.now_ms} was wrongly swept or left"
            )
            if is_over:
                self.calls[line.id].is_swept = True
                if not line.gateway:
                    self.released(self.calls[line.id])
        return count

    def check(self, audit: Audit) -> None:
        """I2 and I7, at any moment."""
        for books in audit.books:
            assert books.committed == books.lines, f"I2: counter and lines differ: {books}"
        for line in audit.open_lines:
            assert line.id not in self._closed, f"I7: {line.id} is open again"

    # The end

    async def settle_accounts(self, ledger: Ledger) -> None:
        """Nothing moves any more. All calls so far are reckoned, and forgotten."""
        audit = await ledger.audit()
        self.check(audit)
        assert audit.open_lines == (), f"held for ever: {audit.open_lines}"
        assert audit.leases == (), f"leased for ever: {audit.leases}"
        for call in self.calls.values():
            self._reckon(call, await ledger.line(call.id))
        booked = {(books.pool, books.bucket_s): (of(books.committed), of(books.overrun)) for books in audit.books}
        expected = {at: (total, self._overruns[at]) for at, total in self._sums.items()}
        assert booked == expected, f"I2: the books say {booked.items() - expected.items()}, callers {expected}"
        self._check_usage([total for _, total in await ledger.usage(0, 1 << 40)])
        self.calls.clear()
        self._closed.clear()
        for by in self._counted.values():
            for bucket_s in [bucket_s for bucket_s in by if bucket_s < self.latest_s - 60]:
                del by[bucket_s]

    def _reckon(self, call: Call, line: Line | None) -> None:
        found = None if line is None else (line.state, of(line.used))
        allowed = self._allowed(call)
        assert found in allowed, f"I3, I4, I6: {call.id} is {found}, not one of {allowed}: {call}"
        if line is None:
            return
        if line.state != "voided":
            self.usage = plus(self.usage, of(line.used))
            self.attempts += 1
            assert line.estimated == (call.is_estimated if line.state == "committed" else True)
        held, used = of(line.held), of(line.used)
        assert held in call.held or (held == ZERO and not call.is_taken), f"{line} holds what {call} never asked"
        beyond = plus(used, least(used, held), -1)
        for scope in line.scopes:
            at = (scope.pool, scope.bucket_s)
            self._sums[at] = plus(self._sums[at], used)
            self._overruns[at] = plus(self._overruns[at], beyond)

    def _allowed(self, call: Call) -> list[tuple[str, Meters] | None]:
        """What may have become of its line."""
        voided: tuple[str, Meters] = ("voided", ZERO)
        told = [held for held in sorted(call.held) if most(held, call.sure) == held]
        open_end: list[tuple[str, Meters] | None] = (
            [voided] if call.is_ceded else [("estimated", held) for held in told]
        )
        if call.used is not None:
            if not call.forgets or call.known_end:
                return [("committed", call.used)]
            return [("committed", call.used), *open_end, *self._nothing(call)]
        if not call.is_taken:
            return [None]
        if call.forgets:
            return [*open_end, voided, *self._nothing(call)]
        if call.is_swept or call.is_ceded:
            # Before its journal was read, it is charged what the store knew of: maybe not its last extension.
            return open_end if call.orphaned else [voided]
        return [("estimated", call.posted)] if call.orphaned else [voided]

    def _nothing(self, call: Call) -> Iterable[None]:
        return () if call.known else (None,)

    def _check_usage(self, sums: list[UsageSum]) -> None:
        total = (sum(one.tokens for one in sums), sum(one.micros for one in sums), sum(one.audio_ms for one in sums))
        assert total == self.usage, f"I3: usage says {total}, callers used {self.usage}"
        attempts = sum(one.attempts for one in sums)
        assert attempts == self.attempts, f"I4: usage counts {attempts} attempts, there were {self.attempts}"
