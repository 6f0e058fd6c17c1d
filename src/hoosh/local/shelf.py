"""The store and the engine as one shelf (ports.Shelf), for pages that show and change what lies on it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from hoosh.core.local_model import LocalModel
from hoosh.local.embedded import LocalEngine
from hoosh.local.store import ModelStore, Progress, StoredModel


class StoreShelf:
    """`context_tokens` is what one call to the engine may take; `files` are weights that lie outside the store, by the
    name that the configuration gives them.
    """

    def __init__(
        self,
        store: ModelStore,
        engines: Mapping[str, LocalEngine],
        context_tokens: int,
        files: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._engines = engines
        self._context_tokens = context_tokens
        self._files = files

    def models(self) -> Sequence[LocalModel]:
        stored = [self._model(stored) for stored in self._store.list() if stored.manifest.name not in self._files]
        return [*stored, *(self._file(name, path) for name, path in self._files.items() if path.is_file())]

    def pullable(self, name: str) -> str:
        model = self._store.known(name)
        return model.file_sha256 if model else ""

    def pull(self, name: str, progress: Callable[[int, int], None]) -> LocalModel:
        def report(at: Progress) -> None:
            progress(at.done_bytes, at.total_bytes)

        return self._model(self._store.pull(name, report))

    def remove(self, name: str) -> None:
        self._store.remove(name)

    def _file(self, name: str, path: Path) -> LocalModel:
        """Of such a file only its size is known; to hash gigabytes for a page would take minutes."""
        told = path.stat()
        return self._running(LocalModel(name=name, size_bytes=told.st_size, modified_s=int(told.st_mtime)))

    def _running(self, model: LocalModel) -> LocalModel:
        engine = self._engines.get(model.name)
        if engine is None:
            return model
        is_running = engine.state.phase == "ready"
        return msgspec.structs.replace(model, context_tokens=self._context_tokens, is_running=is_running)

    def _model(self, stored: StoredModel) -> LocalModel:
        manifest = stored.manifest
        model = LocalModel(
            name=manifest.name,
            size_bytes=manifest.size_bytes,
            sha256=manifest.sha256,
            licence=manifest.licence,
            description=manifest.description,
            modified_s=int(stored.path.stat().st_mtime),
        )
        return self._running(model)
