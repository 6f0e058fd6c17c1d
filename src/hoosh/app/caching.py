"""The response cache, wired."""

from collections.abc import Sequence
from pathlib import Path

from hoosh.app.stores import answers_of
from hoosh.config.schema import Config
from hoosh.core.cached import CacheRules
from hoosh.engine.caching import Cached, Caching
from hoosh.http.cache import CachePages
from hoosh.http.routes import Route
from hoosh.ports import AnswerStore, Clock
from hoosh.stores.answers_memory import MemoryAnswers


class CacheRoom:
    """What one process keeps of answers, whatever the configuration says of it now."""

    def __init__(self, config: Config, directory: Path, clock: Clock) -> None:
        self._config = config
        self._directory = directory
        self._store: AnswerStore | None = None
        self._now: Caching | None = None
        self.cached = Cached(MemoryAnswers(), clock)

    def caching(self, config: Config) -> Caching | None:
        """None where nothing is to be kept. Raises ConfigError where what it needs is not installed."""
        wanted = config.cache
        if not wanted.enabled:
            return None
        if wanted.shared == "store" and self._store is None:
            self._store = answers_of(self._config, self._directory)  # which store that is, is fixed
        rules = CacheRules(
            scope=wanted.scope,
            sampled=wanted.sampled,
            tool_calls=wanted.tool_calls,
            ttl_s=wanted.ttl_s,
            max_bytes=wanted.max_bytes,
            max_entry_bytes=wanted.max_entry_bytes,
        )
        return Caching(rules, self.cached, self._store if wanted.shared == "store" else None)

    def define(self, config: Config) -> None:
        self._now = self.caching(config)
        if not config.cache.enabled:
            self.cached.memory.purge(None, "*")

    def routes(self) -> Sequence[Route]:
        pages = CachePages(lambda: self._now)
        return (
            Route(method="GET", path="/v1/cache/stats", endpoint=pages.stats, name="cache"),
            Route(method="DELETE", path="/v1/cache", endpoint=pages.purge, name="cache"),
        )

    def admin_routes(self) -> Sequence[Route]:
        pages = CachePages(lambda: self._now)
        return (Route(method="POST", path="/admin/cache/purge", endpoint=pages.purge_all, name="admin"),)

    async def close(self) -> None:
        await self.cached.close()
        if self._store is not None:
            await self._store.close()
