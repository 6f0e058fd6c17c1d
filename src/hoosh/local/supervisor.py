"""One engine, kept running: started when it is first wanted, started again when it dies, ended with the gateway.

Law: whatever happens to the child, callers see UpstreamErrors and nothing else. The child counts as ready when it has
generated a token or a vector, not when its port is open: some builds of llama.cpp load a model and die of the first.

    stopped ──▶ starting ──▶ ready      dies: started again at once
                 ▲    │        │
       next call │    ▼ fails  ▼ dies once too often
                 └─ crashed ◀──┘

`crash_limit` crashes within `crash_window_s` are too often: calls are then refused for `cool_down_s` after the last.
"""

import asyncio
import logging
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec

from hoosh.core.errors import ConnectFailed, HooshError, UpstreamError
from hoosh.core.wire import Headers, Timeouts, WireRequest
from hoosh.local.child import Child
from hoosh.local.known import Purpose
from hoosh.local.llama_child import Launch
from hoosh.ports import Transport

# -P: not what lies in the working directory.
COMMAND = (sys.executable, "-P", "-m", "hoosh.local.llama_child")
# For the system to tell of the death of a child that takes no connections any more.
DEATH_NOTICE_S = 5.0

_TRIALS: Mapping[Purpose, tuple[str, dict[str, object]]] = MappingProxyType(
    {
        "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}),
        "embed": ("/embeddings", {"input": "Hi"}),
    }
)

Phase = Literal["stopped", "starting", "ready", "crashed"]

