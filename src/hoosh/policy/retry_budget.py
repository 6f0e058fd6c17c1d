"""How many further attempts a process may make: a part of its calls, so that a storm of failures stays the size of the
traffic, and a few in any case.

The token bucket of Finagle and Envoy's retry budget. Time comes in as an argument.
"""


class RetryBudget:
    """Each call pays in `part`; each further attempt takes 1. `floor_per_s` come in by themselves, `most` may wait."""

    __slots__ = ("_at_ns", "_floor_per_s", "_most", "_part", "_tokens")

    def __init__(self, part: float = 0.1, floor_per_s: float = 3.0, most: float = 100.0) -> None:
        self._part = part
        self._floor_per_s = floor_per_s
        self._most = most
        self._tokens = most
        self._at_ns = 0

    def call(self) -> None:
        if self._tokens < self._most:
            self._tokens += self._part

    def take(self, now_ns: int) -> bool:
        """Whether one more attempt may be made."""
        passed_s = max(0, now_ns - self._at_ns) / 1e9 if self._at_ns else 0.0
        self._at_ns = now_ns
        self._tokens = min(self._most, self._tokens + passed_s * self._floor_per_s)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
