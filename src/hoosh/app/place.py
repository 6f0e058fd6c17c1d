"""Where a process stands among those that serve together."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from hoosh.local.embedded import LocalEngine


class Place(msgspec.Struct, frozen=True):
    """Which of `count` processes on one port this is, and the engines that their parent keeps for all of them. In
    `shared` they tell each other what they count.
    """

    index: int = 0
    count: int = 1
    engines: Mapping[str, LocalEngine] | None = None
    shared: Path | None = None