log = logging.getLogger(__name__)


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`alias` is what the engine calls the model, `context_tokens` one call's share, `parallel` how many calls run at
    once. `threads` 0: what the CPU quota allows. `start_s` is the limit of loading and of the first trial together.
    """

    model_path: Path
    alias: str
    context_tokens: int = 4096
    parallel: int = 2
    threads: int = 0
    chat_template: str = ""
    temperature: float | None = None
    purpose: Purpose = "chat"
    start_s: float = 300.0
    crash_limit: int = 5
    crash_window_s: float = 60.0
    cool_down_s: float = 30.0
    command: tuple[str, ...] = COMMAND


class EngineState(msgspec.Struct, frozen=True, kw_only=True):
    phase: Phase
    pid: int | None
    restarts: int
    last_error: str | None


class _StartFailed(Exception):
    """Says why."""


class Supervisor:
    def __init__(self, settings: EngineSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self.api_key = secrets.token_urlsafe(32)
        self.on_change: Callable[[], None] | None = None  # hears of each new phase
        self._phase: Phase = "stopped"
        self._starts = 0
        self._last_error: str | None = None
        self._crashes: deque[float] = deque(maxlen=settings.crash_limit)
        self._is_closed = False
        self._child: Child | None = None
        self._life: asyncio.Task[None] | None = None
        # None: nobody is at it, and a call has to begin.
        self._ready: asyncio.Future[str] | None = None

    @property
    def state(self) -> EngineState:
        return EngineState(
            phase=self._phase,
            pid=self._child.pid if self._child else None,
            restarts=max(0, self._starts - 1),
            last_error=self._last_error,
        )

    @property
    def purpose(self) -> Purpose:
        return self._settings.purpose

    @property
    def authorization(self) -> Headers:
        return ((b"authorization", b"Bearer " + self.api_key.encode()),)

    async def base_url(self) -> str:
        """Where the engine answers, as soon as it does; starts it if need be. Giving up waiting does not stop it.

        Raises: ConnectFailed.
        """
        if self._ready is None:
            if error := self._refusal():
                raise error
            self._ready = asyncio.get_running_loop().create_future()
            self._life = asyncio.create_task(self._live(self._ready))
        try:
            return await asyncio.shield(self._ready)
        except ConnectFailed as error:
            # Each who waits gets one of his own: a shared one would grow a traceback with every raise.
            raise ConnectFailed(error.message, retry_after_s=error.retry_after_s) from None

    async def base_url_after(self, lost: str) -> str:
        """Where the engine answers since nobody takes connections at `lost`. Raises: ConnectFailed."""
        child = self._child
        if child and child.base_url == lost:
            try:
                async with asyncio.timeout(DEATH_NOTICE_S):
                    await child.gone.wait()
            except TimeoutError:
                raise ConnectFailed("the embedded engine takes no connections") from None
        return await self.base_url()

    async def stop(self) -> None:
        """End the child, if there is one; it is not started again."""
        self._is_closed = True
        if self._child:
            await self._child.end()
        if self._life:
            await self._life
        self._enter("stopped")

    async def _live(self, ready: asyncio.Future[str]) -> None:
        """From a call that wants the engine to a failure that only a new call may follow. Owns `_ready`."""
        try:
            while not (error := self._refusal()):
                self._enter("starting")
                self._starts += 1
                try:
                    child = await self._start()
                # Whatever it was, those who wait for `ready` must hear of it.
                except Exception as cause:  # noqa: BLE001
                    self._note_crash(f"the embedded engine did not start: {cause}")
                    error = ConnectFailed(self._last_error or "")
                    break
                self._enter("ready")
                log.info("embedded engine ready", extra={"pid": child.pid})
                ready.set_result(child.base_url)
                await child.ended()
                ready = self._ready = asyncio.get_running_loop().create_future()
                self._child = None
                child.gone.set()
                if not self._is_closed:
                    self._note_crash(f"the embedded engine stopped: {self._scrubbed(child.last_words())}")
            self._ready = None
            ready.set_exception(error)
            # Heard, even if nobody waits.
            ready.exception()
        finally:
            # Only if the event loop ends without `stop`.
            if self._child:
                self._child.kill()

    async def _start(self) -> Child:
        settings = self._settings
        launch = Launch(
            model_path=str(settings.model_path),
            alias=settings.alias,
            api_key=self.api_key,
            context_tokens=settings.context_tokens,
            parallel=settings.parallel,
            threads=settings.threads,
            chat_template=settings.chat_template,
            temperature=settings.temperature,
            purpose=settings.purpose,
        )
        child = self._child = await Child.spawn(settings.command)
        try:
            async with asyncio.timeout(settings.start_s):
                # `stop` may have come before there was a child to end.
                if not self._is_closed and await child.hello(launch):
                    await self._try(child.base_url)
                    return child
            cause = ""
        except TimeoutError:
            cause = f"no token within {settings.start_s:g} s; "
        except HooshError as error:
            cause = f"{error.message}; "
        # Not by force at once: it may be about to end, and how it does is the best that can be told of it.
        await child.end()
        await child.ended()
        self._child = None
        raise _StartFailed(cause + self._scrubbed(child.last_words()))

    async def _try(self, base_url: str) -> None:
        """One token, or one vector. Raises: UpstreamError."""
        path, ask = _TRIALS[self._settings.purpose]
        request = WireRequest(
            path=path,
            body=msgspec.json.encode({"model": self._settings.alias} | ask),
            headers=((b"content-type", b"application/json"), *self.authorization),
        )
        start_s = self._settings.start_s
        timeouts = Timeouts(first_byte_s=start_s, idle_s=start_s, total_s=start_s)
        async with self._transport.exchange(base_url, request, timeouts) as reply:
            while await reply.read():
                pass
            if reply.status != 200:
                raise UpstreamError(f"it answered {reply.status} to a first trial")

    def _refusal(self) -> ConnectFailed | None:
        """Why it may not be started now."""
        if self._is_closed:
            return ConnectFailed("the embedded engine is shut down")
        crashes, settings = self._crashes, self._settings
        if len(crashes) < settings.crash_limit or crashes[-1] - crashes[0] > settings.crash_window_s:
            return None
        wait_s = crashes[-1] + settings.cool_down_s - time.monotonic()
        if wait_s <= 0:
            return None
        return ConnectFailed(
            f"the embedded engine crashed {len(crashes)} times, {wait_s:.0f} s to the next try: {self._last_error}",
            retry_after_s=wait_s,
        )

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        if self.on_change is not None:
            self.on_change()

    def _note_crash(self, error: str) -> None:
        self._last_error = error
        self._enter("crashed")
        self._crashes.append(time.monotonic())
        log.error("%s", error)

    def _scrubbed(self, words: str) -> str:
        """Without the weights' path: clients may read it."""
        return words.replace(str(self._settings.model_path), self._settings.alias)
