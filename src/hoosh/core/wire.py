"""A request as it goes to a provider: no host, no secret, no clock."""

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]


class WireRequest(msgspec.Struct, frozen=True):
    """`path` is relative to the provider's base URL and begins with "/"; header names are lower case. `dropped` names
    what the client asked and the provider's dialect cannot say (core.features).
    """

    path: str
    body: bytes = b""
    method: bytes = b"POST"
    headers: Headers = ()
    dropped: tuple[str, ...] = ()


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """
    Four numbers, in seconds. `connect_s`: TCP and TLS. `first_byte_s`: from the request sent to the reply's
    first byte. `idle_s`: between two pieces of a reply. `total_s`: the whole exchange.
    """

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    idle_s: float = 120.0
    total_s: float = 3600.0
