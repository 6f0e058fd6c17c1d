"""Which stretch of time a pool counts in: computed from the store's time, so that nothing has to be reset."""

from datetime import datetime, timedelta, tzinfo

import msgspec

from hoosh.core.ledger import UNLIMITED, Amount
from hoosh.core.pool import Pool

# A sliding window is summed from this many buckets, and is thus up to one bucket longer than asked: never shorter.
BUCKETS = 60
LENGTH_S = {"hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}


class Window(msgspec.Struct, frozen=True):
    """`bucket_s` is where usage is booked now, `since_s` the first bucket that counts, `window_s` the lease's name.
    It lasts from `start_s` to before `end_s` (0: for ever); for a sliding one `end_s` is when its oldest bucket leaves.
    """

    bucket_s: int = 0
    since_s: int = 0
    window_s: int = 0
    start_s: int = 0
    end_s: int = 0


FOR_EVER = Window()


def window(pool: Pool, now_s: int, zone: tzinfo) -> Window:
    if pool.period == "none" and not pool.period_s:
        return FOR_EVER
    length_s = pool.period_s or LENGTH_S[pool.period]
    if pool.rolling:
        step_s = max(1, -(-length_s // BUCKETS))
        bucket_s = now_s // step_s * step_s
        since_s = (now_s - length_s) // step_s * step_s
        return Window(bucket_s, since_s, 0, since_s, since_s + step_s + length_s)
    if pool.period_s:
        start_s = now_s // length_s * length_s
        return Window(start_s, start_s, start_s, start_s, start_s + length_s)
    start, end = _calendar(pool.period, datetime.fromtimestamp(now_s, zone))
    start_s = int(start.timestamp())
    return Window(start_s, start_s, start_s, start_s, int(end.timestamp()))


def previous(pool: Pool, now: Window, zone: tzinfo) -> Window:
    """The window before a calendar one."""
    return window(pool, now.start_s - 1, zone)


def ceiling(pool: Pool, now_s: int, carried: Amount) -> Amount:
    """What may be used in the window of `now_s`. The first override that is in force replaces the pool's own; `carried`
    comes on top where there is a limit.
    """
    own = pool.ceiling
    for override in pool.overrides:
        if override.from_s <= now_s < override.until_s:
            own = override.ceiling
            break
    return Amount(
        _above(own.tokens, carried.tokens), _above(own.micros, carried.micros), _above(own.audio_ms, carried.audio_ms)
    )


def carry(pool: Pool, left: Amount) -> Amount:
    """What of `left`, the rest of the last period, comes over."""
    most = pool.ceiling
    percent = pool.carry_percent
    return Amount(
        _carried(left.tokens, most.tokens, percent),
        _carried(left.micros, most.micros, percent),
        _carried(left.audio_ms, most.audio_ms, percent),
    )


def _above(limit: int, carried: int) -> int:
    return limit if limit == UNLIMITED else limit + carried


def _carried(left: int, ceiling_of_one: int, percent: int) -> int:
    if ceiling_of_one == UNLIMITED:
        return 0
    return max(0, min(left, ceiling_of_one * percent // 100))


def _calendar(period: str, now: datetime) -> tuple[datetime, datetime]:
    """Start and end of the hour, day, week (Monday) or month of `now`, in its own zone."""
    if period == "hour":
        # Counted in absolute time, so that the hour that a change of clocks repeats is two windows.
        start_s = int(now.timestamp()) - now.minute * 60 - now.second
        return datetime.fromtimestamp(start_s, now.tzinfo), datetime.fromtimestamp(start_s + 3600, now.tzinfo)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)
