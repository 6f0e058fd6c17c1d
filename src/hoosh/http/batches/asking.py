"""One line of a batch, asked as a live request is: the same routes, in the name of the key that made the batch."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from hoosh.core.batch import Batch
from hoosh.core.call import Call
from hoosh.core.principal import Principal
from hoosh.dialects import ClientDialect
from hoosh.http.batches.lines import Asked
from hoosh.http.batches.work import Ask, Told
from hoosh.http.exchange import Exchange, HeaderList, MemoryWire
from hoosh.http.routes import App, Gate, Route
from hoosh.http.strangers import Strangers
from hoosh.ports import Clock

# What passes by itself: too many at once, nobody there, and Anthropic's word for overload.
PASSING = frozenset({429, 503, 529})
_code = msgspec.json.Decoder(dict[str, dict[str, object]]).decode


class Owners(Protocol):
    """What is needed of engine.key_owners.KeyOwners."""

    def find(self, key_id: str, /) -> Principal: ...


class Reader(Protocol):
    """What is needed of http.inference.Inference: any of them reads requests in every dialect."""

    def call(
        self, exchange: Exchange, dialect: ClientDialect, principal: Principal, body: bytes, arrived_ns: int, /
    ) -> Call: ...


class Asking:
    """`routes` are those that lines may ask."""

    def __init__(self, routes: Sequence[Route], owners: Owners, reader: Reader, clock: Clock) -> None:
        self._routes = routes
        self._dialects = {route.path: route.dialect for route in routes if route.method == "POST"}
        self._owners = owners
        self._reader = reader
        self._clock = clock

    def asker(self, batch: Batch) -> Ask:
        """What answers its lines."""
        app = App(self._routes, Gate(_InTheNameOf(batch.owner, self._owners), Strangers(0, self._clock)))

        async def ask(asked: Asked, backing: str) -> Told:
            wire = _HeadedWire(asked.body)
            exchange = _exchange(batch, asked, wire)
            exchange.backing = backing
            await app(exchange)
            return Told(wire.status, exchange.id, wire.said, _retry_after_s(wire))

        return ask

    def call(self, batch: Batch, asked: Asked) -> Call:
        """What a line asks. Raises HooshError."""
        dialect = self._dialects[batch.endpoint]
        if dialect is None:
            raise KeyError(batch.endpoint)
        principal = self._owners.find(batch.owner)
        return self._reader.call(_exchange(batch, asked, MemoryWire()), dialect, principal, asked.body, 0)


class _InTheNameOf:
    """ports.Keys for who has no token, but a key by name."""

    def __init__(self, key_id: str, owners: Owners) -> None:
        self._key_id = key_id
        self._owners = owners

    def identify(self, token: str | None) -> Principal:  # noqa: ARG002 - there is none
        return self._owners.find(self._key_id)

    def recall(self, token: str) -> Principal | None:  # noqa: ARG002 - there is none
        return self._owners.find(self._key_id)


class _HeadedWire(MemoryWire):
    """That keeps the reply's head, too."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.headers: dict[bytes, bytes] = {}

    def begin(self, status: int, headers: HeaderList, data: bytes) -> None:
        super().begin(status, headers, data)
        self.headers = dict(headers)


def _exchange(batch: Batch, asked: Asked, wire: MemoryWire) -> Exchange:
    headers = {name.encode(): value.encode("latin-1") for name, value in batch.headers.items()}
    headers |= {b"content-type": b"application/json", b"content-length": b"%d" % len(asked.body)}
    return Exchange("POST", batch.endpoint, headers, wire)


def _retry_after_s(wire: _HeadedWire) -> float | None:
    if wire.status not in PASSING or wire.headers.get(b"x-should-retry") == b"false":
        return None
    given = wire.headers.get(b"retry-after", b"")
    if given.isdigit():
        return float(given)
    return None if _is_spent(wire.said) else 0.0


def _is_spent(body: bytes) -> bool:
    """A budget that does not say when it begins anew never does."""
    try:
        return _code(body)["error"].get("code") == "budget_exceeded"
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return False
