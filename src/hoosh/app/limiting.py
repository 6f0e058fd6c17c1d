"""The rate limits of the configuration."""

from collections.abc import Mapping, Sequence

from hoosh.config.schema import Config, ProviderConfig
from hoosh.config.spending import BudgetConfig, LimitConfig
from hoosh.core.limit import Limit
from hoosh.engine.limiting import Limiting, ModelLimit
from hoosh.ports import Limits

# What guards a provider lets a tenth of a minute's requests come at once; a caller may have all of its minute at once.
UPSTREAM_BURST_PART = 10


def limiting(config: Config, limits: Limits) -> Limiting:
    chains = _chains(config.budgets)
    return Limiting(
        limits,
        pools=chains,
        agents={
            budget.agent: chains[budget.name] for budget in config.budgets if budget.agent and budget.name in chains
        },
        models=[_of_model(row) for row in config.limits],
    )


def of_provider(entry: ProviderConfig, *, queues: bool) -> Limit | None:
    """With `queues` calls beyond `max_concurrency` wait for their turn (engine/admission.py)."""
    rpm, tpm, concurrency = entry.rate_limit_rpm, entry.rate_limit_tpm, None if queues else entry.max_concurrency
    if rpm is tpm is concurrency is None:
        return None
    return Limit("provider", entry.name, rpm, tpm, concurrency, UPSTREAM_BURST_PART)


def _of_model(row: LimitConfig) -> ModelLimit:
    name = f"{row.provider}/{row.model}" if row.provider else row.model
    limit = Limit("model", name, row.rpm, row.tpm, row.concurrency, UPSTREAM_BURST_PART)
    return ModelLimit(row.model, row.provider, limit)


def _chains(budgets: Sequence[BudgetConfig]) -> Mapping[str, tuple[Limit, ...]]:
    """What limits the calls of each pool: its own limit and those of all above it."""
    by_name = {budget.name: budget for budget in budgets}
    chains: dict[str, tuple[Limit, ...]] = {}
    for budget in budgets:
        path: dict[str, Limit | None] = {}
        at: BudgetConfig | None = budget
        while at is not None and at.name not in path:
            path[at.name] = _of_budget(at)
            at = by_name.get(at.parent)
        if found := tuple(limit for limit in path.values() if limit is not None):
            chains[budget.name] = found
    return chains


def _of_budget(budget: BudgetConfig) -> Limit | None:
    if budget.rpm is budget.tpm is budget.concurrency is None:
        return None
    return Limit("pool", budget.name, budget.rpm, budget.tpm, budget.concurrency)
