"""Replaying without a socket: a transport whose providers are recordings.

A base URL reads as that of `hoosh replay` (`http://replay/f/cut=500/p/openai/v1`); its host is not looked at.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from hoosh.core.errors import ConfigError, HooshError, Idle, NoFirstEvent, Reset, Truncated
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.ports import Reply
from hoosh.recordings.match import Library
from hoosh.recordings.player import Player, refusal
from hoosh.recordings.record import Record, read_lines
from hoosh.recordings.script import Script


def load(paths: Iterable[Path]) -> Library:
    """Raises: ConfigError, with file and line."""
    records: list[Record] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                records += read_lines(str(path), file)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    return Library(records)


class ReplayTransport:
    """ports.Transport. Of the timeouts `first_byte_s` and `idle_s` hold: a stall lasts as long as they let it."""

    def __init__(self, player: Player) -> None:
        self._player = player

    @asynccontextmanager
    async def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> AsyncIterator[Reply]:
        target = urlsplit(base_url).path.rstrip("/") + request.path
        try:
            script, seen = self._player.answer(request.method.decode(), target, request.body)
        except HooshError as error:
            yield _Replayed(refusal(error), timeouts)
            return
        if not script.status:
            if script.stop == "stall":
                await asyncio.sleep(timeouts.first_byte_s)
                raise NoFirstEvent(f"replay: no reply within {timeouts.first_byte_s:g} s")
            raise Reset("replay: the connection ended before a reply")
        reply = _Replayed(script, timeouts)
        try:
            yield reply
        finally:
            seen.sent_bytes = reply.sent_bytes
            seen.left = not reply.over


class _Replayed:
    """ports.Reply."""

    def __init__(self, script: Script, timeouts: Timeouts) -> None:
        self._script = script
        self._pieces: Iterator[tuple[float, bytes]] = iter(script.pieces)
        self._timeouts = timeouts
        self.status = script.status
        self.headers = dict(script.headers)
        self.sent_bytes = 0
        self.over = False

    async def read(self) -> bytes:
        stalls = (math.inf if self._script.stop == "stall" else 0.0, b"")
        wait_s, piece = next(self._pieces, stalls)
        idle_s = self._timeouts.idle_s
        await asyncio.sleep(min(wait_s, idle_s))
        if wait_s > idle_s:
            raise Idle(f"replay: nothing came for {idle_s:g} s", upstream_status=self.status)
        if piece:
            self.sent_bytes += len(piece)
            return piece
        self.over = True
        if self._script.stop != "end":
            raise Truncated("replay: the connection ended in the middle of its reply", upstream_status=self.status)
        return b""
