"""Health pages. They read memory and never wait for a provider."""

from collections.abc import Callable

from hoosh import __version__
from hoosh.engine.catalog import Catalog
from hoosh.http.exchange import Exchange
from hoosh.ports import Clock


class Health:
    def __init__(
        self,
        catalog: Catalog,
        clock: Clock,
        check_interval_s: float,
        store: Callable[[], str] = lambda: "ok",
        place: tuple[int, int] = (0, 1),
    ) -> None:
        """`store` says how the store of budgets fares: "ok", or the code of its failure. `place` is which of how many
        workers this is.
        """
        self._worker, self._workers = place
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._check_interval_s = check_interval_s
        self._born_ns = clock.monotonic_ns()
        self._ready = True

    def drain(self) -> None:
        """From now on `/readyz` tells a load balancer to look elsewhere."""
        self._ready = False

    async def root(self, exchange: Exchange) -> None:
        await exchange.answer({"name": "hoosh", "version": __version__, "status": "ok"})

    async def live(self, exchange: Exchange) -> None:
        await exchange.answer({"status": "ok"})

    async def is_ready(self, exchange: Exchange) -> None:
        await exchange.answer({"status": "ready" if self._ready else "draining"}, 200 if self._ready else 503)

    async def health(self, exchange: Exchange) -> None:
        states = [self._catalog.standing(name).status for name in self._catalog.backends]
        healthy = sum(state != "unhealthy" for state in states)
        store = self._store()
        await exchange.answer(
            {
                "status": "ok" if healthy == len(states) and store == "ok" else "degraded",
                "version": __version__,
                "uptime_seconds": int((self._clock.monotonic_ns() - self._born_ns) / 1e9),
                "providers_configured": len(states),
                "providers_healthy": healthy,
                "store": store,
                "worker": self._worker,
                "workers": self._workers,
            }
        )

    async def providers(self, exchange: Exchange) -> None:
        now_ns = self._clock.monotonic_ns()
        shut = self._catalog.vitals.open_parts()
        rows = []
        for backend in self._catalog.backends.values():
            standing = self._catalog.standing(backend.name)
            age_ms = int((now_ns - standing.checked_ns) / 1e6) if standing.checked_ns else None
            rows.append(
                {
                    "provider": backend.name,
                    "type": backend.provider.name,
                    "base_url": backend.base_url,
                    "local": backend.local,
                    "enabled": True,
                    "status": standing.status,
                    "healthy": standing.status != "unhealthy",
                    "consecutive_failures": standing.failures,
                    "last_error": standing.last_error or None,
                    "latency_ms": round(standing.latency_ms, 1) if standing.latency_ms is not None else None,
                    "last_check_ms": age_ms,
                    "models": len(standing.models),
                    "circuits_open": [
                        {"name": name, "reason": vital.blocked, "retry_in_s": round(vital.retry_s, 1)}
                        for name, vital in shut.items()
                        if name.split("/")[0].split(" ")[0] == backend.name
                    ],
                }
            )
        await exchange.answer({"providers": rows, "check_interval_secs": self._check_interval_s})
