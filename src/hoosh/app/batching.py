"""Files and batches, wired: where they are kept, and who runs them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hoosh.app.stores import database_of
from hoosh.config.schema import Config
from hoosh.dialects import ClientDialect
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.batch_holds import BatchHolds
from hoosh.engine.key_owners import KeyOwners
from hoosh.http.batches.asking import Asking
from hoosh.http.batches.pages import Batches
from hoosh.http.batches.run import Run
from hoosh.http.batches.runner import Runner
from hoosh.http.batches.work import Rules, Work
from hoosh.http.files import FileRules, Files
from hoosh.http.inference import Inference
from hoosh.http.routes import Endpoint, Route
from hoosh.ports import Clock
from hoosh.stores.batches import TableBatches, Tables
from hoosh.stores.postgres.batches import PostgresTables
from hoosh.stores.sqlite.batches import FileTables, MemoryTables


class Batching:
    """All of one process's batches. `routes` are there after `open`."""

    def __init__(self, config: Config, directory: Path, clock: Clock, gateway: str) -> None:
        """`gateway` is this process's name in the ledger."""
        self._config = config
        self._clock = clock
        self._store = TableBatches(_tables(config, directory, gateway))
        self._runner: Runner | None = None

    def open(
        self, answering: Sequence[Route], inference: Inference, holds: BatchHolds, owners: KeyOwners
    ) -> Sequence[Route]:
        """`answering` are the routes that lines may ask."""
        wanted = self._config.batches
        if not wanted.enabled:
            return ()
        line_bytes, keep_s = self._config.server.body_limit_bytes, wanted.keep_days * 86_400
        rules = Rules(
            concurrency=wanted.concurrency,
            lines=wanted.max_lines,
            line_bytes=line_bytes,
            most_bytes=wanted.max_bytes,
            keep_s=keep_s,
        )
        file_rules = FileRules(
            file_bytes=wanted.max_file_bytes, line_bytes=line_bytes, most_bytes=wanted.max_bytes, keep_s=keep_s
        )
        asking = Asking(answering, owners, inference, self._clock)
        work = Work(batches=self._store, files=self._store, asking=asking, holds=holds, rules=rules, clock=self._clock)
        slots = asyncio.Semaphore(wanted.concurrency)
        self._runner = Runner(work, lambda batch: Run(batch, work, slots))
        files = Files(self._store, file_rules, self._clock)
        return _routes(files, Batches(self._store, self._store, self._clock, self._runner.wake))

    def start(self) -> None:
        """Run what there is to run."""
        if self._runner is not None:
            self._runner.start()

    def pause(self) -> None:
        if self._runner is not None:
            self._runner.pause()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.stop()
        await self._store.close()


def _tables(config: Config, directory: Path, gateway: str) -> Tables:
    match config.store.kind:
        case "memory":
            return MemoryTables()
        case "postgres":
            return PostgresTables(database_of(config), gateway)
        case "sqlite" | "redis":
            return FileTables(directory / "batches.db")


def _routes(files: Files, batches: Batches) -> Sequence[Route]:
    def route(name: str, method: str, path: str, endpoint: Endpoint, dialect: ClientDialect = DIALECT) -> Route:
        return Route(method=method, path=path, endpoint=endpoint, name=name, dialect=dialect)

    return (
        route("files", "POST", "/v1/files", files.create),
        route("files", "GET", "/v1/files", files.index),
        route("files", "GET", "/v1/files/*", files.show),
        route("files", "DELETE", "/v1/files/*", files.delete),
        route("batches", "POST", "/v1/batches", batches.create),
        route("batches", "GET", "/v1/batches", batches.index),
        route("batches", "GET", "/v1/batches/*", batches.show),
        route("batches", "POST", "/v1/batches/*", batches.cancel),
    )
