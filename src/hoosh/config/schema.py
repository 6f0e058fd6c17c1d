"""Every setting: its type, bounds, default and meaning stand here and nowhere else.

The file's validation, its JSON schema, its documentation and its example are all made from these structs.
The unit of a number is in its name.
"""

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hoosh.config.secret import Secret
from hoosh.core.wire import Timeouts

_TIMEOUTS = Timeouts()

Name = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 30)]
# A nanosecond's rounding is then far below a token.
PerMinute = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Tokens = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
Moment = Annotated[dt.datetime, Meta(tz=True)]
Usd = Annotated[float, Meta(gt=0, le=1_000_000_000)]
# The dearest model of November 2026 asks for 600 dollars.
UsdPrice = Annotated[float, Meta(ge=0, le=100_000)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ServerConfig(_Table, frozen=True):
    bind: Annotated[str, Meta(description="Address to listen on. Off loopback, keys are required.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 takes any free one.")] = 8088
    body_limit_bytes: Annotated[Bytes, Meta(description="Largest request body; more is answered 413.")] = 10_485_760
    header_timeout_s: Annotated[Seconds, Meta(description="Time for a client to send its request's head.")] = 10.0
    body_timeout_s: Annotated[Seconds, Meta(description="Time for a client to send its request's body.")] = 60.0
    header_limit_bytes: Annotated[Bytes, Meta(description="Largest request head; more is answered 431.")] = 32_768
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="Time that running calls get to end when the server stops.")
    ] = 30.0
    on_disconnect: Annotated[
        Literal["cancel", "drain"],
        Meta(
            description="When a client leaves: the provider's call is ended and what was seen is charged, or its "
            "answer is read to the end (64 at a time, 30 s at most) and charged as the provider says."
        ),
    ] = "cancel"
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Processes that serve the port together; they share budgets, keys and limits by the store.",
        ),
    ] = 1


class KeyConfig(_Table, frozen=True):
    name: Annotated[Name, Meta(description="Who uses it; shown in logs and metrics.", examples=["laptop"])]
    token: Annotated[
        Secret,
        Meta(description="What the client sends as its API key; at least 16 characters.", examples=["$LAPTOP_TOKEN"]),
    ]
    pool: Annotated[Name, Meta(description="Budget that its calls are charged to.")] = "default"
    rpm: Annotated[
        Count | None,
        Meta(description="Requests per minute that it may make; all of them may come at once.", examples=[60]),
    ] = None
    tpm: Annotated[
        PerMinute | None, Meta(description="Tokens per minute that its calls may use.", examples=[100_000])
    ] = None
    concurrency: Annotated[Count | None, Meta(description="Calls of it that may run at once.", examples=[8])] = None
    owner: Annotated[str, Meta(max_length=256, description="Whose it is, for reports.", examples=["Ada"])] = ""
    agents: Annotated[
        tuple[Text, ...],
        Meta(description="Names that it may go by (`x-agent-id`); any if empty.", examples=[["tarang"]]),
    ] = ()
    models: Annotated[
        tuple[Text, ...],
        Meta(description="Globs of the models it may use, as `model` or `provider/model`; all if empty."),
    ] = ()
    pools: Annotated[tuple[Text, ...], Meta(description="Globs of other budgets that it may charge.")] = ()
    routes: Annotated[
        tuple[Text, ...],
        Meta(description="Endpoints it may use, by name or path (docs/keys.md); all if empty.", examples=[["chat"]]),
    ] = ()
    admin: Annotated[bool, Meta(description="Whether it may administer, on the admin listener.")] = False
    expires: Annotated[Moment | None, Meta(description="When it stops working.", examples=["2027-01-31T00:00:00Z"])] = (
        None
    )


