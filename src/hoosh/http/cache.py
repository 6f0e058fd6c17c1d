"""The pages of the response cache: how it does, and how it forgets."""

from collections.abc import Callable
from urllib.parse import parse_qs

from hoosh.core.errors import Forbidden, HooshError
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.engine.caching import Caching
from hoosh.http.exchange import Exchange
from hoosh.policy.cache_key import tenant_named


class CacheOff(HooshError):
    status = 409
    kind = "invalid_request_error"
    code = "cache_disabled"


class CachePages:
    """`now` is the cache as it is configured at the time."""

    def __init__(self, now: Callable[[], Caching | None]) -> None:
        self._now = now

    async def stats(self, exchange: Exchange) -> None:
        """Entries are the caller's own; how often they were asked for is this process's."""
        caching = self._now()
        if caching is None:
            await exchange.answer({"object": "cache.stats", "enabled": False})
            return
        own = caching.cached.memory.of_tenant(_tenant(caching, exchange.principal))
        counts = caching.cached.counts
        await exchange.answer(
            {
                "object": "cache.stats",
                "enabled": True,
                "scope": caching.rules.scope,
                "entries": own.entries,
                "bytes": own.size_bytes,
                "process": {
                    "hits": counts["hit"],
                    "joined": counts["joined"],
                    "misses": counts["miss"],
                    "evictions": caching.cached.memory.evictions,
                },
            }
        )

    async def purge(self, exchange: Exchange) -> None:
        """Of the caller's own answers those whose model matches `?model=`. Raises: CacheOff, Forbidden, StoreFailed."""
        caching = self._on()
        if caching.rules.scope == "global" and exchange.principal.key_id != ANONYMOUS.key_id:
            raise Forbidden("the cache is everybody's; its administrator purges it", param="scope")
        await _purge(caching, exchange, _tenant(caching, exchange.principal))

    async def purge_all(self, exchange: Exchange) -> None:
        """Raises: CacheOff, StoreFailed."""
        await _purge(self._on(), exchange, None)

    def _on(self) -> Caching:
        caching = self._now()
        if caching is None:
            raise CacheOff("the cache is not enabled (cache.enabled)")
        return caching


async def _purge(caching: Caching, exchange: Exchange, tenant: str | None) -> None:
    model = parse_qs(exchange.query.decode("latin-1")).get("model", ["*"])[0]
    purged = caching.cached.memory.purge(tenant, model)
    if caching.store is not None:
        purged = await caching.store.purge(tenant, model)
    await exchange.answer({"object": "cache.purged", "purged": purged, "model": model})


def _tenant(caching: Caching, principal: Principal) -> str:
    return tenant_named(caching.rules, principal.key_id, principal.pool)
