"""Turning calls away: counted, and told when to come again."""

import random

from hoosh.core.errors import Shed

LEAST_RETRY_S, MOST_RETRY_S = 1.0, 30.0
JITTER = 0.2


class Shedding:
    """How often something was turned away, and why; and when it should come again: not all at once."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def shed(self, reason: str, message: str, wait_s: float = 0.0) -> Shed:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        base_s = min(max(wait_s, LEAST_RETRY_S), MOST_RETRY_S)
        spread = 1 + JITTER * (2 * random.random() - 1)  # noqa: S311 - no secret hangs on it
        return Shed(message, reason=reason, retry_after_s=base_s * spread)
