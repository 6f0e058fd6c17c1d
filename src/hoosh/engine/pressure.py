"""Whether this process has more to do than it can do well: then new calls are turned away before their body is read.

Each pressure is 0 at rest and 1 at the limit. Calls are turned away from FULL on, until it is EASE less.
"""

from hoosh.engine.shedding import Shedding

FULL = 0.95
EASE = 0.05
# An event loop that comes so late, tick after tick, has no time for more. One late tick is a pause of somebody else's.
LATE_S = 1.0
_WORDS = {
    "calls": "This gateway runs as many calls as it may.",
    "files": "This gateway has too many connections open.",
    "lag": "This gateway has too much to do.",
}


class Pressure:
    def __init__(self, max_calls: int, shedding: Shedding) -> None:
        self._max_calls = max_calls
        self._shedding = shedding
        self._pressures = {"calls": 0.0, "files": 0.0, "lag": 0.0}
        self._pressed = ""

    def measured(self, open_files: int | None, most_files: int, late_s: float) -> None:
        """`late_s` is what the loop was late by at least, for a while."""
        self._pressures["files"] = 0.0 if open_files is None else open_files / most_files
        self._pressures["lag"] = late_s / LATE_S

    def check(self, running: int) -> None:
        """`running` calls are there already. Raises Shed."""
        pressures = self._pressures
        pressures["calls"] = running / self._max_calls
        if self._pressed and pressures[self._pressed] < FULL - EASE:
            self._pressed = ""
        if not self._pressed:
            self._pressed = next((name for name, pressure in pressures.items() if pressure >= FULL), "")
        if self._pressed:
            raise self._shedding.shed(self._pressed, _WORDS[self._pressed])
