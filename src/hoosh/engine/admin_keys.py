"""Who may administer: over TCP a key that says so, over a UNIX socket whoever the file's permissions let in."""

import msgspec

from hoosh.core.errors import Forbidden, Unauthorized
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.ports import Keys

_OWNER = Principal(key_id="socket", is_admin=True)


class AdminKeys:
    """ports.Keys: those of `keys` that are for administration. A gateway without keys has none of them either."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def identify(self, token: str | None) -> Principal:
        """Raises: Unauthorized, Forbidden, StoreFailed."""
        principal = self._keys.identify(token) if token else ANONYMOUS
        if principal is ANONYMOUS:
            raise Unauthorized("A key for administration is needed here, always: 'Authorization: Bearer KEY'.")
        return _admin(principal)

    def recall(self, token: str) -> Principal | None:
        """Raises: Forbidden, StoreFailed."""
        principal = self._keys.recall(token)
        return None if principal is None or principal is ANONYMOUS else _admin(principal)


class SocketKeys:
    """ports.Keys of a socket that only its owner can open."""

    def identify(self, token: str | None) -> Principal:  # noqa: ARG002 - whatever is shown
        return _OWNER

    def recall(self, token: str) -> Principal | None:  # noqa: ARG002
        return _OWNER


def _admin(principal: Principal) -> Principal:
    """Its routes are those of the data plane, and say nothing here."""
    if not principal.is_admin:
        raise Forbidden(f"key '{principal.key_id}' is not for administration")
    return msgspec.structs.replace(principal, routes=())
