"""A pool: what may be used in all by whoever is charged to it."""

from typing import Literal

import msgspec

from hoosh.core.ledger import NO_CEILING, UNLIMITED, Amount

Period = Literal["none", "hour", "day", "week", "month"]


class Override(msgspec.Struct, frozen=True):
    """Another ceiling for a time: from `from_s` (0: from ever) to before `until_s`, in Unix seconds."""

    ceiling: Amount
    until_s: int
    from_s: int = 0


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`ceiling` is what may be used in one period. A call is charged to its pool and to every `parent` above, all or
    none. Periods follow the calendar of `time_zone`, or slide (`rolling`: the last 24 hours, say); `period_s` is one
    of any length, and then there is no calendar.

    With `agent`, that agent's calls are charged to it beside their own pool.

    `carry_percent`: how much of the ceiling may come over at most from what the last period left. `alerts` are percents
    of the ceiling at which the log warns. A pool that is not `hard` refuses nobody. `unbounded`: whether a call is let
    through that nobody can bound beforehand. `output_tokens` is the limit that a call gets which sets none;
    with `top_up` it gets none, and more is held as its answer grows. `origin`: who made the pool, `created_s`: when.
    """

    name: str
    ceiling: Amount = NO_CEILING
    parent: str = ""
    agent: str = ""
    period: Period = "none"
    period_s: int = 0
    rolling: bool = False
    time_zone: str = "UTC"
    carry_percent: int = 0
    alerts: tuple[int, ...] = ()
    hard: bool = True
    unbounded: Literal["deny", "allow"] = "deny"
    output_tokens: int = 4096
    top_up: bool = False
    overrides: tuple[Override, ...] = ()
    created_s: int = 0
    origin: Literal["config", "key", "api"] = "config"

    @property
    def is_capped(self) -> bool:
        return self.hard and self.ceiling != NO_CEILING


def pool_of_key(key_id: str) -> str:
    """The name of a key's own pool, where it has one."""
    return f"key:{key_id}"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a call of some caller is under: the `pools` it is charged to, and what all of them together allow."""

    pools: tuple[str, ...]
    is_capped: bool = False
    allows_unbounded: bool = True
    output_tokens: int = 0
    top_up: bool = False


# What a client in JavaScript can still count exactly.
MOST = (1 << 53) - 1


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """One pool now, in tokens; UNLIMITED for no `capacity`. `ends_s` is when its period ends (Unix), 0 for never."""

    name: str
    capacity: int
    used: int
    reserved: int
    used_micros: int
    capacity_micros: int
    starts_s: int = 0
    ends_s: int = 0
    now_s: int = 0

    @property
    def available(self) -> int:
        """A pool without a ceiling has room for any number that JSON can say."""
        return MOST if self.capacity == UNLIMITED else max(0, self.capacity - self.used - self.reserved)
