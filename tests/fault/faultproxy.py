"""A TCP proxy that does to replies what networks and dying servers do: late, stalled, reset, cut, slow, garbled, refused."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Literal

TURN_S = 0.02


@dataclass(frozen=True)
class Fault:
    """It strikes when `after` bytes of a reply have passed, its head included. `amount` is seconds of a delay, bytes a
    second of what is slow.
    """

    kind: Literal["none", "delay", "stall", "reset", "cut", "garble", "slow"] = "none"
    after: int = 0
    amount: float = 0.0


WELL = Fault()


class Line:
    """One connection of the gateway, and its connection to the upstream."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.told_bytes = 0  # of the reply that runs
        self.asks = False
        self.gone = asyncio.Event()

    def end(self, *, by_reset: bool = False) -> None:
        self.gone.set()
        if by_reset:
            reset(self.near)
        else:
            self.near.close()
        self.far.transport.abort()


class FaultProxy:
    """`calls` counts requests that reached it. Its fault may change at any time: what runs feels it, too."""

    def __init__(self, upstream_port: int) -> None:
        self.fault = WELL
        self.calls = 0
        self.port = 0
        self._upstream_port = upstream_port
        self._server: asyncio.Server | None = None
        self._lines: set[Line] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def kill(self) -> None:
        """Nobody listens any more, and what was connected is reset: as when a process is killed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for line in list(self._lines):
            line.end(by_reset=True)

    async def heal(self) -> None:
        self.fault = WELL
        if self._server is None:
            await self.open()

    @property
    def connections(self) -> int:
        return len(self._lines)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            reset(writer)
            return
        line = Line(writer, far)
        self._lines.add(line)
        back = asyncio.ensure_future(self._answers(answers, line))
        try:
            while piece := await reader.read(1 << 16):
                if not line.asks:
                    line.asks, line.told_bytes = True, 0
                    self.calls += 1
                far.write(piece)
                await far.drain()
        except (OSError, asyncio.CancelledError):  # cancelled at the end of all, which asyncio would print
            pass
        finally:
            line.end()
            self._lines.discard(line)
            back.cancel()

    async def _answers(self, answers: asyncio.StreamReader, line: Line) -> None:
        try:
            while piece := await answers.read(1 << 16):
                line.asks = False
                await self._pass(piece, line)
        except OSError:
            pass
        finally:
            line.end()

    async def _pass(self, piece: bytes, line: Line) -> None:
        fault = self.fault
        if fault.kind == "delay":
            await asyncio.sleep(fault.amount)
        room = len(piece) if fault.kind in ("none", "delay") else max(0, fault.after - line.told_bytes)
        line.near.write(piece[:room])
        line.told_bytes += len(piece)
        rest = piece[room:]
        if rest and fault.kind == "stall":
            await line.gone.wait()
        elif rest and fault.kind == "reset":
            await line.near.drain()
            line.end(by_reset=True)
        elif rest and fault.kind == "cut":
            line.end()
        elif rest and fault.kind == "garble":
            line.near.write((b"\xff\x00" * len(rest))[: len(rest)])
        elif rest:
            at_once = max(1, int(fault.amount * TURN_S))
            for at in range(0, len(rest), at_once):
                line.near.write(rest[at : at + at_once])
                await asyncio.sleep(TURN_S)
        await line.near.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """RST, whatever was not read yet."""
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
