"""Budgets, wired: pools of the configuration, the store that the ledger is in, and who carries lines to it."""

import os
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hoosh.app.stores import ledger_of
from hoosh.config.schema import Config
from hoosh.config.spending import BudgetConfig, OverrideConfig
from hoosh.core.errors import ConfigError
from hoosh.core.ledger import UNLIMITED, Amount
from hoosh.core.money import micros_of_usd
from hoosh.core.pool import Override, Period, Pool, pool_of_key
from hoosh.core.principal import KeyBudget
from hoosh.core.stored_key import StoredKey
from hoosh.engine.courier import Courier, Manner, replay
from hoosh.engine.escrow import DEFAULT_POOL, Escrow
from hoosh.engine.pools import Pools
from hoosh.engine.reservations import Reservations
from hoosh.http.routes import Route
from hoosh.http.tokens import Tokens
from hoosh.http.usage import UsagePages
from hoosh.ports import Clock, Ledger
from hoosh.stores.spool import SpoolFile, left_behind

PERIODS: tuple[Period, ...] = ("none", "hour", "day", "week", "month")
ALERTS = (80, 95)


class Budgeting:
    """All of one process's budgets; `open` before the first call."""

    def __init__(self, config: Config, directory: Path, clock: Clock, processes: int = 1) -> None:
        self._config = config
        self._configured = pools_of(config)
        self._keys: Sequence[StoredKey] = ()
        self.pools = Pools(self._configured, zone)
        self.ledger = ledger_of(config, directory)
        gateway = f"{os.getpid():x}-{secrets.token_hex(6)}"
        self._journals = directory / "journals"
        is_lasting = config.store.kind != "memory" and config.store.durability == "balanced"
        self._spool = SpoolFile(self._journals, gateway) if is_lasting else None
        self.courier = Courier(
            self.ledger,
            self.pools,
            clock,
            gateway,
            spool=self._spool,
            manner=Manner(lease_s=config.store.lease_s, keep_s=config.store.keep_days * 86_400, gateways=processes),
        )
        self.escrow = Escrow(self.ledger, self.pools, self.courier, durable=config.store.durability == "durable")

    async def open(self) -> None:
        """Raises StoreFailed."""
        await tell_journals(self.ledger, self._journals)
        await self.courier.open()

    def define(self, config: Config, pools: Sequence[Pool]) -> None:
        """`pools` are those of the file from now on."""
        self._config = config
        self._configured = pools
        self.adopt(self._keys)

    def adopt(self, keys: Iterable[StoredKey]) -> None:
        """Keys that have a budget of their own get a pool each, beside those of the file."""
        self._keys = tuple(keys)
        pools = {pool.name: pool for pool in self._configured}
        for key in self._keys:
            if key.terms.budget is not None:
                pools[pool_of_key(key.id)] = _pool_of(key, key.terms.budget)
        self.pools.define(pools)

    def routes(self) -> Sequence[Route]:
        tokens = Tokens(Reservations(self.escrow, self.ledger, self.courier))
        usage = UsagePages(self.ledger, self.courier)
        return (
            Route(method="POST", path="/v1/tokens/check", endpoint=tokens.check, name="tokens"),
            Route(method="POST", path="/v1/tokens/reserve", endpoint=tokens.reserve, name="tokens"),
            Route(method="POST", path="/v1/tokens/report", endpoint=tokens.report, name="tokens"),
            Route(method="POST", path="/v1/tokens/release", endpoint=tokens.release, name="tokens"),
            Route(method="GET", path="/v1/tokens/pools", endpoint=tokens.pools, name="tokens"),
            Route(method="GET", path="/v1/tokens/pools/*", endpoint=tokens.pool, name="tokens"),
            Route(method="GET", path="/v1/usage", endpoint=usage.usage, name="usage"),
            Route(method="GET", path="/v1/costs", endpoint=usage.costs, name="usage"),
        )

    async def close(self, limit_s: float) -> None:
        """What the store could not be told stays in the journal, for the next gateway."""
        is_told = await self.courier.close(limit_s)
        if self._spool is not None:
            self._spool.close(keep=not is_told)
        await self.ledger.close()


async def tell_journals(ledger: Ledger, directory: Path) -> None:
    """What gateways left behind that died on this machine. Raises StoreFailed."""
    epoch = await ledger.open()
    for left in left_behind(directory):
        await replay(ledger, epoch, left)
        left.remove()


def pools_of(config: Config) -> Sequence[Pool]:
    """Those of the file, and "default", which meters all and limits nobody where the file says nothing of it."""
    found = [_pool(budget) for budget in config.budgets]
    if all(pool.name != DEFAULT_POOL for pool in found):
        found.append(Pool(name=DEFAULT_POOL))
    return found


def _pool_of(key: StoredKey, budget: KeyBudget) -> Pool:
    tokens, micros_usd = budget.capacity_tokens, budget.capacity_usd_micros
    ceiling = Amount(
        UNLIMITED if tokens is None else tokens, UNLIMITED if micros_usd is None else micros_usd, UNLIMITED
    )
    period: Period = next((known for known in PERIODS if known == budget.period), "none")
    return Pool(
        name=pool_of_key(key.id), ceiling=ceiling, period=period, created_s=key.created_s, alerts=ALERTS, origin="key"
    )


def zone(name: str) -> tzinfo:
    """Raises ConfigError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f'time zone "{name}" is not known on this machine') from None


def _pool(budget: BudgetConfig) -> Pool:
    return Pool(
        name=budget.name,
        ceiling=_ceiling(budget),
        parent=budget.parent,
        agent=budget.agent,
        period=budget.period,
        rolling=budget.rolling,
        time_zone=budget.time_zone,
        carry_percent=budget.carry_over_percent,
        alerts=budget.alert_percents,
        hard=budget.hard,
        unbounded=budget.unbounded,
        output_tokens=budget.default_max_tokens,
        top_up=budget.top_up,
        overrides=tuple(
            Override(_ceiling(other), _unix_s(other.until), _unix_s(other.since) if other.since else 0)
            for other in budget.overrides
        ),
    )


def _ceiling(limits: BudgetConfig | OverrideConfig) -> Amount:
    return Amount(
        UNLIMITED if limits.capacity is None else limits.capacity,
        UNLIMITED if limits.capacity_usd is None else micros_of_usd(limits.capacity_usd),
        UNLIMITED if limits.capacity_audio_s is None else limits.capacity_audio_s * 1000,
    )


def _unix_s(moment: datetime) -> int:
    return int(moment.timestamp())
