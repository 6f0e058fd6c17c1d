"""Routes, wired: from the configuration's tables to the engine's words."""

from collections.abc import Container

import msgspec

from hoosh.config.routing import RouteConfig, WhenConfig
from hoosh.config.schema import Config
from hoosh.core.asked import Operation
from hoosh.core.money import micros_of_usd
from hoosh.core.plan import Plan
from hoosh.core.routing import Leg, Route, When
from hoosh.engine.router import Rules
from hoosh.policy.breaker import BreakerRules
from hoosh.policy.retry_budget import RetryBudget


def rules(config: Config, embedded: Container[str]) -> Rules:
    talker = config.embedded.model
    names: dict[Operation, str] = {"chat": talker, "complete": talker, "embed": config.embedded.embedding_model}
    fallback = Route(strategy=config.routing.strategy, sticky=config.routing.sticky, plan=_plan(config))
    return Rules(
        aliases=config.aliases,
        default_models={operation: name for operation, name in names.items() if name in embedded},
        routes=tuple(_route(entry, fallback) for entry in config.routes),
        fallback=fallback,
    )


def breaker_rules(config: Config) -> BreakerRules:
    health = config.health
    return BreakerRules(
        enabled=health.enabled,
        failures=health.failures,
        percent=health.failure_percent,
        open_s=health.open_s,
        max_open_s=max(health.open_s, health.max_open_s),
    )


def retry_budget(config: Config) -> RetryBudget:
    return RetryBudget(part=config.retry.budget_percent / 100)


def _plan(config: Config) -> Plan:
    retry = config.retry
    return Plan(
        targets=(),
        tries=retry.tries,
        attempts=retry.max_attempts,
        base_s=retry.base_delay_s,
        max_s=retry.max_delay_s,
        total_s=retry.max_s,
        ambiguous=retry.ambiguous,
    )


def _route(entry: RouteConfig, fallback: Route) -> Route:
    plan = msgspec.structs.replace(
        fallback.plan,
        total_s=entry.max_s or fallback.plan.total_s,
        max_micros=micros_of_usd(entry.max_cost_usd) if entry.max_cost_usd else 0,
        hedge_s=entry.hedge_after_s or 0.0,
    )
    legs = tuple(
        Leg(model=leg.model, tier=leg.tier, weight=leg.weight, context_tokens=leg.context_tokens or 0)
        for leg in entry.targets
    )
    return Route(
        name=entry.name,
        models=entry.models,
        when=_when(entry.when),
        strategy=entry.strategy or fallback.strategy,
        legs=legs,
        locality=entry.locality,
        sticky=entry.sticky or fallback.sticky,
        fallback_on=entry.fallback_on,
        plan=plan,
    )


def _when(entry: WhenConfig) -> When:
    return When(**{name: getattr(entry, name) for name in entry.__struct_fields__})
