"""Rate limits by GCRA (ITU-T I.371, virtual scheduling): a limit's state is the time at which all of it is free again.

Units become nanoseconds: so long does the rate take to bring them back. Each sum is rounded down, so that over any time
t, takings that never ask for more than the burst are at most `burst + rate * (t + 1 ns for each taking)`.
"""

import msgspec

MINUTE_NS = 60_000_000_000
# Nobody knows when a running call ends.
BUSY_WAIT_NS = 1_000_000_000


class Rate(msgspec.Struct, frozen=True):
    """`units` come back in `period_ns`, and no more than `burst` are saved up."""

    units: int
    period_ns: int
    burst: int


def rate(per_minute: int, burst_part: int = 1, processes: int = 1) -> Rate:
    """One process's share of a limit. It is at least one unit a minute, and one at once: of a limit that is smaller
    than the number of processes each gets more than its part.
    """
    shares = min(processes, per_minute)
    return Rate(per_minute, MINUTE_NS * shares, max(1, per_minute // (burst_part * shares)))


def share(concurrency: int, processes: int) -> int:
    """One process's share of what cannot be divided; rounded up, or some limits would let nobody pass."""
    return -(-concurrency // processes)


def cost_ns(rate: Rate, units: int) -> int:
    return units * rate.period_ns // rate.units


def wait_ns(rate: Rate, owed_ns: int, units: int) -> int:
    """How long until `units` may be taken; 0 for now. `owed_ns` is how long it is until all is free.

    What is larger than the burst may pass when all is free, and is then owed whole: it must not wait for ever.
    """
    room_ns = cost_ns(rate, rate.burst)
    return max(0, owed_ns + min(cost_ns(rate, units), room_ns) - room_ns)


def free(rate: Rate, owed_ns: int) -> int:
    """Units that may be taken now."""
    used = -(-owed_ns * rate.units // rate.period_ns)
    return max(0, rate.burst - used)


def span(ns: int) -> str:
    """As OpenAI writes a time to come in its headers: "0s", "120ms", "8.64s", "6m0s", "1h0m12s"."""
    ms = -(-ns // 1_000_000)
    if 0 < ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
