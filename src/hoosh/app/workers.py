"""The parent of several gateway processes on one port.

Law: it serves nothing itself. It holds the port and keeps the engines, starts a worker again that dies, passes on that
it shall end, and ends after all of them. If it is killed, the workers' input ends, and so do they.

The first worker starts alone: what keeps it from starting, a store of a later hoosh say, is told once and not by each.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from hoosh.app.engines import preload, supervisors
from hoosh.app.launch import CLOSE_S, COMMAND, FromWorker, Launch, Ready, Reload
from hoosh.app.metering import shared_counts
from hoosh.app.network import transport_settings
from hoosh.app.reloading import refuse, reload_on_signal, watching
from hoosh.config.checks import check_bind
from hoosh.config.load import load_text, read
from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError
from hoosh.http.listening import reserve
from hoosh.http.server import SIGNALS
from hoosh.local.remote import Facts, Fares, Wanted, find
from hoosh.local.store import ModelStore, default_root
from hoosh.local.supervisor import Supervisor
from hoosh.providers.registry import known_types
from hoosh.telemetry.log import set_up
from hoosh.transport.pool import HTTPTransport

# Before a worker that died is started again: the first time, and at most.
DELAY_S = 0.1
MAX_DELAY_S = 10.0
# Who lived this long did not die of how it was started.
LONG_LIFE_S = 60.0
LINE_BYTES = 1 << 20

log = logging.getLogger("hoosh.workers")
_decode = msgspec.json.Decoder(FromWorker).decode
_encode = msgspec.json.Encoder().encode


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve. `text` is the file at `path`: a worker that is started again means the same by it."""

    config: Config
    path: Path | None
    text: str
    environ: Mapping[str, str]


class Worker:
    """One place among the workers: a process, and whoever follows it there."""

    def __init__(self, launch: Launch, environ: Mapping[str, str], engines: Mapping[str, Supervisor]) -> None:
        self._launch = launch
        self._environ = environ
        self._engines = engines
        self._process: asyncio.subprocess.Process | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._is_up = False
        # What the first process says when it is ready; None if it never was.
        self.banner: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def keep(self, stopping: asyncio.Event) -> int:
        """Until `stopping`, or until the first process did not even start. The answer is an exit code."""
        delay_s = DELAY_S
        while True:
            began_s = time.monotonic()
            code = await self._live(stopping)
            if not self.banner.done():
                self.banner.set_result(None)
                return 0 if stopping.is_set() else _exit_code(code)
            if stopping.is_set():
                return _exit_code(code) if self._is_up else 0
            if time.monotonic() - began_s > LONG_LIFE_S:
                delay_s = DELAY_S
            log.error("worker %d %s; it is started again", self._launch.index, _end(code))
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await stopping.wait()
                    return 0
            delay_s = min(2 * delay_s, MAX_DELAY_S)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def reload(self, text: str) -> None:
        """Also for those that are started again later."""
        self._launch = msgspec.structs.replace(self._launch, text=text)
        self.tell(Reload(text))

    def tell(self, value: object) -> None:
        process = self._process
        if process is not None and process.returncode is None and process.stdin is not None:
            process.stdin.write(_encode(value) + b"\n")

    async def _live(self, stopping: asyncio.Event) -> int:
        """One process, from its start to its end."""
        self._is_up = False
        pipe = asyncio.subprocess.PIPE
        try:
            # A session of its own: Ctrl-C at a terminal goes to a whole group, and the end is to come from here alone.
            process = self._process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=pipe, stdout=pipe, env=self._environ, start_new_session=True, limit=LINE_BYTES
            )
        except OSError as error:  # no room for a process now
            log.error("worker %d cannot be started: %s", self._launch.index, error.strerror)  # noqa: TRY400
            return 1
        self.tell(self._launch)
        for name, engine in self._engines.items():
            self.tell(Fares(name, engine.state))
        if stopping.is_set():
            self.signal(signal.SIGTERM)
        if process.stdout is not None:
            while (line := await process.stdout.readline()).endswith(b"\n"):
                self._hear(_decode(line))
        code = await process.wait()
        for task in self._answers:
            task.cancel()
        return code

    def _hear(self, said: FromWorker) -> None:
        match said:
            case Ready(banner):
                self._is_up = True
                if not self.banner.done():
                    self.banner.set_result(banner)
            case Wanted():
                task = asyncio.create_task(self._answer(said))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)

    async def _answer(self, wanted: Wanted) -> None:
        self.tell(await find(self._engines, wanted))


