"""How a call finds its provider, and what happens when one fails."""

from typing import Annotated

from msgspec import Meta

from hoosh.config.words import Table


class RetryConfig(Table, frozen=True):
    tries: Annotated[int, Meta(ge=1, le=20, description="Attempts at one provider before the next one.")] = 2
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="Attempts of one call over all providers.")] = 6
    base_delay_s: Annotated[
        float, Meta(ge=0, le=60, description="Wait before the second attempt; doubles each time.")
    ] = 0.25
    max_delay_s: Annotated[float, Meta(ge=0, le=600, description="Longest wait between two attempts.")] = 8.0
