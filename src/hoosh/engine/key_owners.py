"""In whose name something goes on whose request is over: by the key's name, under the key's terms of now."""

from collections.abc import Mapping

from hoosh.core.errors import Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.engine.key_ring import KeyRing
from hoosh.ports import Clock


class KeyOwners:
    """`configured` are the keys of the configuration, by name."""

    def __init__(self, configured: Mapping[str, Principal], ring: KeyRing, clock: Clock) -> None:
        self._configured = configured
        self._ring = ring
        self._clock = clock

    def configure(self, configured: Mapping[str, Principal]) -> None:
        self._configured = configured

    def find(self, key_id: str) -> Principal:
        """Raises: Unauthorized, StoreFailed."""
        found = self._configured.get(key_id)
        if found is None:
            return ANONYMOUS if key_id == ANONYMOUS.key_id and not self._ring.asks else self._ring.named(key_id)
        if found.expires_s is not None and found.expires_s <= self._clock.unix_s():
            raise Unauthorized(f"API key '{key_id}' has expired.")
        return found
