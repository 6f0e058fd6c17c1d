"""How long a target takes to its first token, as the past tells: peak-sensitive, and forgetful.

Finagle's "peak EWMA": a slower sample counts at once and in full, a faster one by and by, and what is not measured
again fades, so that a target that was slow once is asked again.
"""

from math import exp

TAU_S = 10.0
# What a failure counts as: slower than any answer that one would wait for.
PENALTY_S = 10.0


class PeakEwma:
    __slots__ = ("_at_ns", "_cost_s")

    def __init__(self, sample_s: float, now_ns: int) -> None:
        self._cost_s = sample_s
        self._at_ns = now_ns

    def now_s(self, now_ns: int) -> float:
        return self._cost_s * self._weight(now_ns)

    def observe(self, sample_s: float, now_ns: int) -> None:
        weight = self._weight(now_ns)
        self._at_ns = now_ns
        faded_s = self._cost_s * weight
        if sample_s >= faded_s:
            self._cost_s = sample_s
        else:
            self._cost_s = faded_s + sample_s * (1.0 - weight)

    def fail(self, now_ns: int) -> None:
        self.observe(max(PENALTY_S, self._cost_s), now_ns)

    def _weight(self, now_ns: int) -> float:
        return exp(-max(0, now_ns - self._at_ns) / (TAU_S * 1e9))
