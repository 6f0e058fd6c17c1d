"""One line for each call (ports.Journal), from an allow-list of fields: no prompt, no answer, no key, no header.

Lines are gathered and written a few times a second, so that a log line costs a call no system call.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TextIO

import msgspec

from hoosh.core.call import Receipt

FLUSH_S = 0.1
FLUSH_BYTES = 64 << 10
# What one write to a pipe puts there undivided, whoever else writes (pipe(7): PIPE_BUF).
WHOLE_BYTES = 4096
_encode = msgspec.json.Encoder().encode


def fields(receipt: Receipt) -> dict[str, object]:
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
    if receipt.error:
        line["error"] = receipt.error
    if wishes.agent:
        line["agent"] = wishes.agent
    return line


def as_json(receipt: Receipt) -> str:
    return _encode(fields(receipt)).decode()


def as_text(receipt: Receipt) -> str:
    target = str(receipt.target) if receipt.target else "-"
    tail = f" {receipt.error}" if receipt.error else ""
    line = (
        f"{receipt.status} {receipt.model} -> {target} {receipt.usage.input}+{receipt.usage.output} tokens"
        f" {receipt.total_ns / 1e6:.0f} ms {receipt.outcome.value}{tail} {receipt.call_id}"
    )
    # The model's name is the client's word: it must not make a second line.
    return line if line.isprintable() else repr(line)[1:-1]


class LineJournal:
    def __init__(self, stream: TextIO, line: Callable[[Receipt], str], *, is_shared: bool = False) -> None:
        """`is_shared`: other processes write to the stream, and their lines must not come between."""
        self._is_shared = is_shared
        self._stream = stream
        self._line = line
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, receipt: Receipt) -> None:
        line = self._line(receipt)
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
