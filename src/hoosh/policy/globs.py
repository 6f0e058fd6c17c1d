"""Names by pattern, as a shell has them, in their own case."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


def serves(model: str, globs: Sequence[str]) -> bool:
    """Without globs everything is served."""
    return not globs or any(fnmatchcase(model, glob) for glob in globs)
