"""One configured provider, ready to be asked."""

import msgspec

from hoosh.core.wire import Headers, Timeouts, WireRequest
from hoosh.dialects import Ways
from hoosh.providers import Provider


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """`models` are the globs of the configuration, () for the provider's own word on what it serves.
    `ways` are the provider's, with what the configuration adds.
    """

    name: str
    provider: Provider
    base_url: str
    auth: Headers = ()
    models: tuple[str, ...] = ()
    priority: int = 10
    local: bool = False
    timeouts: Timeouts = Timeouts()
    rate_limit_rpm: int | None = None
    ways: Ways = Ways()

    def signed(self, request: WireRequest) -> WireRequest:
        """The key is added last, for this base URL only."""
        if not self.auth:
            return request
        return WireRequest(request.path, request.body, request.method, request.headers + self.auth)
