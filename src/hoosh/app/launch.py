"""How a worker is started, and the words between it and its parent: one line of JSON each."""

import sys

import msgspec

from hoosh.local.remote import Facts, Fares, Found, Wanted

COMMAND = (sys.executable, "-P", "-m", "hoosh.app.worker")  # -P: not what lies in the working directory
# What is left to do after the last call: the store is told (at most 10 s), connections are closed.
CLOSE_S = 20.0


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is the file at `path`, as it was when the parent read it; `port` is the one that the parent holds,
    `counts` the folder for what workers count.
    """

    index: int
    count: int
    port: int
    path: str | None
    text: str
    engines: dict[str, Facts]
    counts: str | None = None


class Ready(msgspec.Struct, frozen=True, tag=True):
    banner: str


class Reload(msgspec.Struct, frozen=True, tag=True):
    """Another `text` for the file of `Launch`. The parent has found it to be good."""

    text: str


FromWorker = Ready | Wanted
ToWorker = Found | Fares | Reload
