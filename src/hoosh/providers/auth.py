"""How a key is shown to a provider: a pure function from the key to headers."""

from typing import Protocol

from hoosh.core.wire import Headers


class Sign(Protocol):
    def __call__(self, key: str, /) -> Headers: ...


def bearer(key: str) -> Headers:
    return ((b"authorization", b"Bearer " + key.encode()),)


def x_api_key(key: str) -> Headers:
    return ((b"x-api-key", key.encode()),)


def x_goog_api_key(key: str) -> Headers:
    """Google also takes the key in the query, where it lands in logs: never there."""
    return ((b"x-goog-api-key", key.encode()),)
