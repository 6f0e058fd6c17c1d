"""The clock of this machine."""

import time


class SystemClock:
    """ports.Clock."""

    monotonic_ns = staticmethod(time.monotonic_ns)

    def unix_s(self) -> int:
        return int(time.time())
