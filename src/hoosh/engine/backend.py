"""One configured provider, ready to be asked."""

from urllib.parse import urlsplit

import msgspec

from hoosh.core.asked import Operation
from hoosh.core.limit import Limit
from hoosh.core.wire import Headers, Timeouts, WireRequest
from hoosh.dialects import Quirk, Tongue
from hoosh.policy.globs import serves
from hoosh.providers import Provider


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """`models` are the globs of the configuration, () for the provider's own word on what it serves.
    A `base_url` that ends in "://" is completed by the model asked for: each then has an address of its own.
    `auths` has what each of its keys is shown by. `tongues` are the provider's dialects, the main one first, with what
    the configuration adds.
    """

    name: str
    provider: Provider
    base_url: str
    auths: tuple[Headers, ...] = ()
    models: tuple[str, ...] = ()
    priority: int = 10
    local: bool = False
    timeouts: Timeouts = Timeouts()
    limit: Limit | None = None
    tongues: tuple[Tongue, ...] = ()

    def address(self, tongue: Tongue, model: str) -> str:
        if self.base_url.endswith("://"):
            return self.base_url + model
        return urlsplit(self.base_url)._replace(path=tongue.root).geturl() if tongue.root else self.base_url

    def is_at(self, address: str) -> bool:
        """Is it one of this backend's?"""
        if self.base_url.endswith("://"):
            return address.startswith(self.base_url)
        return any(address == self.address(tongue, "") for tongue in self.tongues)

    def tongue(self, operation: Operation, client_dialect: str, model: str) -> Tongue | None:
        """The client's own dialect where the provider speaks it, else the first for the operation."""
        first = None
        for tongue in self.tongues:
            if tongue.dialect.operation == operation and serves(model, tongue.models):
                if tongue.dialect.name == client_dialect:
                    return tongue
                first = first or tongue
        return first

    @property
    def secrets(self) -> Headers:
        """All headers that hold a key."""
        return tuple(header for auth in self.auths for header in auth)

    def signed(self, request: WireRequest, key: int) -> WireRequest:
        """The key, one of several perhaps, is added last, for this base URL only."""
        if not self.auths:
            return request
        headers = request.headers + self.auths[key]
        return WireRequest(request.path, request.body, request.method, headers, request.dropped)


def tongues_of(provider: Provider, *more: Quirk) -> tuple[Tongue, ...]:
    """All dialects of a provider, with further quirks in each."""
    tongues = (Tongue(dialect=provider.dialect, ways=provider.ways), *provider.also)
    if not more:
        return tongues
    return tuple(
        msgspec.structs.replace(tongue, ways=msgspec.structs.replace(tongue.ways, quirks=(*tongue.ways.quirks, *more)))
        for tongue in tongues
    )
