"""How a call finds its provider, and what happens when one fails."""

from typing import Annotated, Literal

from msgspec import Meta

from hoosh.config.words import Count, Name, Seconds, Table, Text, Usd

StrategyName = Literal["priority", "round_robin", "lowest_latency", "least_busy", "cheapest", "local_first", "direct"]
StickyName = Literal["off", "session", "prefix"]
Percent = Annotated[int, Meta(ge=0, le=100_000)]


class RoutingConfig(Table, frozen=True):
    strategy: Annotated[
        StrategyName,
        Meta(description="How providers are chosen that serve a model and have the same priority (docs/routing.md)."),
    ] = "priority"
    sticky: Annotated[
        StickyName,
        Meta(
            description="Whether calls of one session go to the same provider where the strategy leaves a choice: by "
            "what the client calls it, or also by how its conversation begins."
        ),
    ] = "session"
    keep_decisions: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Decisions of past calls that can be asked for.")
    ] = 10_000


class TargetConfig(Table, frozen=True):
    model: Annotated[
        Text, Meta(description='Where the call goes: "provider/model", or a model that some serve.', examples=["a/b"])
    ]
    tier: Annotated[int, Meta(ge=0, le=1000, description="Lower tiers are used first, the next when none is left.")] = 0
    weight: Annotated[int, Meta(ge=0, le=1_000_000, description="Share of the calls in its tier; 0 for none.")] = 1
    context_tokens: Annotated[
        Count | None, Meta(description="What the model can read, if it is known.", examples=[128_000])
    ] = None


class WhenConfig(Table, frozen=True):
    keys: Annotated[tuple[Text, ...], Meta(description="Globs of names of keys.", examples=[["batch-*"]])] = ()
    pools: Annotated[tuple[Text, ...], Meta(description="Globs of budgets that the call is charged to.")] = ()
    agents: Annotated[tuple[Text, ...], Meta(description="Globs of agents (`x-agent-id`).")] = ()
    tags: Annotated[tuple[Text, ...], Meta(description="Words that `x-hoosh-tags` has to say, all of them.")] = ()
    operations: Annotated[
        tuple[Literal["chat", "complete", "embed", "rerank", "moderate", "count"], ...],
        Meta(description="What is asked."),
    ] = ()
    needs: Annotated[
        tuple[Literal["tools", "images", "files", "json_schema", "logprobs", "reasoning", "several_answers"], ...],
        Meta(description="What the request needs of a model, all of it."),
    ] = ()
    local_only: Annotated[
        bool | None, Meta(description="Whether the request asks for local providers only.", examples=[True])
    ] = None
    stream: Annotated[bool | None, Meta(description="Whether it asks for a stream.", examples=[True])] = None
    input_tokens_from: Annotated[
        Count | None, Meta(description="From so many tokens of input on, as estimated.", examples=[32_000])
    ] = None
    input_tokens_below: Annotated[
        Count | None, Meta(description="Below so many tokens of input.", examples=[32_000])
    ] = None
    budget_percent_from: Annotated[
        Percent | None, Meta(description="From so much of its budget on, used and held.", examples=[80])
    ] = None
    budget_percent_below: Annotated[Percent | None, Meta(description="Below so much of its budget.", examples=[80])] = (
        None
    )


class RouteConfig(Table, frozen=True):
    name: Annotated[Name, Meta(description="Name of the route, for logs and explanations.", examples=["fast"])]
    models: Annotated[
        tuple[Text, ...],
        Meta(min_length=1, description="Globs of the names that clients ask for.", examples=[["fast", "gpt-4o*"]]),
    ]
    when: Annotated[
        WhenConfig, Meta(description="Conditions; all that are given must hold.", examples=[{"tags": ["gold"]}])
    ] = WhenConfig()
    targets: Annotated[
        tuple[TargetConfig, ...],
        Meta(
            description="Where calls may go, in order; whoever serves the model asked for if there are none.",
            examples=[[{"model": "openai/gpt-4.1-mini"}]],
        ),
    ] = ()
    strategy: Annotated[
        StrategyName | None, Meta(description="As `routing.strategy`, for this route.", examples=["round_robin"])
    ] = None
    sticky: Annotated[
        StickyName | None, Meta(description="As `routing.sticky`, for this route.", examples=["prefix"])
    ] = None
    locality: Annotated[
        Literal["any", "only", "never"], Meta(description="Whether it may use local providers, or must.")
    ] = "any"
    fallback_on: Annotated[
        tuple[Literal["context", "content"], ...],
        Meta(description="What one target refuses and the next is asked: too long a prompt, or its content."),
    ] = ("context",)
    hedge_after_s: Annotated[
        Seconds | None,
        Meta(
            description="Time without a first token after which the next target is asked, too; the slower answer is "
            "thrown away, and charged.",
            examples=[2.0],
        ),
    ] = None
    max_cost_usd: Annotated[
        Usd | None, Meta(description="What one call may cost at most, all its attempts together.", examples=[0.5])
    ] = None
    max_s: Annotated[Seconds | None, Meta(description="As `retry.max_s`, for this route.", examples=[30.0])] = None


class RetryConfig(Table, frozen=True):
    tries: Annotated[int, Meta(ge=1, le=20, description="Attempts at one provider before the next one.")] = 2
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="Attempts of one call over all providers.")] = 6
    base_delay_s: Annotated[
        float, Meta(ge=0, le=60, description="Wait before the second attempt, half of it by chance; doubles each time.")
    ] = 0.25
    max_delay_s: Annotated[float, Meta(ge=0, le=600, description="Longest wait between two attempts.")] = 8.0
    max_s: Annotated[Seconds, Meta(description="Time after which a call makes no further attempt.")] = 600.0
    budget_percent: Annotated[
        int, Meta(ge=0, le=1000, description="Further attempts that all calls may make, as a part of their number.")
    ] = 10
    ambiguous: Annotated[
        Literal["never", "free", "always"],
        Meta(
            description="Whether a call is made again that a provider may have answered and charged without our "
            "hearing of it: never, where that costs nothing, or always."
        ),
    ] = "free"


class HealthConfig(Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether a provider that fails is left alone at all.")] = True
    failures: Annotated[Count, Meta(description="Failures in a row after which a provider is left alone.")] = 5
    failure_percent: Annotated[
        int, Meta(ge=1, le=100, description="Or more than this part of at least 20 calls within 10 s.")
    ] = 50
    open_s: Annotated[Seconds, Meta(description="For how long, the first time; then one call tries it.")] = 1.0
    max_open_s: Annotated[Seconds, Meta(description="It doubles up to this; for local providers up to 2 s.")] = 30.0
