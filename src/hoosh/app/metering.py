"""What /metrics tells, wired: what this process counts, what its parts are like now, and what its siblings told."""

import asyncio
import logging
import platform
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hoosh import __version__
from hoosh.app.place import Place
from hoosh.core.call import Receipt, Ticket
from hoosh.core.errors import HooshError, StoreFailed
from hoosh.core.ledger import UNLIMITED
from hoosh.core.plan import Target
from hoosh.core.pool import PoolView
from hoosh.core.turned_away import TurnedAway
from hoosh.engine.caching import Cached
from hoosh.engine.catalog import Catalog
from hoosh.engine.engine import Engine
from hoosh.engine.reservations import views
from hoosh.http.metrics import metrics_route
from hoosh.ports import GateJournal
from hoosh.stores.presence import Presence
from hoosh.telemetry.families import CONTENT_TYPE, Numbers, Rows, exposition, merged
from hoosh.telemetry.metrics import Metrics
from hoosh.telemetry.process import LoopLag, most_fds, open_fds, resident_bytes
from hoosh.telemetry.siblings import Siblings

if TYPE_CHECKING:
    from hoosh.app.budgets import Budgeting

# How old the numbers of another worker may be.
TELL_S = 1.0
# A scrape does not wait for longer for a store, and then has no pools.
POOLS_S = 2.0
# Those of the configuration; keys may have any number of pools of their own.
MAX_POOLS = 200
STATES = ("unknown", "healthy", "unhealthy")
log = logging.getLogger("hoosh.metrics")


