"""State in this process: exact in one process, gone at its end. No await stands between a check and its set."""

import hashlib
import hmac
from collections.abc import Sequence

from hoosh.core.errors import Throttled, Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.policy.limits import gcra
from hoosh.ports import Clock

# A tenth of a minute's requests may come at once.
BURST_PART = 10


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

    def recall(self, token: str) -> Principal | None:
        try:
            return self.identify(token)
        except Unauthorized:
            return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
