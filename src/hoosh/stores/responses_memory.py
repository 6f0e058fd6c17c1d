"""Responses in this process: gone at its end."""

from collections import OrderedDict
from collections.abc import Sequence

from hoosh.core.kept import Bounds, KeptResponse
from hoosh.ports import Clock


class MemoryResponses:
    """ports.Responses."""

    def __init__(self, bounds: Bounds, clock: Clock) -> None:
        self._bounds = bounds
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], KeptResponse] = OrderedDict()
        self._size_bytes = 0

    async def put(self, kept: KeptResponse) -> None:
        await self.drop(kept.owner, kept.id)
        self._kept[kept.owner, kept.id] = kept
        self._size_bytes += kept.size_bytes
        while self._kept and (
            len(self._kept) > self._bounds.entries
            or self._size_bytes > self._bounds.size_bytes
            or self._is_old(next(iter(self._kept.values())))
        ):
            _, oldest = self._kept.popitem(last=False)
            self._size_bytes -= oldest.size_bytes

    async def get(self, owner: str, response_id: str) -> KeptResponse | None:
        kept = self._kept.get((owner, response_id))
        return None if kept is None or self._is_old(kept) else kept

    async def drop(self, owner: str, response_id: str) -> bool:
        found = await self.get(owner, response_id)
        kept = self._kept.pop((owner, response_id), None)
        self._size_bytes -= kept.size_bytes if kept else 0
        return found is not None

    async def end(self, owner: str, response_id: str) -> bool:  # noqa: ARG002 - there is no other process
        return False

    async def ending(self) -> Sequence[tuple[str, str]]:
        return ()

    async def close(self) -> None:
        self._kept.clear()

    def _is_old(self, kept: KeptResponse) -> bool:
        return self._clock.unix_s() - kept.created_s >= self._bounds.age_s
