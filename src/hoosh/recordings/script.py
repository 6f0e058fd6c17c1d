"""How a recorded reply is played: in which pieces, how fast, and what goes wrong. The same seed plays the same.

What is wanted is said in a few words, on the command line, in a header or in a path: `cut=500,chunk=byte`.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import accumulate
from typing import Literal, get_args

import msgspec

from hoosh.core.errors import BadRequest
from hoosh.recordings.record import Record

Chunk = Literal["recorded", "event", "byte", "random", "whole"]
Pace = Literal["instant", "recorded"]
FaultKind = Literal["cut", "stall", "reset", "status"]
# How a reply stops: well, by closing, by a TCP reset, or not at all.
Stop = Literal["end", "cut", "reset", "stall"]

_LAST_EVENT = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LAST_LINE = re.compile(rb"\n")
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "content-encoding", "trailer"})
_RANDOM_BYTES = 97


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`at_bytes` of the body have gone when it strikes; None: it strikes before the reply's head."""

    kind: FaultKind
    at_bytes: int | None = None
    status: int = 0
    retry_after_s: int | None = None


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """`record_id` plays that record, whatever was asked. `first`: only so many requests meet the fault, 0 for all."""

    chunk: Chunk = "recorded"
    pace: Pace = "instant"
    seed: int = 0
    fault: Fault | None = None
    record_id: str = ""
    first: int = 0


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """`pieces` are each a wait in seconds and bytes. `status` 0: it stops before the reply's head.
    `length` is told where the reply is not streamed, else None.
    """

    status: int
    stop: Stop
    headers: tuple[tuple[bytes, bytes], ...] = ()
    pieces: tuple[tuple[float, bytes], ...] = ()
    length: int | None = None


def parse_play(text: str, start: Play) -> Play:
    """`start` with what `text` says. Raises: BadRequest, which names the option."""
    play, fault = start, None
    for option in filter(None, text.split(",")):
        name, given, value = option.partition("=")
        if name in get_args(FaultKind):
            if fault is not None:
                raise BadRequest(f"{fault.kind} and {name}: one fault at a time", param=name)
            fault = _fault(name, value, is_given=bool(given))
        elif name == "retry-after":
            if fault is None or fault.kind != "status":
                raise BadRequest("retry-after goes with status, and after it", param=name)
            fault = msgspec.structs.replace(fault, retry_after_s=_number(name, value))
        else:
            play = _set(play, name, value)
    return play if fault is None else msgspec.structs.replace(play, fault=fault)


def perform(record: Record, play: Play) -> Script:
    """The reply of `record`, as `play` wants it."""
    fault = play.fault
    if fault is not None and fault.kind == "status":
        return _refusal(fault)
    if record.status == 0:
        return Script(status=0, stop="reset")
    body = record.response
    stop: Stop = "end" if record.end == "complete" and not record.cut else "cut"
    if fault is not None and fault.kind != "status":
        if fault.at_bytes is None:
            return Script(status=0, stop=fault.kind)
        stop = fault.kind
    sizes = tuple(_sizes(record, body, play))
    reach = len(body) if fault is None or fault.at_bytes is None else fault.at_bytes
    return Script(
        status=record.status,
        stop=stop,
        headers=_headers(record),
        pieces=tuple(_pieces(record, body[:reach], sizes, is_paced=play.pace == "recorded")),
        length=None if record.stream or len(sizes) > 1 else len(body),
    )


def _fault(name: str, value: str, *, is_given: bool) -> Fault:
    if name == "status":
        status = _number(name, value)
        if not 400 <= status <= 599:
            raise BadRequest("status: expected an error, 400 to 599", param=name)
        return Fault(kind="status", status=status)
    at_bytes = _number(name, value) if is_given else None
    for kind in ("cut", "stall", "reset"):
        if kind == name:
            return Fault(kind=kind, at_bytes=at_bytes)
    raise BadRequest(f"no such fault: {name}", param=name)


