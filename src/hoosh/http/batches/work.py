"""What running a batch takes: where it is kept, who answers its lines, what is held for them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from hoosh.core.batch import Batch
from hoosh.core.call import Call, Hold
from hoosh.core.ledger import Amount
from hoosh.http.batches.lines import Asked
from hoosh.ports import Batches, Clock, Files

# What lines that are being asked get to end when their batch is cancelled, or the gateway stops.
END_S = 5.0


class Lost(Exception):
    """The batch is another process's now."""


class Told(msgspec.Struct, frozen=True):
    """A reply to a line. `retry_after_s` is when to ask again, 0 if nobody said; None: not at all."""

    status: int
    request_id: str
    body: bytes
    retry_after_s: float | None


# Asks a line, with the name of what is set aside for it.
Ask: TypeAlias = Callable[[Asked, str], Awaitable[Told]]


class Asking(Protocol):
    """What is needed of http.batches.asking.Asking."""

    def asker(self, batch: Batch, /) -> Ask: ...

    def call(self, batch: Batch, asked: Asked, /) -> Call: ...


class Holds(Protocol):
    """What is needed of engine.batch_holds.BatchHolds."""

    def bound(self, call: Call, /) -> tuple[tuple[str, ...], Amount]: ...

    async def accept(self, holds: Sequence[Hold], /) -> None: ...

    async def begin(self, hold_id: str, rest: Amount, /) -> str: ...

    def end(self, backing: str, /) -> None: ...

    async def let_go(self, hold_ids: Iterable[str], /) -> None: ...


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """`concurrency` is of one process, over all its batches; `most_bytes` is what all files and batches may take."""

    concurrency: int
    lines: int
    line_bytes: int
    most_bytes: int
    keep_s: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    batches: Batches
    files: Files
    asking: Asking
    holds: Holds
    rules: Rules
    clock: Clock