async def serve_workers(plan: Plan, say: Callable[[str], None]) -> int:
    """The exit code; `say` gets what is to be told once all are ready. Raises ConfigError."""
    config, server = plan.config, plan.config.server
    set_up(config.logging.level, config.logging.format)
    http = HTTPTransport(transport_settings(config, plan.environ))
    root = default_root(plan.environ)
    with reserve(server.bind, server.port) as held, shared_counts(root.parent / "metrics") as counts:
        engines = supervisors(config, ModelStore(root), http)
        workers = _workers(plan, held.getsockname()[1], engines, counts)
        for name, engine in engines.items():
            engine.on_change = partial(_tell_all, workers, name, engine)
        chat = engines.get(config.embedded.model)
        loading: list[asyncio.Task[None]] = []

        def ready(banner: str) -> None:
            say(banner)
            if chat is not None and config.embedded.preload:
                loading.append(asyncio.create_task(preload(chat)))

        async def reload() -> None:
            try:
                text = await asyncio.to_thread(_checked, plan)
            except ConfigError as error:
                refuse(error)
                return
            for worker in workers:
                worker.reload(text)

        ends = [reload_on_signal(reload)]
        if server.watch_config and plan.path is not None:
            ends.append(watching(plan.path, reload))
        try:
            return await _keep_all(workers, server.drain_s + CLOSE_S, ready)
        finally:
            for end in ends:
                end()
            for task in loading:
                task.cancel()
            await asyncio.gather(*(engine.stop() for engine in engines.values()))
            await http.aclose()


def _checked(plan: Plan) -> str:
    """The file as it is now. Raises ConfigError where it is wrong."""
    text = read(plan.path) if plan.path else ""
    check_bind(load_text(text, plan.path, plan.environ, known_types()))
    return text


def _workers(plan: Plan, port: int, engines: Mapping[str, Supervisor], counts: Path | None) -> Sequence[Worker]:
    launch = Launch(
        index=0,
        count=plan.config.server.workers,
        port=port,
        path=str(plan.path) if plan.path else None,
        text=plan.text,
        engines={name: Facts(engine.purpose, engine.api_key) for name, engine in engines.items()},
        counts=str(counts) if counts else None,
    )
    return [
        Worker(msgspec.structs.replace(launch, index=index), plan.environ, engines) for index in range(launch.count)
    ]


async def _keep_all(workers: Sequence[Worker], patience_s: float, ready: Callable[[str], None]) -> int:
    """The exit code, once all have ended."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        """A second signal is passed on, too: it ends what still runs."""
        stopping.set()
        for worker in workers:
            worker.signal(signal.SIGTERM)

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    tasks: list[asyncio.Task[int]] = []
    try:
        banner: str | None = None
        for group in (workers[:1], workers[1:]):
            tasks += [loop.create_task(worker.keep(stopping)) for worker in group]
            banners = await asyncio.gather(*(worker.banner for worker in group))
            if None in banners:
                stop()
                break
            banner = banner or banners[0]
        if banner is not None and not stopping.is_set():
            ready(banner)
        await stopping.wait()
        _, late = await asyncio.wait(tasks, timeout=patience_s)
        for worker in workers if late else ():
            worker.signal(signal.SIGKILL)
        return next(filter(None, await asyncio.gather(*tasks)), 0)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def _tell_all(workers: Sequence[Worker], name: str, engine: Supervisor) -> None:
    for worker in workers:
        worker.tell(Fares(name, engine.state))


def _exit_code(code: int) -> int:
    """A signal that comes when the loop is closed already ends nothing but the process."""
    return 0 if code == -signal.SIGTERM else 1 if code < 0 else code


def _end(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
