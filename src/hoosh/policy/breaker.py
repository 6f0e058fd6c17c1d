"""A circuit breaker: closed, open for a time, then half open for one call that shows whether it may close.

Time comes in as an argument, in nanoseconds of a monotonic clock. Envoy's outlier detection and its circuit breakers
are the model for what opens it: so many failures in a row, or more than a part of those in a window.
"""

import msgspec


class BreakerRules(msgspec.Struct, frozen=True, kw_only=True):
    """It opens after `failures` in a row, or when more than `percent` of at least `calls` in `window_s` failed; for
    `open_s` the first time, twice as long each further time, `max_open_s` at most. Unless `enabled`, it never does.
    """

    enabled: bool = True
    failures: int = 5
    percent: int = 50
    calls: int = 20
    window_s: float = 10.0
    open_s: float = 1.0
    max_open_s: float = 30.0


class Breaker:
    """`reason` is what opened it. A rest (`rest`) is an opening without blame: a provider asked for it."""

    __slots__ = (
        "_calls",
        "_failed",
        "_opened",
        "_probing",
        "_row",
        "_rules",
        "_until_ns",
        "_window_ns",
        "is_limit",
        "is_resting",
        "reason",
    )

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._row = 0
        self._calls = 0
        self._failed = 0
        self._window_ns = 0
        self._opened = 0  # times in a row
        self._until_ns = 0
        self._probing = False
        self.is_limit = False
        self.is_resting = False
        self.reason = ""

    @property
    def is_pristine(self) -> bool:
        """Nothing is known against it."""
        return not self._until_ns and not self._failed

    @property
    def is_open(self) -> bool:
        """Open or half open."""
        return self._until_ns > 0

    def wait_ns(self, now_ns: int) -> int:
        """How long nobody may pass; 0 if one may. While one call shows how things are, that is the time of one more
        opening: nobody knows better.
        """
        if not self._until_ns:
            return 0
        if self._probing:
            return int(self._rules.open_s * 1e9)
        return max(0, self._until_ns - now_ns)

    def claim(self, now_ns: int) -> bool:
        """The call passes, which `wait_ns` allows: whether it is the one that shows how things are."""
        self._probing = self._until_ns > 0 and not self.wait_ns(now_ns)
        return self._probing

    def leave(self) -> None:
        """The call that was to show how things are ended and showed nothing."""
        self._probing = False

    def succeed(self, now_ns: int, *, is_probe: bool = False) -> None:
        """While it is open only what `claim` let pass counts, and what is asked beside all calls."""
        if self._until_ns and not is_probe:
            return
        self._probing = False
        self._row = 0
        if self._until_ns:
            self._until_ns = self._opened = self._calls = self._failed = 0
            self.is_resting, self.reason = False, ""
        elif self._failed:
            self._count(now_ns, 0)

    def fail(self, now_ns: int, reason: str, *, is_probe: bool = False) -> bool:
        """Whether it was closed and opened by this. While it is open only a probe counts, as for `succeed`."""
        rules = self._rules
        was_open = self._until_ns > 0
        if was_open and not is_probe:
            return False
        self._probing = False
        self._row += 1
        self._count(now_ns, 1)
        is_bad = self._calls >= rules.calls and 100 * self._failed > rules.percent * self._calls
        if not was_open and self._row < rules.failures and not is_bad:
            return False
        self._open(now_ns, reason, min(rules.open_s * 2.0**self._opened, rules.max_open_s))
        self._opened = min(self._opened + 1, 32)
        return not was_open

    def trip(self, now_ns: int, reason: str) -> bool:
        """Open now, whatever was before. Whether it was closed."""
        self._row = max(self._row, self._rules.failures - 1)
        return self.fail(now_ns, reason, is_probe=True)

    def rest(self, now_ns: int, for_s: float, reason: str, *, is_limit: bool = False) -> None:
        """Nobody passes for so long, and then all may. `is_limit`: it works well, and only has enough."""
        self._probing = False
        self._open(now_ns, reason, for_s)
        self.is_resting = True
        self.is_limit = is_limit

    def refresh(self, now_ns: int) -> None:
        """A rest ends by itself."""
        if self.is_resting and now_ns >= self._until_ns:
            self._until_ns = 0
            self.is_resting, self.reason = False, ""

    def _open(self, now_ns: int, reason: str, for_s: float) -> None:
        self._until_ns = now_ns + max(1, int(for_s * 1e9))
        self.is_resting = False
        self.reason = reason
        self._calls = self._failed = 0

    def _count(self, now_ns: int, failed: int) -> None:
        if now_ns - self._window_ns > self._rules.window_s * 1e9:
            self._window_ns, self._calls, self._failed = now_ns, 0, 0
        self._calls += 1
        self._failed += failed
