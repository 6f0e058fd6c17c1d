"""Answers in this process: gone at its end."""

from collections import OrderedDict

from hoosh.core.cached import CacheStanding, KeptAnswer
from hoosh.policy.cache_key import is_of


class MemoryAnswers:
    """ports.AnswerMemory."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, KeptAnswer] = OrderedDict()  # those used longest ago first
        self._size_bytes = 0
        self.evictions = 0

    @property
    def standing(self) -> CacheStanding:
        return CacheStanding(len(self._kept), self._size_bytes)

    def get(self, key: bytes, now_s: int) -> KeptAnswer | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.is_over(now_s):
            self.drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, kept: KeptAnswer, max_bytes: int) -> None:
        self.drop(kept.key)
        self._kept[kept.key] = kept
        self._size_bytes += kept.size_bytes
        while self._size_bytes > max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._size_bytes -= oldest.size_bytes
            self.evictions += 1

    def drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        self._size_bytes -= kept.size_bytes if kept else 0

    def purge(self, tenant: str | None, model: str) -> int:
        gone = [key for key, kept in self._kept.items() if tenant in (None, kept.tenant) and is_of(kept, model)]
        for key in gone:
            self.drop(key)
        return len(gone)

    def of_tenant(self, tenant: str) -> CacheStanding:
        sizes = [kept.size_bytes for kept in self._kept.values() if kept.tenant == tenant]
        return CacheStanding(len(sizes), sum(sizes))
