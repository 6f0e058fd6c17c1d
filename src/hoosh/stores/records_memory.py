"""Records in this process: gone at its end."""

from collections.abc import Mapping


class MemoryRecords:
    """ports.Records."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, bytes]] = {}
        self._version = 0

    async def put(self, kind: str, identity: str, body: bytes) -> None:
        self._kept.setdefault(kind, {})[identity] = body
        self._version += 1

    async def get_all(self, kind: str) -> Mapping[str, bytes]:
        return dict(sorted(self._kept.get(kind, {}).items()))

    async def drop(self, kind: str, identity: str) -> bool:
        found = self._kept.get(kind, {}).pop(identity, None) is not None
        self._version += found
        return found

    async def version(self) -> int:
        return self._version

    async def close(self) -> None:
        self._kept.clear()