def _set(play: Play, name: str, value: str) -> Play:
    match name:
        case "chunk" | "pace":
            kinds: tuple[str, ...] = get_args(Chunk if name == "chunk" else Pace)
            if value not in kinds:
                raise BadRequest(f"{name}: expected one of {', '.join(kinds)}", param=name)
            return msgspec.structs.replace(play, **{name: value})
        case "seed" | "first":
            return msgspec.structs.replace(play, **{name: _number(name, value)})
        case "id":
            return msgspec.structs.replace(play, record_id=value)
    known = "cut, stall, reset, status, retry-after, chunk, pace, seed, first, id"
    raise BadRequest(f"no such replay option: {name[:40]!r}; known: {known}", param=name[:40])


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise BadRequest(f"{name}: expected a whole number, as in {name}=500", param=name)
    return int(value)


def _refusal(fault: Fault) -> Script:
    """In the shape that most providers share; Ollama's readers take it too."""
    kind = (
        "rate_limit_error" if fault.status == 429 else "api_error" if fault.status >= 500 else "invalid_request_error"
    )
    message = f"replayed fault: status {fault.status}"
    body = msgspec.json.encode({"error": {"message": message, "type": kind, "code": fault.status}})
    headers = [(b"content-type", b"application/json")]
    if fault.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % fault.retry_after_s))
    return Script(status=fault.status, stop="end", headers=tuple(headers), pieces=((0.0, body),), length=len(body))


def _headers(record: Record) -> tuple[tuple[bytes, bytes], ...]:
    """What frames a message is the player's own; a line break in an edited file ends no line here."""
    kept = {name.lower(): value for name, value in record.response_headers.items() if name.lower() not in _FRAMING}
    kept.setdefault("content-type", "application/json")
    return tuple(
        (name.encode("ascii", "replace"), " ".join(value.split()).encode("latin-1", "replace"))
        for name, value in kept.items()
        if name.isprintable() and ":" not in name and " " not in name
    )


def _sizes(record: Record, body: bytes, play: Play) -> Iterator[int]:
    """Of the pieces; they add up to the body."""
    match play.chunk:
        case "recorded":
            sizes = [size for _, size in record.pieces]
            if sum(sizes) == len(body) and 0 not in sizes:
                yield from sizes
            else:  # nobody noted them
                yield from _events(body) if record.stream else _whole(body)
        case "event":
            yield from _events(body)
        case "byte":
            yield from (1 for _ in body)
        case "random":
            yield from _random(f"{play.seed} {record.id}", len(body))
        case "whole":
            yield from _whole(body)


def _whole(body: bytes) -> Iterator[int]:
    if body:
        yield len(body)


def _events(body: bytes) -> Iterator[int]:
    """SSE events, or lines where there is no event."""
    end = _LAST_EVENT if _LAST_EVENT.search(body) else _LAST_LINE
    start = 0
    for found in end.finditer(body):
        yield found.end() - start
        start = found.end()
    yield from _whole(body[start:])


def _random(seed: str, left: int) -> Iterator[int]:
    """1 to 97 bytes each, by a hash and not by `random`, whose sequence may change with Python's version."""
    turn = 0
    while left:
        for number in sha256(f"{seed} {turn}".encode()).digest():
            size = min(left, 1 + number % _RANDOM_BYTES)
            if size:
                yield size
            left -= size
        turn += 1


def _pieces(record: Record, body: bytes, sizes: tuple[int, ...], *, is_paced: bool) -> Iterator[tuple[float, bytes]]:
    """However the body is cut, a byte comes no earlier than it came when it was recorded."""
    starts = [0, *accumulate(size for _, size in record.pieces)] if is_paced else []
    waits = [(start, wait_us / 1e6) for start, (wait_us, _) in zip(starts, record.pieces, strict=False)]
    due, at = iter(waits), 0
    start, wait_s = next(due, (len(body), 0.0))
    for size in sizes:
        data = body[at : at + size]
        if not data:
            return
        pause_s = 0.0
        while start < at + size and start < len(body):
            pause_s += wait_s
            start, wait_s = next(due, (len(body), 0.0))
        yield pause_s, data
        at += size
