"""Every setting: its type, bounds, default and meaning stand here and nowhere else.

The file's validation, its JSON schema, its documentation and its example are all made from these structs.
The unit of a number is in its name.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hoosh.config.access import AdminConfig, KeyConfig, KeysStoreConfig
from hoosh.config.batches import BatchesConfig
from hoosh.config.caching import CacheConfig
from hoosh.config.overload import OverloadConfig
from hoosh.config.routing import HealthConfig, RetryConfig, RouteConfig, RoutingConfig
from hoosh.config.secret import Secret
from hoosh.config.spending import BudgetConfig, LimitConfig, PriceConfig, PricingConfig, StoreConfig
from hoosh.config.words import Bytes, Count, Name, PerMinute, Seconds, Table, Text, Tokens
from hoosh.core.wire import Timeouts

_TIMEOUTS = Timeouts()


class ServerConfig(Table, frozen=True):
    bind: Annotated[str, Meta(description="Address to listen on. Off loopback, keys are required.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 takes any free one.")] = 8088
    host: Annotated[
        str,
        Meta(
            description="Name that it may be called by without a key, besides loopback's.", examples=["ai.example.com"]
        ),
    ] = ""
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
    watch_config: Annotated[
        bool,
        Meta(description="Whether the configuration is read again when its file changes; by SIGHUP it always is."),
    ] = False
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Processes that serve the port together; they share budgets, keys and limits by the store.",
        ),
    ] = 1


class ProviderConfig(Table, frozen=True):
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
    api_keys: Annotated[
        tuple[Secret, ...],
        Meta(description="Further keys; they take turns.", examples=[["$OPENAI_API_KEY_2"]]),
    ] = ()
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


class NetworkConfig(Table, frozen=True):
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


class DiscoveryConfig(Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether local servers are looked for on their usual ports.")] = True
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000, description="Time for a local server to answer.")] = 300
    env_keys: Annotated[
        bool, Meta(description="Whether a provider's key in the environment, as OPENAI_API_KEY, turns it on.")
    ] = True
    refresh_s: Annotated[
        float,
        Meta(ge=0, le=86400, description="Time between two looks at what local providers serve; 0 looks only once."),
    ] = 30.0


class EmbeddedConfig(Table, frozen=True):
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


class ResponsesConfig(Table, frozen=True):
    persist: Annotated[
        bool, Meta(description="Whether they outlive the gateway: in `responses.db` beside the models.")
    ] = True
    keep_days: Annotated[int, Meta(ge=0, le=3650, description="Days that a response is kept; 0 keeps none.")] = 30
    max_entries: Annotated[int, Meta(ge=0, le=10_000_000, description="Responses that are kept; the oldest go.")] = (
        10_000
    )
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 40, description="What all of them may take; the oldest go.")] = 1 << 30


class LoggingConfig(Table, frozen=True):
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe entry that is written.")
    ] = "info"
    format: Annotated[Literal["json", "text"], Meta(description="One JSON object or one line of text per entry.")] = (
        "json"
    )


class Config(Table, frozen=True):
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
    ] = msgspec.field(default_factory=dict)
    routing: Annotated[RoutingConfig, Meta(description="How providers are chosen.")] = RoutingConfig()
    routes: Annotated[
        tuple[RouteConfig, ...],
        Meta(description="Ways of their own for some models; the first whose model and conditions fit is taken."),
    ] = ()
    health: Annotated[HealthConfig, Meta(description="When a provider that fails is left alone.")] = HealthConfig()
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
    cache: Annotated[CacheConfig, Meta(description="Answers that are given again to the same request.")] = CacheConfig()
    retry: Annotated[RetryConfig, Meta(description="What happens when a provider fails before its answer.")] = (
        RetryConfig()
    )
    overload: Annotated[
        OverloadConfig, Meta(description="Calls that are too many, for a provider or for a process.")
    ] = OverloadConfig()
    discovery: Annotated[DiscoveryConfig, Meta(description="What is found without being configured.")] = (
        DiscoveryConfig()
    )
    embedded: Annotated[EmbeddedConfig, Meta(description="The model that hoosh runs itself.")] = EmbeddedConfig()
    responses: Annotated[
        ResponsesConfig, Meta(description="Responses (`/v1/responses`) that clients may come back to.")
    ] = ResponsesConfig()
    batches: Annotated[BatchesConfig, Meta(description="Files and batches (`/v1/files`, `/v1/batches`).")] = (
        BatchesConfig()
    )
    logging: Annotated[LoggingConfig, Meta(description="What is written to standard error.")] = LoggingConfig()
