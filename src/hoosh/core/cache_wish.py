"""What a caller lets the response cache do, and what it did."""

from typing import Literal, TypeAlias

import msgspec

# "off": it took no part. "joined": another call's answer was waited for.
CacheUse: TypeAlias = Literal["", "off", "miss", "hit", "joined"]
# What no provider was asked for.
SERVED: frozenset[CacheUse] = frozenset({"hit", "joined"})


class CacheWish(msgspec.Struct, frozen=True, kw_only=True):
    """`reads`: an answer may come from the cache; `writes`: one may be kept there. `is_asked`: the caller named the
    cache itself.
    """

    reads: bool = True
    writes: bool = True
    max_age_s: int | None = None
    is_asked: bool = False
