"""Models that hoosh runs itself: the store of weight files and the supervised engine that serves them.

Law: nothing of a downloaded package is ever installed or run, and the engine is never in the gateway's process.
"""

from hoosh.core.errors import HooshError


class PullFailed(HooshError):
    """A model could not be brought into the store; the message says why, in one line."""

    code = "pull_failed"
