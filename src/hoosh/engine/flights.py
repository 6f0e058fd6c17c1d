"""Identical calls that come while one of them is being answered: they wait for its answer.

A flight has readers: who began it, and who joined. It ends when its last reader leaves, and not before. What it came to
is told to all who joined: a whole answer, a failure, or that there is nothing to be had.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from hoosh.core.asked import Request
from hoosh.core.cached import Answer
from hoosh.core.errors import ClientError, HooshError
from hoosh.core.events import Event, Media, Raw, Reasoning, Refusal, Text, ToolDelta, Usage, Vector
from hoosh.dialects import Encoder, Encoders, Served

# What an event takes beside its texts.
_EVENT_BYTES = 64


class End(Protocol):
    """What is needed of engine.draining.LeavingSink."""

    def leave(self) -> None: ...


class Landed(msgspec.Struct, frozen=True):
    """How a flight ended. Without an answer and an error nobody can tell what it would have come to: it was given up
    (`again`: the next may begin one), or was too large, or failed of what is its own caller's.
    """

    answer: Answer | None = None
    provider: str = ""
    model: str = ""
    error: HooshError | None = None
    again: bool = False


class Flight:
    def __init__(self) -> None:
        self.readers = 1
        self.landed: asyncio.Future[Landed] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None

    def land(self, landed: Landed) -> None:
        """Only the first time counts."""
        if not self.landed.done():
            self.landed.set_result(landed)

    def leave(self) -> None:
        self.readers -= 1
        if self.readers == 0 and self.task is not None:
            self.task.cancel()

    async def join(self, limit_s: float | None) -> Landed:
        """Raises TimeoutError."""
        self.readers += 1
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.wait((self.landed,))
            return self.landed.result()
        finally:
            self.leave()

    async def lead(self, task: asyncio.Task[None], end: End) -> None:
        """Wait for `task`, which answers at `end`. To cancel this is to leave, and it returns only when the task has
        ended: what that has used is then known. To cancel it once more ends the task, whoever waits.
        """
        self.task = task
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            self.leave()
            if self.readers:
                end.leave()
            await _ended(task)
            raise
        task.result()


async def _ended(task: asyncio.Task[None]) -> None:
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()


def landed_on(error: BaseException | None) -> Landed:
    """Of a flight that has no answer."""
    if isinstance(error, ClientError) or error is None:
        return Landed()  # another caller may have what this one lacks
    return Landed(error=error) if isinstance(error, HooshError) else Landed(again=True)


def told_again(error: HooshError) -> HooshError:
    """The same for another call: one exception that is raised by many tasks would gather the frames of all."""
    told = HooshError(error.message, param=error.param, retry_after_s=error.retry_after_s)
    told.status, told.code, told.kind, told.is_ambiguous = error.status, error.code, error.kind, error.is_ambiguous
    return told


class Recording:
    """dialects.Encoders: those of a client's dialect, who also write down what they are told. `landed` is the answer
    once it is complete; of one that is larger than `most_bytes`, nothing is written down.
    """

    def __init__(self, encoders: Encoders, flight: Flight, most_bytes: int) -> None:
        self._encoders = encoders
        self._flight = flight
        self._most_bytes = most_bytes
        self.landed: Landed | None = None

    def encoder(self, request: Request, served: Served) -> Encoder:
        return _Writing(self._encoders.encoder(request, served), self, request.stream, served)

    def complete(self, landed: Landed) -> None:
        self.landed = landed
        self._flight.land(landed)

    @property
    def most_bytes(self) -> int:
        return self._most_bytes


class _Writing:
    """dialects.Encoder"""

    def __init__(self, encoder: Encoder, recording: Recording, is_stream: bool, served: Served) -> None:  # noqa: FBT001
        self._encoder = encoder
        self._recording = recording
        self._is_stream = is_stream
        self._served = served
        self._events: list[Event] = []
        self._left_bytes = recording.most_bytes
        self.content_type = encoder.content_type

    def feed(self, events: Sequence[Event]) -> bytes:
        if self._left_bytes >= 0:
            self._left_bytes -= sum(map(_size_bytes, events))
            self._events += events
        else:
            self._events = []
        return self._encoder.feed(events)

    def finish(self, usage: Usage) -> bytes:
        data = self._encoder.finish(usage)
        served = self._served
        if self._left_bytes >= 0:
            answer = Answer(self._is_stream, usage, tuple(self._events))
            self._recording.complete(Landed(answer, served.provider, served.model))
        return data


def _size_bytes(event: Event) -> int:
    """About what it takes, of texts no more than that: what is kept is measured again."""
    if isinstance(event, Raw):
        return len(event.data) + _EVENT_BYTES
    if isinstance(event, Text | Reasoning | Refusal):
        return len(event.text) + _EVENT_BYTES
    if isinstance(event, ToolDelta):
        return len(event.arguments) + _EVENT_BYTES
    if isinstance(event, Media):
        return len(event.data) + _EVENT_BYTES
    return 9 * len(event.values) + _EVENT_BYTES if isinstance(event, Vector) else _EVENT_BYTES
