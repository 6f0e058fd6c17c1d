"""Rate limits as values: what is limited, how a limit stands, and why a call may not pass now."""

from typing import Literal

import msgspec

Scope = Literal["key", "pool", "provider", "model"]
Resource = Literal["requests", "tokens", "calls"]


class Limit(msgspec.Struct, frozen=True):
    """What `scope` `name` may have: requests and tokens in a minute, calls at once; None for as many as there are.

    Of a minute's requests one part in `burst_part` may come at once.
    """

    scope: Scope
    name: str
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    burst_part: int = 1


class Gauge(msgspec.Struct, frozen=True):
    """How one resource of a limit stands. Of its `units` (a minute's, where they come back) `burst` may come at once in
    this process: `free` of them now, and in `full_ns` all.
    """

    limit: Limit
    resource: Resource
    units: int
    burst: int
    free: int
    full_ns: int


class Refusal(msgspec.Struct, frozen=True):
    """`needed` is more than is free. It may pass in `wait_ns`, if nobody else comes before."""

    gauge: Gauge
    needed: int
    wait_ns: int
