"""How many calls a target can take at once, learnt from how soon it begins to answer.

Not from how long it answers: that is content. Samples are looked at by half a round of calls, as their mean: by
Little's law that grows as the limit does once all of the target is in use, also where calls are served in waves. One
long prompt among them counts as twice the median, so that it alone is no sign of load. The mean is compared with what
the target takes without load. The limit grows by one round of calls that were as fast as that while all of it was in
use, doubling until it was too much once; and it shrinks by as much as a round was slower (TCP Vegas; Netflix'
concurrency-limits), or by a part where the target says that it is overloaded. Time comes in as an argument.
"""

import msgspec

# Samples that are looked at together: half of the limit, within these bounds.
LEAST_WINDOW, MOST_WINDOW = 10, 200
# Cold, more would queue at a small server, and less would turn away a burst that a large one takes.
START = 100
MS = 1_000_000
# As fast as without load, and too slow: parts of that time, and what timers and loops are late by anyhow.
NEAR, NEAR_NS = 1.05, 1 * MS
FAR, FAR_NS = 1.15, 5 * MS
# Where prompts differ, so does the time without load: this many times as far as probes found it off is no sign of load.
SPREAD = 2
LEAST_PART = 0.5
FAILED_PART = 0.8
# Without load again, from time to time, to learn what that is like: half of the limit, for one round of samples.
PROBE_NS = 30_000 * MS
PROBE_ROUNDS = 100


class LimitRules(msgspec.Struct, frozen=True, kw_only=True):
    """`cap` is known to be the most, 0 for unknown: then `adapts` or not, no more are sent."""

    least: int = 4
    most: int = 1000
    cap: int = 0
    adapts: bool = True


class _Kind:
    """Samples of calls that are alike: a stream shows its first token, a whole answer nothing before its end."""

    __slots__ = ("deviation_ns", "no_load_ns", "peak", "samples_ns")

    def __init__(self) -> None:
        self.samples_ns: list[int] = []
        self.peak = 0
        self.no_load_ns = 0.0
        self.deviation_ns = 0.0

    def learn(self, mean_ns: int) -> None:
        """From calls that were near it, and not many: it may drift."""
        self.no_load_ns += (mean_ns - self.no_load_ns) / 8

    def correct(self, mean_ns: int) -> None:
        """From a probe. How far off it was tells how different calls are, and then less of a difference is a sign."""
        self.deviation_ns = (self.deviation_ns + abs(mean_ns - self.no_load_ns)) / 2
        self.no_load_ns = mean_ns


class Concurrency:
    """The limit of one target. `limit` is what counts; the rest is how it is found."""

    __slots__ = ("_calm", "_changed_ns", "_doubles", "_kinds", "_probe", "_probe_at_ns", "_probes", "_rules", "limit")

    def __init__(self, rules: LimitRules) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._changed_ns = 0
        self._calm = 0  # samples near those without load since the last change
        self._doubles = True
        self._probe = 0  # the limit that a probe has put aside
        self._probes = 0
        self._probe_at_ns = 0
        self.limit = START
        self.define(rules)

    def define(self, rules: LimitRules) -> None:
        """By these from now on."""
        self._rules = rules
        if not rules.adapts:
            self.limit, self._probe = rules.most, 0
        self._set(self.limit)

    @property
    def no_load_ns(self) -> int:
        """Of the fastest kind of calls; 0 for not known yet."""
        return int(min((kind.no_load_ns for kind in self._kinds.values() if kind.no_load_ns), default=0))

    def answered(self, kind: str, began_ns: int, now_ns: int, running: int) -> None:
        """A call that began then begins to be answered now, beside others: `running` with itself."""
        if not self._rules.adapts or began_ns < self._changed_ns:  # it was sent under another limit
            return
        seen = self._kinds.get(kind)
        if seen is None:
            seen = self._kinds[kind] = _Kind()
        seen.samples_ns.append(now_ns - began_ns)
        seen.peak = max(seen.peak, running)
        if (count := len(seen.samples_ns)) >= min(max(LEAST_WINDOW, self.limit // 2), MOST_WINDOW):
            self._calm += count
            mean_ns = _clipped_mean_ns(seen.samples_ns)
            if not seen.no_load_ns:  # the first of a burst find nobody before them
                seen.no_load_ns = seen.samples_ns[0]
            seen.samples_ns.clear()
            peak, seen.peak = seen.peak, 0
            self._look(seen, mean_ns, peak, now_ns)

    def failed(self, began_ns: int, now_ns: int) -> None:
        """The target said that it has too much to do, or said nothing at all."""
        if self._rules.adapts and began_ns >= self._changed_ns and not self._probe:
            self._doubles = False
            self._change(int(self.limit * FAILED_PART), now_ns)

    def _look(self, seen: _Kind, mean_ns: int, peak: int, now_ns: int) -> None:
        if self._probe:
            seen.correct(mean_ns)
            limit, self._probe = self._probe, 0
            self._change(limit, now_ns)
            return
        seen.no_load_ns = min(seen.no_load_ns, mean_ns)
        base_ns = seen.no_load_ns + SPREAD * seen.deviation_ns
        near_ns = base_ns * NEAR + NEAR_NS
        if mean_ns > base_ns * FAR + FAR_NS:
            self._slower(seen, mean_ns, near_ns, now_ns)
        elif mean_ns > near_ns:
            self._calm = 0
        else:
            if peak * 2 < self.limit:
                seen.learn(mean_ns)
            if peak >= self.limit and self._calm >= self.limit:
                self._change(self.limit + (self.limit if self._doubles else max(1, self.limit // 20)), now_ns)
                return
        self._probe_if_due(seen, now_ns, is_loaded=mean_ns > near_ns)

    def _slower(self, seen: _Kind, mean_ns: int, near_ns: float, now_ns: int) -> None:
        self._doubles = False
        if self.limit > self._least():
            self._change(int(self.limit * max(LEAST_PART, near_ns / mean_ns)), now_ns)
        else:
            seen.no_load_ns = mean_ns  # with fewer calls than these it is not faster

    def _probe_if_due(self, seen: _Kind, now_ns: int, *, is_loaded: bool) -> None:
        if now_ns < self._probe_at_ns:
            return
        is_first, self._probes = not self._probe_at_ns, self._probes + 1
        # Not all gateways at once, and without a die: 0.8 to 1.2 of it, in turn.
        apart_ns = max(PROBE_NS, int(seen.no_load_ns * PROBE_ROUNDS)) * (8 + self._probes * 3 % 5) // 10
        self._probe_at_ns = now_ns + apart_ns
        if is_loaded and not is_first and self.limit > self._least():
            limit = self.limit
            self._change(limit // 2, now_ns)
            self._probe = limit

    def _change(self, limit: int, now_ns: int) -> None:
        self._set(limit)
        self._changed_ns = now_ns
        self._calm = 0
        for kind in self._kinds.values():
            kind.samples_ns.clear()
            kind.peak = 0

    def _set(self, limit: int) -> None:
        self.limit = max(self._least(), min(limit, self._most()))

    def _least(self) -> int:
        return min(self._rules.least, self._most())

    def _most(self) -> int:
        rules = self._rules
        return max(1, min(rules.most, rules.cap) if rules.cap else rules.most)


def _clipped_mean_ns(samples_ns: list[int]) -> int:
    samples_ns.sort()
    most_ns = 2 * samples_ns[len(samples_ns) // 2]
    return max(1, sum(min(sample_ns, most_ns) for sample_ns in samples_ns) // len(samples_ns))