class Metering:
    """Beside the log: ports.Journal and ports.Observer, http.routes.Watcher. `engine` and `cached` come later."""

    def __init__(self, journal: GateJournal, catalog: Catalog, budgeting: "Budgeting", place: Place) -> None:
        self._journal = journal
        self._catalog = catalog
        self._budgeting = budgeting
        self._place = place
        self._metrics = Metrics(self._is_known)
        self._siblings = Siblings(place.shared, place.index, place.count) if place.shared else None
        self._before = self._siblings.inherited() if self._siblings else {}
        self._lag = LoopLag(self._tell, TELL_S)
        self.engine: Engine | None = None
        self.cached: Cached | None = None
        self.route = metrics_route(CONTENT_TYPE, self.text)

    def start(self) -> None:
        self._tell()
        self._lag.start()

    def stop(self) -> None:
        self._lag.stop()
        self._tell()

    # What is heard

    def note(self, receipt: Receipt) -> None:
        self._journal.note(receipt)
        self._metrics.note(receipt)

    def answered(self, ticket: Ticket, first_event_s: float) -> None:
        self._catalog.answered(ticket, first_event_s)

    def ended(self, ticket: Ticket, error: HooshError | None) -> None:
        self._catalog.ended(ticket, error)
        self._metrics.ended(ticket, error)

    def error(self, route: str, code: str) -> None:
        self._metrics.error(route, code)

    def refused(self, turned_away: TurnedAway) -> None:
        self._journal.refused(turned_away)

    # What is told

    async def text(self) -> bytes:
        pools = await self._pools()
        counts, now = self._counts(), self._now()
        parts: list[Numbers] = [counts, now]
        if self._siblings is not None:
            self._siblings.tell(counts, now)
            parts += self._siblings.others()
        return exposition(merged(parts) | pools)

    def _tell(self) -> None:
        pressure = self.engine.world.pressure if self.engine else None
        if pressure is not None:
            pressure.measured(open_fds(), most_fds(), self._lag.least_s)
        if self._siblings is not None:
            self._siblings.tell(self._counts(), self._now())

    def _counts(self) -> Numbers:
        admission = self.engine.world.admission if self.engine else None
        shed: Rows = {(reason,): [n] for reason, n in admission.shedding.counts.items()} if admission else {}
        counted = {**self._metrics.numbers(), "hoosh_shed_total": shed}
        return merged((self._before, counted, _cache_counts(self.cached)))

    def _now(self) -> Numbers:
        holds, failed = self._budgeting.escrow.open_holds, self._budgeting.courier.failed
        own = (str(self._place.index),)
        return {
            "hoosh_in_flight": _one(self.engine.running if self.engine else 0),
            **_cache_standing(self.cached),
            "hoosh_budget_holds": _one(len(holds)),
            "hoosh_budget_held_tokens": _one(sum(amount.tokens for amount in holds)),
            **self._queues(),
            **self._providers(),
            "hoosh_store_up": _one(0 if failed else 1),
            "hoosh_workers": _one(1),
            "hoosh_event_loop_lag_seconds": {own: [self._lag.worst_s]},
            "hoosh_process_resident_memory_bytes": _known(own, resident_bytes()),
            "hoosh_process_open_fds": _known(own, open_fds()),
            "hoosh_build_info": {(__version__, platform.python_version()): [1]},
        }

    def _queues(self) -> Numbers:
        admission = self.engine.world.admission if self.engine else None
        rows = admission.by_provider() if admission else {}
        return {
            "hoosh_concurrency_limit": {(name,): [limit] for name, (limit, _) in rows.items()},
            "hoosh_queue_depth": {(name,): [waiting] for name, (_, waiting) in rows.items()},
        }

    def _providers(self) -> Numbers:
        up: Rows = {}
        states: Rows = {}
        for name in self._catalog.backends:
            now = self._catalog.standing(name).status
            up[(name,)] = [int(now != "unhealthy")]
            states |= {(name, state): [int(state == now)] for state in dict.fromkeys((*STATES, now))}
        shut = Counter(name.partition("/")[0].partition(" ")[0] for name in self._catalog.vitals.open_parts())
        circuits: Rows = {(name,): [shut[name]] for name in self._catalog.backends}
        return {"hoosh_provider_up": up, "hoosh_provider_state": states, "hoosh_provider_circuits_open": circuits}

    async def _pools(self) -> Numbers:
        budgeting = self._budgeting
        states = [state for state in budgeting.pools.states if state.pool.origin == "config"][:MAX_POOLS]
        found: Sequence[PoolView] = ()
        with suppress(StoreFailed, TimeoutError):
            async with asyncio.timeout(POOLS_S):
                found = await views(states, budgeting.ledger, budgeting.courier.now_ms() // 1000)
        tokens = [view for view in found if view.capacity != UNLIMITED]
        money = [view for view in found if view.capacity_micros != UNLIMITED]
        return {
            "hoosh_pool_used_tokens": {(view.name,): [view.used] for view in found},
            "hoosh_pool_held_tokens": {(view.name,): [view.reserved] for view in found},
            "hoosh_pool_ceiling_tokens": {(view.name,): [view.capacity] for view in tokens},
            "hoosh_pool_used_micro_usd": {(view.name,): [view.used_micros] for view in found},
            "hoosh_pool_ceiling_micro_usd": {(view.name,): [view.capacity_micros] for view in money},
            "hoosh_pool_used_percent": {(view.name,): [_percent(view)] for view in found if view in (*tokens, *money)},
        }

    def _is_known(self, target: Target) -> bool:
        """Listed by its provider, or named as it is by the configuration."""
        backend = self._catalog.backends[target.provider]
        return target.model in backend.models or target.model in self._catalog.standing(target.provider).models


def _cache_counts(cached: Cached | None) -> Numbers:
    if cached is None:
        return {}
    counts = cached.counts
    return {
        "hoosh_cache_hits_total": _one(counts["hit"]),
        "hoosh_cache_joined_total": _one(counts["joined"]),
        "hoosh_cache_misses_total": _one(counts["miss"]),
        "hoosh_cache_evictions_total": _one(cached.memory.evictions),
    }


def _cache_standing(cached: Cached | None) -> Numbers:
    if cached is None:
        return {}
    standing = cached.memory.standing
    return {"hoosh_cache_entries": _one(standing.entries), "hoosh_cache_bytes": _one(standing.size_bytes)}


def _one(value: float) -> Rows:
    return {(): [value]}


def _known(labels: tuple[str, ...], value: int | None) -> Rows:
    return {} if value is None else {labels: [value]}


def _percent(view: PoolView) -> float:
    meters = ((view.used, view.capacity), (view.used_micros, view.capacity_micros))
    return max(100.0 if not ceiling else 100 * used / ceiling for used, ceiling in meters if ceiling != UNLIMITED)


@contextmanager
def shared_counts(directory: Path) -> Iterator[Path | None]:
    """A folder in which the workers of this process tell each other what they count; None where there is no room for
    one, and then each tells of itself alone. What the dead left behind goes.
    """
    presence = Presence(directory, secrets.token_hex(8))
    try:
        presence.come()
    except OSError as error:
        log.warning("workers cannot tell each other their metrics: %s", error.strerror)
        yield None
        return
    for left in directory.iterdir():
        if left.is_dir() and presence.is_dead(left.name):
            shutil.rmtree(left, ignore_errors=True)
    shared = directory / presence.name
    try:
        yield shared
    finally:
        shutil.rmtree(shared, ignore_errors=True)
        presence.leave()
