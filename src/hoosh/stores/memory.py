"""The keys of the configuration."""

import hashlib
import hmac
from collections.abc import Sequence

from hoosh.core.errors import Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal


class StaticKeys:
    """ports.Keys over the keys of the configuration. Only SHA-256 digests are kept; every one is compared,
    in constant time, so that neither a prefix nor a position shows in the time taken.
    """

    def __init__(self, keys: Sequence[tuple[str, Principal]]) -> None:
        self._keys = tuple((_digest(token), principal) for token, principal in keys)

    def identify(self, token: str | None) -> Principal:
        if not self._keys:
            return ANONYMOUS
        if not token:
            raise Unauthorized(
                "Invalid or missing API key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'."
            )
        given = _digest(token)
        found: Principal | None = None
        for digest, principal in self._keys:
            if hmac.compare_digest(digest, given):
                found = principal
        if found is None:
            raise Unauthorized("Invalid or missing API key.")
        return found

    def recall(self, token: str) -> Principal | None:
        try:
            return self.identify(token)
        except Unauthorized:
            return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
