"""In what worlds the gateways live: their faults, their pools, and who calls."""

import msgspec

from hoosh.core.ledger import UNLIMITED, Amount
from hoosh.core.pool import Pool


class Kind(msgspec.Struct, frozen=True):
    """`journal`: a gateway's lines outlive it; else every hold is in the store before it counts (`durable`). `clocks`:
    they jump, which without a journal may end leases that their gateway still goes by. `faults`: gateways are killed,
    and the way to the store is bad. `tight`: small ceilings, and nobody uses more than it held or reports too late, so
    that a pool is used up to the last token, and one too many is seen.
    """

    journal: bool = True
    clocks: bool = True
    faults: bool = True
    tight: bool = False
    gateways: int = 3


KINDS = (
    Kind(),
    Kind(journal=False, clocks=False),
    Kind(journal=False),
    Kind(gateways=5),
    Kind(faults=False, tight=True, gateways=2),
    Kind(clocks=False, tight=True),
)


def _pool(name: str, tokens: int, micros: int = UNLIMITED, **more: object) -> Pool:
    return Pool(name=name, ceiling=Amount(tokens, micros, UNLIMITED), **more)  # type: ignore[arg-type]


POOLS = (
    Pool(name="default"),
    _pool("team", 6000, parent="org", period_s=3, carry_percent=50),
    _pool("org", 15_000, 40_000, period_s=7),
    _pool("slide", 9000, period_s=5, rolling=True),
    _pool("fixed", 8000),
    _pool("temp", 5000, period_s=4, parent="org"),
)
CHAINS = (("team",), ("team",), ("org",), ("slide",), ("fixed",), ("temp",), ("default",), ("slide", "team"))


def tightened(pool: Pool) -> Pool:
    tokens, micros, _ = msgspec.structs.astuple(pool.ceiling)
    return msgspec.structs.replace(pool, ceiling=Amount(max(-1, tokens // 5), micros, UNLIMITED))
