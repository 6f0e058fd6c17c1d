"""How many calls are taken at once, and what becomes of those that are too many."""

from typing import Annotated

from msgspec import Meta

from hoosh.config.words import Count, Seconds, Table


class OverloadConfig(Table, frozen=True):
    enabled: Annotated[
        bool, Meta(description="Whether calls wait for a provider that is full, and are turned away with a 503.")
    ] = True
    max_calls: Annotated[
        Count, Meta(description="Calls that one process runs at once; new ones are turned away from 95 % on.")
    ] = 10_000
    queue: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="How many calls may wait for a provider, as a part of those that run there; at least 8, or "
            "none with 0.",
        ),
    ] = 0.5
    max_wait_s: Annotated[
        Seconds, Meta(description="Longest wait for a provider; a call that would wait longer is refused at once.")
    ] = 10.0
    adaptive: Annotated[
        bool,
        Meta(description="Whether the limit of a provider's model follows its time to the first token."),
    ] = False
    min_concurrency: Annotated[Count, Meta(description="Calls at once that each model of a provider gets anyhow.")] = 4
    max_concurrency: Annotated[
        Count,
        Meta(description="Calls at once that no model gets more of; its limit where it is not adaptive."),
    ] = 10_000
