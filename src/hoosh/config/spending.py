"""What may be spent, at which prices, and where that is kept."""

from typing import Annotated, Literal

from msgspec import Meta

from hoosh.config.secret import Secret
from hoosh.config.words import Count, Moment, Name, PerMinute, Table, Text, Tokens, Usd, UsdPrice


class OverrideConfig(Table, frozen=True):
    until: Annotated[Moment, Meta(description="When it ends.", examples=["2027-01-01T00:00:00Z"])]
    since: Annotated[
        Moment | None, Meta(description="When it begins; at once if not given.", examples=["2026-12-24T00:00:00Z"])
    ] = None
    capacity: Annotated[Tokens | None, Meta(description="Tokens of one period meanwhile.", examples=[2_000_000])] = None
    capacity_usd: Annotated[Usd | None, Meta(description="US dollars of one period meanwhile.", examples=[50.0])] = None
    capacity_audio_s: Annotated[
        Tokens | None, Meta(description="Seconds of audio of one period meanwhile.", examples=[7200])
    ] = None


class BudgetConfig(Table, frozen=True):
    name: Annotated[Name, Meta(description="Name of the pool.", examples=["team"])]
    capacity: Annotated[
        Tokens | None,
        Meta(description="Tokens that may be used in one period; no limit if not given.", examples=[1_000_000]),
    ] = None
    capacity_usd: Annotated[
        Usd | None, Meta(description="US dollars that may be spent in one period.", examples=[25.0])
    ] = None
    capacity_audio_s: Annotated[
        Tokens | None, Meta(description="Seconds of audio that may be heard in one period.", examples=[3600])
    ] = None
    parent: Annotated[
        Name | Literal[""], Meta(description="Budget that is charged for all its calls too.", examples=["default"])
    ] = ""
    agent: Annotated[
        str,
        Meta(
            max_length=256, description="Agent (`x-agent-id`) whose calls are charged to it too.", examples=["tarang"]
        ),
    ] = ""
    period: Annotated[
        Literal["none", "hour", "day", "week", "month"], Meta(description="After which it begins anew.")
    ] = "none"
    rolling: Annotated[
        bool, Meta(description="Whether the period slides (the last 24 hours) and does not follow the calendar.")
    ] = False
    time_zone: Annotated[Text, Meta(description="Whose calendar its periods follow.")] = "UTC"
    carry_over_percent: Annotated[
        int, Meta(ge=0, le=1000, description="How much of the limit may come over from what the last period left.")
    ] = 0
    alert_percents: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1000)], ...], Meta(description="Use of the limit at which the log warns.")
    ] = (80, 95)
    hard: Annotated[bool, Meta(description="Whether the limit refuses calls; else it only warns.")] = True
    unbounded: Annotated[
        Literal["deny", "allow"],
        Meta(description="What becomes of calls whose cost nobody can bound before: server tools, files by reference."),
    ] = "deny"
    default_max_tokens: Annotated[
        Tokens, Meta(description="Limit on an answer where the client sets none and the budget has a limit.")
    ] = 4096
    top_up: Annotated[
        bool, Meta(description="Whether such an answer is not limited, and more is held as it grows.")
    ] = False
    overrides: Annotated[
        tuple[OverrideConfig, ...], Meta(description="Other limits for a time; the first in force counts.")
    ] = ()
    rpm: Annotated[
        Count | None, Meta(description="Requests per minute of all its calls; all may come at once.", examples=[600])
    ] = None
    tpm: Annotated[PerMinute | None, Meta(description="Tokens per minute of all its calls.", examples=[1_000_000])] = (
        None
    )
    concurrency: Annotated[Count | None, Meta(description="Calls of it that may run at once.", examples=[64])] = None


class LimitConfig(Table, frozen=True):
    model: Annotated[
        Text, Meta(description="Glob of the models, as their provider calls them; they share it.", examples=["gpt-*"])
    ]
    provider: Annotated[
        Name | Literal[""], Meta(description="Name of the provider; every one if not given.", examples=["openai"])
    ] = ""
    rpm: Annotated[
        Count | None, Meta(description="Requests per minute to them; a tenth may come at once.", examples=[600])
    ] = None
    tpm: Annotated[PerMinute | None, Meta(description="Tokens per minute of them.", examples=[1_000_000])] = None
    concurrency: Annotated[Count | None, Meta(description="Calls to them that may run at once.", examples=[32])] = None


class PricingConfig(Table, frozen=True):
    unknown: Annotated[
        Literal["deny", "estimate", "allow"],
        Meta(
            description="What becomes of a call to a remote model whose price is not known: it is refused, charged at "
            "its provider's dearest price and marked as estimated, or made with its cost told as unknown."
        ),
    ] = "estimate"


class PriceConfig(Table, frozen=True):
    provider: Annotated[Text, Meta(description="Glob of the providers' names or types.", examples=["openai"])] = "*"
    model: Annotated[Text, Meta(description="Glob of their names for the models.", examples=["ft:gpt-4.1-mini:*"])] = (
        "*"
    )
    input_usd_per_mtok: Annotated[
        UsdPrice | None, Meta(description="Input; goes with the output's price.", examples=[0.8])
    ] = None
    output_usd_per_mtok: Annotated[
        UsdPrice | None, Meta(description="Output, reasoning included; 0 where there is none.", examples=[3.2])
    ] = None
    cached_input_usd_per_mtok: Annotated[
        UsdPrice | None, Meta(description="Input read from a cache; as other input if not given.", examples=[0.2])
    ] = None
    cache_write_usd_per_mtok: Annotated[
        UsdPrice | None, Meta(description="Input written to a cache; as other input if not given.", examples=[1.0])
    ] = None
    audio_input_usd_per_minute: Annotated[
        UsdPrice | None, Meta(description="Sound that is heard, besides its tokens.", examples=[0.006])
    ] = None
    per_request_usd: Annotated[
        UsdPrice | None, Meta(description="Each request, besides its tokens.", examples=[0.005])
    ] = None


class StoreConfig(Table, frozen=True):
    kind: Annotated[
        Literal["sqlite", "memory", "postgres", "redis"],
        Meta(
            description="Where budgets, keys and usage are kept: `hoosh.db` beside the models, only in memory, or "
            "where gateways of many machines reach it (docs/stores.md)."
        ),
    ] = "sqlite"
    url: Annotated[
        Secret | None, Meta(description="Where a store is that is a server.", examples=["$HOOSH_STORE_URL"])
    ] = None
    namespace: Annotated[
        str,
        Meta(
            pattern="^[a-z_][a-z0-9_]{0,62}$",
            description="What keeps several hooshes apart on one server: the name of a schema in PostgreSQL, "
            "the beginning of all keys in Redis.",
        ),
    ] = "hoosh"
    allow_volatile: Annotated[
        bool, Meta(description="Whether a server will do that may forget in a crash what it has said to have.")
    ] = False
    durability: Annotated[
        Literal["balanced", "durable"],
        Meta(
            description="When a call is in the store: within 10 ms of being sent, and in a journal on this machine "
            "before; or on the store's disk before it is sent."
        ),
    ] = "balanced"
    lease_s: Annotated[
        float,
        Meta(
            ge=1, le=3600, description="How long a gateway may spend what it has leased without hearing of the store."
        ),
    ] = 30.0
    keep_days: Annotated[
        int, Meta(ge=1, le=36500, description="Days that single ledger lines are kept; sums are kept for ever.")
    ] = 90
