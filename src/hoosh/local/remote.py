"""Engines that the parent of this process keeps, one for all workers of a gateway, and the words between the two.

Law: a worker asks where an engine answers, and talks to it itself. How an engine fares is told to it without asking.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count

import msgspec

from hoosh.core.errors import ConnectFailed
from hoosh.core.wire import Headers
from hoosh.local.known import Purpose
from hoosh.local.supervisor import EngineState, Supervisor


class Facts(msgspec.Struct, frozen=True):
    """What stays as it is for as long as the parent lives."""

    purpose: Purpose
    api_key: str


class Wanted(msgspec.Struct, frozen=True, tag=True):
    """From a worker: where does `model` answer, or, where it was `lost`, where does it answer since?"""

    number: int
    model: str
    lost: str = ""


class Found(msgspec.Struct, frozen=True, tag=True):
    """The answer: a place, or why there is none."""

    number: int
    model: str
    base_url: str = ""
    error: str = ""
    retry_after_s: float | None = None


class Fares(msgspec.Struct, frozen=True, tag=True):
    """To every worker, with each change."""

    model: str
    state: EngineState


class RemoteEngine:
    """embedded.LocalEngine."""

    def __init__(self, name: str, facts: Facts, ask: Callable[[Wanted], None]) -> None:
        """`ask` sends and does not wait; the answer comes to `hear`."""
        self._name = name
        self._facts = facts
        self._ask = ask
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self.state = EngineState(phase="stopped", pid=None, restarts=0, last_error=None)

    @property
    def purpose(self) -> Purpose:
        return self._facts.purpose

    @property
    def authorization(self) -> Headers:
        return ((b"authorization", b"Bearer " + self._facts.api_key.encode()),)

    async def base_url(self) -> str:
        """Raises: ConnectFailed."""
        return await self.base_url_after("")

    async def base_url_after(self, lost: str) -> str:
        """Raises: ConnectFailed."""
        number = next(self._numbers)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._ask(Wanted(number, self._name, lost))
            return await future
        finally:
            del self._waiting[number]

    def hear(self, found: Found) -> None:
        future = self._waiting.get(found.number)
        if future is None or future.done():  # its call is over
            return
        if found.base_url:
            future.set_result(found.base_url)
        else:
            future.set_exception(ConnectFailed(found.error, retry_after_s=found.retry_after_s))


async def find(supervisors: Mapping[str, Supervisor], wanted: Wanted) -> Found:
    """The parent's side. Waits for as long as a start takes."""
    supervisor = supervisors[wanted.model]
    try:
        place = await (supervisor.base_url_after(wanted.lost) if wanted.lost else supervisor.base_url())
    except ConnectFailed as error:
        return Found(wanted.number, wanted.model, error=error.message, retry_after_s=error.retry_after_s)
    return Found(wanted.number, wanted.model, place)
