"""Rate limits in this process: exact in one process, each process's part where there are several.

Everything here is synchronous: no await stands between a check and its set, and a cancelled call can give back.
"""

from collections.abc import Iterator, Sequence

from hoosh.core.limit import Gauge, Limit, Refusal, Resource
from hoosh.policy.limits import BUSY_WAIT_NS, Rate, cost_ns, free, rate, share, wait_ns
from hoosh.ports import Clock

# Meters that are kept before those at rest are looked for. One at rest is as good as a new one.
MIN_SWEEP = 1024


class Bucket:
    """When all is free again, as GCRA reckons, of takings that may turn out to have been too large.

    To subtract the difference from GCRA's one number would give too much back: a bucket that was never lacking it would
    have been full meanwhile, and saved nothing up. Here it is forgotten as if it had never been taken. All is free at
    the latest of `start of a taking + all taken from then on`; kept is the latest `start - all taken before`, apart for
    the takings that follow each one that may still change (0: those that follow none).
    """

    __slots__ = ("_last", "_peak_ns", "_peaks_ns", "_taken_ns", "_ticket")

    def __init__(self) -> None:
        self._taken_ns = 0
        self._peaks_ns = {0: 0}
        self._peak_ns = 0
        self._last = 0  # the key that stands last in `_peaks_ns`
        self._ticket = 0

    def owed_ns(self, now_ns: int) -> int:
        return max(0, self._peak_ns + self._taken_ns - now_ns)

    def take(self, now_ns: int, cost_ns: int) -> None:
        """For good."""
        start_ns = now_ns - self._taken_ns
        self._taken_ns += cost_ns
        self._peaks_ns[self._last] = max(self._peaks_ns[self._last], start_ns)
        self._peak_ns = max(self._peak_ns, start_ns)

    def hold(self, now_ns: int, cost_ns: int) -> int:
        """Take, and name what was taken for `settle`."""
        self.take(now_ns, cost_ns)
        self._ticket = self._last = self._ticket + 1
        self._peaks_ns[self._ticket] = now_ns - self._taken_ns
        return self._ticket

    def settle(self, ticket: int, rest_ns: int) -> None:
        """Of what was taken then, `rest_ns` never was."""
        before = 0
        for other in self._peaks_ns:
            if other == ticket:
                break
            self._peaks_ns[other] -= rest_ns
            before = other
        after_ns = self._peaks_ns.pop(ticket)
        self._peaks_ns[before] = max(self._peaks_ns[before], after_ns)
        if self._last == ticket:
            self._last = before
        self._peak_ns = max(self._peaks_ns.values())


class _Meter:
    """The state of one limit. Its numbers come with each call: they may change while it runs."""

    __slots__ = ("requests", "running", "tokens")

    def __init__(self) -> None:
        self.requests = Bucket()
        self.tokens = Bucket()
        self.running = 0

    def is_at_rest(self, now_ns: int) -> bool:
        return not (self.running or self.requests.owed_ns(now_ns) or self.tokens.owed_ns(now_ns))


class _Taken:
    """What one call has of one limit."""

    __slots__ = ("cost_ns", "meter", "rate", "ticket", "tokens")

    def __init__(self, meter: _Meter, limit: Limit, tokens: int, now_ns: int, processes: int) -> None:
        self.meter = meter
        self.tokens = tokens
        self.ticket = 0
        meter.running += 1
        if limit.rpm is not None:
            per_request = rate(limit.rpm, limit.burst_part, processes)
            meter.requests.take(now_ns, cost_ns(per_request, 1))
        if limit.tpm is not None:
            self.rate = rate(limit.tpm, 1, processes)
            self.cost_ns = cost_ns(self.rate, tokens)
            self.ticket = meter.tokens.hold(now_ns, self.cost_ns)

    def give_back(self, tokens: int, now_ns: int) -> None:
        self.meter.running -= 1
        if not self.ticket:
            return
        used_ns = cost_ns(self.rate, tokens)
        self.meter.tokens.settle(self.ticket, max(0, self.cost_ns - used_ns))
        if used_ns > self.cost_ns:
            self.meter.tokens.take(now_ns, used_ns - self.cost_ns)


class MemoryPermit:
    """ports.Permit."""

    __slots__ = ("_clock", "_taken")

    def __init__(self, clock: Clock, taken: Sequence[_Taken]) -> None:
        self._clock = clock
        self._taken = taken

    def give_back(self, tokens: int) -> None:
        taken, self._taken = self._taken, ()
        if taken:
            now_ns = self._clock.monotonic_ns()
            for one in taken:
                one.give_back(tokens, now_ns)


class MemoryLimits:
    """ports.Limits. There are as many meters as limits in use: those of what is configured, and of keys."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._processes = 1
        self._meters: dict[tuple[str, str], _Meter] = {}
        self._sweep_at = MIN_SWEEP

    def share(self, processes: int) -> None:
        """So many processes share each limit from now on."""
        self._processes = max(1, processes)

    def take(self, limits: Sequence[Limit], tokens: int) -> MemoryPermit | Refusal:
        now_ns = self._clock.monotonic_ns()
        if len(self._meters) >= self._sweep_at:
            self._sweep(now_ns)
        worst: Refusal | None = None
        meters = [self._meter(limit) for limit in limits]
        for limit, meter in zip(limits, meters, strict=True):
            for refusal in self._refusals(limit, meter, tokens, now_ns):
                if worst is None or refusal.wait_ns > worst.wait_ns:
                    worst = refusal
        if worst is not None:
            return worst
        pairs = zip(limits, meters, strict=True)
        return MemoryPermit(
            self._clock, [_Taken(meter, limit, tokens, now_ns, self._processes) for limit, meter in pairs]
        )

    def gauges(self, limits: Sequence[Limit]) -> Sequence[Gauge]:
        now_ns = self._clock.monotonic_ns()
        return [gauge for limit in limits for _, gauge in self._rated(limit, self._meter(limit), now_ns)]

    def _meter(self, limit: Limit) -> _Meter:
        key = (limit.scope, limit.name)
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = _Meter()
        return meter

    def _sweep(self, now_ns: int) -> None:
        self._meters = {key: meter for key, meter in self._meters.items() if not meter.is_at_rest(now_ns)}
        self._sweep_at = max(MIN_SWEEP, 2 * len(self._meters))

    def _rated(self, limit: Limit, meter: _Meter, now_ns: int) -> Iterator[tuple[Rate, Gauge]]:
        sides: tuple[tuple[Resource, int | None, int, Bucket], ...] = (
            ("requests", limit.rpm, limit.burst_part, meter.requests),
            ("tokens", limit.tpm, 1, meter.tokens),
        )
        for resource, per_minute, part, bucket in sides:
            if per_minute is not None:
                ours, owed_ns = rate(per_minute, part, self._processes), bucket.owed_ns(now_ns)
                yield ours, Gauge(limit, resource, per_minute, ours.burst, free(ours, owed_ns), owed_ns)

    def _refusals(self, limit: Limit, meter: _Meter, tokens: int, now_ns: int) -> Iterator[Refusal]:
        for ours, gauge in self._rated(limit, meter, now_ns):
            needed = 1 if gauge.resource == "requests" else tokens
            if needed and (waiting_ns := wait_ns(ours, gauge.full_ns, needed)):
                yield Refusal(gauge, needed, waiting_ns)
        if limit.concurrency is not None and meter.running >= (most := share(limit.concurrency, self._processes)):
            gauge = Gauge(limit, "calls", limit.concurrency, most, 0, BUSY_WAIT_NS)
            yield Refusal(gauge, 1, BUSY_WAIT_NS)