class KeysStoreConfig(_Table, frozen=True):
    pepper: Annotated[
        Secret | None,
        Meta(
            description="What digests of keys are made with, 32 characters or more; in a file beside the store if not "
            "given. Gateways that share a store need the same.",
            examples=["$HOOSH_PEPPER"],
        ),
    ] = None
    previous_pepper: Annotated[
        Secret | None,
        Meta(description="The one before, for keys that were made with it.", examples=["$OLD_PEPPER"]),
    ] = None
    required: Annotated[
        bool, Meta(description="Whether a key is asked for even where there is none; off loopback it always is.")
    ] = False
    grace_s: Annotated[Seconds, Meta(description="How long keys are good while the store cannot be read.")] = 60.0
    failures_per_minute: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Wrong keys that one address may show; 0 does not count them."),
    ] = 20


class AdminConfig(_Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether there is a listener for administration.")] = False
    bind: Annotated[str, Meta(description="Address that it listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port that it listens on; 0 takes any free one.")] = 8089
    socket: Annotated[
        Text | None,
        Meta(
            description="UNIX socket in place of TCP; whoever may open the file needs no key.",
            examples=["/run/hoosh/admin.sock"],
        ),
    ] = None
    host: Annotated[
        str,
        Meta(description="Name that it may be called by, besides loopback's.", examples=["gateway.example.com"]),
    ] = ""


class ProviderConfig(_Table, frozen=True):
    type: Annotated[Name, Meta(description="Which kind of provider it is, in any case.", examples=["openai"])]
    name: Annotated[
        Name,
        Meta(description="Its name in `provider/model`, logs and metrics; its type if not given.", examples=["work"]),
    ] = ""
    base_url: Annotated[
        Text | None,
        Meta(description="Where its API begins; the type's own address if not given.", examples=["http://gpu:8000/v1"]),
    ] = None
    api_key: Annotated[
        Secret | None, Meta(description="The key that hoosh shows to the provider.", examples=["$OPENAI_API_KEY"])
    ] = None
    models: Annotated[
        tuple[Text, ...],
        Meta(description="Globs of the models it may serve; all if empty.", examples=[["gpt-*", "o*"]]),
    ] = ()
    priority: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Lower is tried first when several serve a model.")
    ] = 10
    enabled: Annotated[bool, Meta(description="Whether it takes part at all.")] = True
    responses: Annotated[
        bool | None,
        Meta(
            description="Whether it serves the Responses API; if not given, as its type does at its own address.",
            examples=[True],
        ),
    ] = None
    local: Annotated[
        bool | None,
        Meta(description="Whether no data leaves your machines; what the type says if not given.", examples=[True]),
    ] = None
    max_tokens_limit: Annotated[
        Tokens | None, Meta(description="Most output tokens that a call may ask of it.", examples=[4096])
    ] = None
    rate_limit_rpm: Annotated[
        Count | None,
        Meta(
            description="Requests per minute that hoosh sends to it; a tenth of them may come at once.", examples=[600]
        ),
    ] = None
    rate_limit_tpm: Annotated[
        PerMinute | None, Meta(description="Tokens per minute that hoosh asks of it.", examples=[1_000_000])
    ] = None
    max_concurrency: Annotated[
        Count | None, Meta(description="Calls that hoosh sends to it at once.", examples=[32])
    ] = None
    connect_timeout_s: Annotated[
        Seconds | None, Meta(description="Replaces `network.connect_timeout_s` for this one.", examples=[3.0])
    ] = None
    first_byte_timeout_s: Annotated[
        Seconds | None, Meta(description="Replaces `network.first_byte_timeout_s` for this one.", examples=[600.0])
    ] = None
    idle_timeout_s: Annotated[
        Seconds | None, Meta(description="Replaces `network.idle_timeout_s` for this one.", examples=[60.0])
    ] = None
    total_timeout_s: Annotated[
        Seconds | None, Meta(description="Replaces `network.total_timeout_s` for this one.", examples=[7200.0])
    ] = None

    def __post_init__(self) -> None:
        # The first hoosh wrote "OpenAi" and "LmStudio".
        msgspec.structs.force_setattr(self, "type", self.type.lower())
        if not self.name:
            msgspec.structs.force_setattr(self, "name", self.type)
        if self.base_url is not None:
            # A request's path begins with "/".
            msgspec.structs.force_setattr(self, "base_url", self.base_url.rstrip("/"))

    def timeouts(self, network: "NetworkConfig") -> Timeouts:
        return Timeouts(
            connect_s=self.connect_timeout_s or network.connect_timeout_s,
            first_byte_s=self.first_byte_timeout_s or network.first_byte_timeout_s,
            idle_s=self.idle_timeout_s or network.idle_timeout_s,
            total_s=self.total_timeout_s or network.total_timeout_s,
        )


