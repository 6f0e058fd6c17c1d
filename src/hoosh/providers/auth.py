"""How a key is shown to a provider: a pure function from the key to headers."""

from typing import Protocol

from hoosh.core.wire import Headers


class Sign(Protocol):
    def __call__(self, key: str, /) -> Headers: ...


def bearer(key: str) -> Headers:
    return ((b"authorization", b"Bearer " + key.encode()),)


def x_api_key(key: str) -> Headers:
    return ((b"x-api-key", key.encode()),)


def api_key(key: str) -> Headers:
    return ((b"api-key", key.encode()),)


def x_goog_api_key_or_bearer(key: str) -> Headers:
    """Google's API keys begin with "AIza" or "AQ.", its access tokens otherwise."""
    return x_goog_api_key(key) if key.startswith(("AIza", "AQ.")) else bearer(key)


def x_goog_api_key(key: str) -> Headers:
    """Google also takes the key in the query, where it lands in logs: never there."""
    return ((b"x-goog-api-key", key.encode()),)
