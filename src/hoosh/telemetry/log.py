"""One line for each call (ports.Journal), from an allow-list of fields: no prompt, no answer, no key, no header.

Lines are gathered and written a few times a second, so that a log line costs a call no system call. A request that
became no call has a line, too; of those only so many are written, for it costs nothing to make a million of them.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TextIO, TypeAlias

import msgspec

from hoosh.core.call import Receipt
from hoosh.core.turned_away import TurnedAway

FLUSH_S = 0.1
FLUSH_BYTES = 64 << 10
# What one write to a pipe puts there undivided, whoever else writes (pipe(7): PIPE_BUF).
WHOLE_BYTES = 4096
# Lines of refused requests in so many seconds; how many were left out is told at the end of them.
REFUSED_LINES = 20
REFUSED_SPAN_S = 1.0
_encode = msgspec.json.Encoder().encode


class LeftOut(msgspec.Struct, frozen=True):
    """So many refused requests have no line."""

    count: int


Entry: TypeAlias = Receipt | TurnedAway | LeftOut


def fields(entry: Entry) -> dict[str, object]:
    if isinstance(entry, Receipt):
        return _call(entry)
    time_ms = time.time_ns() // 1_000_000
    if isinstance(entry, LeftOut):
        return {"time_ms": time_ms, "event": "refused_left_out", "count": entry.count}
    return {
        "time_ms": time_ms,
        "event": "refused",
        "id": entry.id,
        "request_id": entry.request_id,
        "route": entry.route,
        "status": entry.status,
        "code": entry.code,
        "key": entry.key,
    }


def _call(receipt: Receipt) -> dict[str, object]:
    target, wishes = receipt.target, receipt.wishes
    line: dict[str, object] = {
        "time_ms": time.time_ns() // 1_000_000,
        "event": "call",
        "id": receipt.call_id,
        "request_id": receipt.request_id,
        "outcome": receipt.outcome.value,
        "status": receipt.status,
        "key": receipt.principal.key_id,
        "model": receipt.model,
        "provider": target.provider if target else None,
        "provider_model": target.model if target else None,
        "attempts": receipt.attempts,
        "stream": receipt.stream,
        "input_tokens": receipt.usage.input,
        "output_tokens": receipt.usage.output,
        "usage": receipt.usage.source,
        "cost_micro_usd": receipt.cost_micros,
        "first_event_us": receipt.first_event_ns // 1000,
        "total_us": receipt.total_ns // 1000,
    }
    if receipt.cache:
        line["cache"] = receipt.cache
    if receipt.error:
        line["error"] = receipt.error
    if wishes.agent:
        line["agent"] = wishes.agent
    return line


def as_json(entry: Entry) -> str:
    return _encode(fields(entry)).decode()


def as_text(entry: Entry) -> str:
    line = _words(entry)
    # The model's name is the client's word: it must not make a second line.
    return line if line.isprintable() else repr(line)[1:-1]


def _words(entry: Entry) -> str:
    if isinstance(entry, LeftOut):
        return f"{entry.count} more requests were refused"
    if isinstance(entry, TurnedAway):
        return f"{entry.status} refused {entry.route or '-'} {entry.code} {entry.key or '-'} {entry.id}"
    receipt = entry
    target = str(receipt.target) if receipt.target else "-"
    tail = f" {receipt.error}" if receipt.error else ""
    return (
        f"{receipt.status} {receipt.model} -> {target} {receipt.usage.input}+{receipt.usage.output} tokens"
        f" {receipt.total_ns / 1e6:.0f} ms {receipt.outcome.value}{tail} {receipt.call_id}"
    )


class LineJournal:
    def __init__(self, stream: TextIO, line: Callable[[Entry], str], *, is_shared: bool = False) -> None:
        """`is_shared`: other processes write to the stream, and their lines must not come between."""
        self._is_shared = is_shared
        self._stream = stream
        self._line = line
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._refused = 0  # since `_span` began
        self._span: asyncio.TimerHandle | None = None

    def note(self, receipt: Receipt) -> None:
        self._put(self._line(receipt))

    def refused(self, turned_away: TurnedAway) -> None:
        if self._span is None:
            self._span = asyncio.get_running_loop().call_later(REFUSED_SPAN_S, self._end_span)
        self._refused += 1
        if self._refused <= REFUSED_LINES:
            self._put(self._line(turned_away))

    def close(self) -> None:
        self._end_span()
        self.flush()

    def _end_span(self) -> None:
        if self._span is not None:
            self._span.cancel()
            self._span = None
        left_out, self._refused = self._refused - REFUSED_LINES, 0
        if left_out > 0:
            self._put(self._line(LeftOut(left_out)))

    def _put(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._size = self._lines, [], 0
        if not lines:
            return
        try:
            for piece in _pieces(lines) if self._is_shared else ("\n".join(lines),):
                self._stream.write(piece + "\n")
                self._stream.flush()
        except (OSError, ValueError):  # a closed or full log must not stop a call
            return


def _pieces(lines: Sequence[str]) -> Iterator[str]:
    """Whole lines, as many as one write may take."""
    piece = ""
    for line in lines:
        longer = f"{piece}\n{line}" if piece else line
        if piece and len(longer.encode()) >= WHOLE_BYTES:
            yield piece
            longer = line
        piece = longer
    if piece:
        yield piece


class QuietJournal:
    def note(self, receipt: Receipt) -> None:
        """Nothing is written."""

    def refused(self, turned_away: TurnedAway) -> None:
        """Nothing is written."""


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time_ms": int(record.created * 1e3),
            "event": "log",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def set_up(level: str, kind: Literal["json", "text"]) -> None:
    """Configure the process's logging: everything to stderr, in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JSONFormatter() if kind == "json" else logging.Formatter("%(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