class NetworkConfig(_Table, frozen=True):
    ca_file: Annotated[
        Path | None,
        Meta(description="PEM file of the certificates to trust, besides the system's.", examples=["ca.pem"]),
    ] = None
    trust_env_proxy: Annotated[
        bool, Meta(description="Whether HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are obeyed.")
    ] = True
    max_reply_bytes: Annotated[Bytes, Meta(description="Largest reply that is taken from a provider.")] = 67_108_864
    connect_timeout_s: Annotated[Seconds, Meta(description="Time to reach a provider: TCP and TLS.")] = (
        _TIMEOUTS.connect_s
    )
    first_byte_timeout_s: Annotated[
        Seconds, Meta(description="Time from the request sent to the reply's first byte.")
    ] = _TIMEOUTS.first_byte_s
    idle_timeout_s: Annotated[Seconds, Meta(description="Longest silence between two pieces of a reply.")] = (
        _TIMEOUTS.idle_s
    )
    total_timeout_s: Annotated[Seconds, Meta(description="Time for a whole exchange with a provider.")] = (
        _TIMEOUTS.total_s
    )


class OverrideConfig(_Table, frozen=True):
    until: Annotated[Moment, Meta(description="When it ends.", examples=["2027-01-01T00:00:00Z"])]
    since: Annotated[
        Moment | None, Meta(description="When it begins; at once if not given.", examples=["2026-12-24T00:00:00Z"])
    ] = None
    capacity: Annotated[Tokens | None, Meta(description="Tokens of one period meanwhile.", examples=[2_000_000])] = None
    capacity_usd: Annotated[Usd | None, Meta(description="US dollars of one period meanwhile.", examples=[50.0])] = None
    capacity_audio_s: Annotated[
        Tokens | None, Meta(description="Seconds of audio of one period meanwhile.", examples=[7200])
    ] = None


class BudgetConfig(_Table, frozen=True):
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


class LimitConfig(_Table, frozen=True):
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


class PricingConfig(_Table, frozen=True):
    unknown: Annotated[
        Literal["deny", "estimate", "allow"],
        Meta(
            description="What becomes of a call to a remote model whose price is not known: it is refused, charged at "
            "its provider's dearest price and marked as estimated, or made with its cost told as unknown."
        ),
    ] = "estimate"


class PriceConfig(_Table, frozen=True):
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


class StoreConfig(_Table, frozen=True):
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


class RetryConfig(_Table, frozen=True):
    tries: Annotated[int, Meta(ge=1, le=20, description="Attempts at one provider before the next one.")] = 2
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="Attempts of one call over all providers.")] = 6
    base_delay_s: Annotated[
        float, Meta(ge=0, le=60, description="Wait before the second attempt; doubles each time.")
    ] = 0.25
    max_delay_s: Annotated[float, Meta(ge=0, le=600, description="Longest wait between two attempts.")] = 8.0


class DiscoveryConfig(_Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether local servers are looked for on their usual ports.")] = True
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000, description="Time for a local server to answer.")] = 300
    env_keys: Annotated[
        bool, Meta(description="Whether a provider's key in the environment, as OPENAI_API_KEY, turns it on.")
    ] = True
    refresh_s: Annotated[
        float,
        Meta(ge=0, le=86400, description="Time between two looks at what local providers serve; 0 looks only once."),
    ] = 30.0


