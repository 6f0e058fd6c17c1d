"""The response cache: answers that are given again to the same request."""

from typing import Annotated, Literal

from msgspec import Meta

from hoosh.config.words import Table


class CacheConfig(Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether answers are kept for the next call that asks the same.")] = False
    ttl_s: Annotated[
        float, Meta(ge=0, le=31_536_000, description="Time that an answer is good, 10 % more or less; 0 sets none.")
    ] = 300.0
    max_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 40, description="What all answers may take in a process; those not used longest go.")
    ] = 67_108_864
    max_entry_bytes: Annotated[int, Meta(ge=1024, le=1 << 30, description="Largest answer that is kept.")] = 1_048_576
    scope: Annotated[
        Literal["key", "pool", "global"],
        Meta(description="Who is given whose answers: those of the same key, of the same budget, or all."),
    ] = "key"
    sampled: Annotated[
        bool, Meta(description="Whether answers to requests with a temperature above 0 are kept, too.")
    ] = False
    tool_calls: Annotated[bool, Meta(description="Whether answers that call tools are kept, too.")] = False
    shared: Annotated[
        Literal["none", "store"],
        Meta(description="Whether processes give each other's answers: by the store, or a file beside it."),
    ] = "none"
