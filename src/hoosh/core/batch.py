"""Files that clients leave here, and batches of requests that are read from them and answered into them."""

from typing import Literal, TypeAlias

import msgspec

Status: TypeAlias = Literal[
    "validating", "in_progress", "finalizing", "cancelling", "completed", "failed", "expired", "cancelled"
]
OPEN: frozenset[Status] = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
BATCH_OUTPUT = "batch_output"
# A file is kept in pieces of this size.
PIECE_BYTES = 1 << 20
# What is to come of a line: it waits, it was answered well, it was answered otherwise, it was not asked.
LineState: TypeAlias = Literal["waiting", "answered", "refused", "unasked"]


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the store's own word and `name` only what its client calls it. It is over at `expires_s`, Unix time."""

    id: str
    owner: str
    name: str
    purpose: str
    size_bytes: int
    created_s: int
    expires_s: int


class LineProblem(msgspec.Struct, frozen=True, kw_only=True):
    """`line` counts from 1; None where the whole is at fault."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`headers` are what its client asked of the gateway itself. `hold` begins the names of the `parts` that were
    set aside for it. Times are Unix times, None for what has not happened. `total` and the like are told once
    it is over.
    """

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    window: str
    created_s: int
    expires_s: int
    status: Status = "validating"
    metadata: dict[str, str] | None = None
    headers: dict[str, str] = {}
    hold: str = ""
    parts: int = 0
    problems: tuple[LineProblem, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_s: int | None = None
    finalizing_s: int | None = None
    completed_s: int | None = None
    failed_s: int | None = None
    expired_s: int | None = None
    cancelling_s: int | None = None
    cancelled_s: int | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a batch, `n` counted from 0. `part` is what its hold is part of, -1 where there is none; `tokens`
    and `micros` are its share. `data` is its JSON text: first what is asked, and then what came of it.
    """

    n: int
    part: int
    tokens: int
    micros: int
    data: bytes


class Counts(msgspec.Struct, frozen=True):
    total: int = 0
    completed: int = 0
    failed: int = 0


class Running(msgspec.Struct, frozen=True):
    """A batch that is not over, and whose it is: `runner` is the name of a process, "" for nobody's."""

    id: str
    status: Status
    runner: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which of a list: `limit` of those that follow the one with the id `after`, the newest first if `newest_first`."""

    limit: int
    after: str = ""
    newest_first: bool = True
    purpose: str = ""
