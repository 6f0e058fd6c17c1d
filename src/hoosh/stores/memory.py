"""State in this process: exact in one process, gone at its end. No await stands between a check and its set."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from hoosh.core.call import Hold, Settlement
from hoosh.core.errors import BadRequest, BudgetExceeded, Throttled, Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.policy.limits import gcra
from hoosh.ports import Clock

# Settled ids are remembered so that a repeated settlement changes nothing; the oldest go first.
REMEMBERED_IDS = 100_000
# A tenth of a minute's requests may come at once.
BURST_PART = 10


class _Pool:
    __slots__ = ("capacity", "held", "used")

    def __init__(self, capacity: int | None) -> None:
        self.capacity = capacity
        self.held = 0
        self.used = 0


class MemoryBudgets:
    """ports.Budgets. A pool without a capacity only counts."""

    def __init__(self, capacities: Mapping[str, int | None]) -> None:
        self._pools = {name: _Pool(capacity) for name, capacity in capacities.items()}
        self._holds: dict[str, Hold] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()

    async def reserve(self, hold: Hold) -> None:
        pool = self._pools.get(hold.pool)
        if pool is None:
            raise BadRequest(f"Token pool '{hold.pool}' does not exist", param="pool")
        if hold.id in self._holds or hold.id in self._settled:
            return
        if hold.tokens and pool.capacity is not None and pool.used + pool.held + hold.tokens > pool.capacity:
            left = max(0, pool.capacity - pool.used - pool.held)
            raise BudgetExceeded(
                f"Token budget exceeded: pool '{hold.pool}' has {left} tokens remaining, requested {hold.tokens}"
            )
        pool.held += hold.tokens
        self._holds[hold.id] = hold

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            if settlement.id in self._settled:
                continue
            self._settled[settlement.id] = None
            if len(self._settled) > REMEMBERED_IDS:
                self._settled.popitem(last=False)
            hold = self._holds.pop(settlement.id, None)
            if hold is not None:
                self._pools[hold.pool].held -= hold.tokens
            if (pool := self._pools.get(settlement.pool)) is not None:
                pool.used += settlement.usage.total

    def standing(self, pool: str) -> tuple[int, int]:
        """(used, held) tokens of a pool."""
        return self._pools[pool].used, self._pools[pool].held


class MemoryLimits:
    """ports.Limits. One float a name; names are the configured providers', so the map is bounded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_at_s: dict[str, float] = {}

    async def take(self, name: str, per_minute: int) -> None:
        now_s = self._clock.monotonic_ns() / 1e9
        verdict = gcra(self._full_at_s.get(name, 0.0), now_s, per_minute, burst=max(1, per_minute // BURST_PART))
        self._full_at_s[name] = verdict.full_at_s
        if verdict.wait_s:
            raise Throttled(
                f"Rate limit exceeded for provider '{name}'. Please try again later.", retry_after_s=verdict.wait_s
            )


class StaticKeys:
    """ports.Keys over the keys of the configuration. Only SHA-256 digests are kept; every one is compared,
    in constant time, so that neither a prefix nor a position shows in the time taken.
    """

    def __init__(self, keys: Sequence[tuple[str, Principal]]) -> None:
        self._keys = tuple((_digest(token), principal) for token, principal in keys)

    def identify(self, token: str | None) -> Principal:
        if not self._keys:
            return ANONYMOUS
        if not token:
            raise Unauthorized(
                "Invalid or missing API key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
            )
        given = _digest(token)
        found: Principal | None = None
        for digest, principal in self._keys:
            if hmac.compare_digest(digest, given):
                found = principal
        if found is None:
            raise Unauthorized("Invalid or missing API key.")
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