class EmbeddedConfig(_Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether hoosh runs a small model of its own.")] = True
    model: Annotated[Text, Meta(description="Name of that model.")] = "smollm2-135m"
    embedding_model: Annotated[
        Text, Meta(description="Name of the model for embeddings; it is loaded by the first call that wants it.")
    ] = "all-minilm-l6-v2"
    model_path: Annotated[Path | None, Meta(description="GGUF file to run in its place.", examples=["model.gguf"])] = (
        None
    )
    context_tokens: Annotated[int, Meta(ge=256, le=1_048_576, description="Context of one call.")] = 4096
    parallel: Annotated[int, Meta(ge=1, le=64, description="Calls that run at once; more wait.")] = 2
    threads: Annotated[int, Meta(ge=0, le=1024, description="Threads to compute with; 0 takes the CPU quota.")] = 0
    preload: Annotated[bool, Meta(description="Whether it is loaded at the start, not at the first call.")] = True


class ResponsesConfig(_Table, frozen=True):
    persist: Annotated[
        bool, Meta(description="Whether they outlive the gateway: in `responses.db` beside the models.")
    ] = True
    keep_days: Annotated[int, Meta(ge=0, le=3650, description="Days that a response is kept; 0 keeps none.")] = 30
    max_entries: Annotated[int, Meta(ge=0, le=10_000_000, description="Responses that are kept; the oldest go.")] = (
        10_000
    )
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 40, description="What all of them may take; the oldest go.")] = 1 << 30


class LoggingConfig(_Table, frozen=True):
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe entry that is written.")
    ] = "info"
    format: Annotated[Literal["json", "text"], Meta(description="One JSON object or one line of text per entry.")] = (
        "json"
    )


class Config(_Table, frozen=True):
    """The whole file."""

    server: Annotated[ServerConfig, Meta(description="The HTTP server.")] = ServerConfig()
    keys: Annotated[tuple[KeyConfig, ...], Meta(description="Who may call. Without any, loopback only.")] = ()
    keys_store: Annotated[
        KeysStoreConfig, Meta(description="Keys that `hoosh keys` makes, and how keys are asked for.")
    ] = KeysStoreConfig()
    admin: Annotated[AdminConfig, Meta(description="The listener for administration.")] = AdminConfig()
    providers: Annotated[
        tuple[ProviderConfig, ...], Meta(description="Where models are served, besides what discovery finds.")
    ] = ()
    network: Annotated[NetworkConfig, Meta(description="How providers are reached.")] = NetworkConfig()
    aliases: Annotated[
        dict[str, Text],
        Meta(
            description='Other names for models: name = "model" or "provider/model".',
            examples=[{"fast": "openai/gpt-4.1-mini"}],
        ),
    ] = {}
    budgets: Annotated[
        tuple[BudgetConfig, ...], Meta(description="Pools of tokens, money and audio that calls are charged to.")
    ] = ()
    pricing: Annotated[PricingConfig, Meta(description="What calls are charged at.")] = PricingConfig()
    prices: Annotated[
        tuple[PriceConfig, ...],
        Meta(
            description="Prices of your own, local providers' too; the first that fits goes before the published one."
        ),
    ] = ()
    limits: Annotated[
        tuple[LimitConfig, ...],
        Meta(description="Rate limits on models, besides those of keys, budgets and providers."),
    ] = ()
    store: Annotated[StoreConfig, Meta(description="Where budgets and usage are kept.")] = StoreConfig()
    retry: Annotated[RetryConfig, Meta(description="What happens when a provider fails before its answer.")] = (
        RetryConfig()
    )
    discovery: Annotated[DiscoveryConfig, Meta(description="What is found without being configured.")] = (
        DiscoveryConfig()
    )
    embedded: Annotated[EmbeddedConfig, Meta(description="The model that hoosh runs itself.")] = EmbeddedConfig()
    responses: Annotated[
        ResponsesConfig, Meta(description="Responses (`/v1/responses`) that clients may come back to.")
    ] = ResponsesConfig()
    logging: Annotated[LoggingConfig, Meta(description="What is written to standard error.")] = LoggingConfig()
