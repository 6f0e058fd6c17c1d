"""Inference endpoints: a body of some dialect goes through the engine, and the call ends when the client leaves."""

from collections.abc import Callable, Mapping

from hoosh.core.call import Call, Wishes
from hoosh.core.errors import Forbidden
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.core.wire import Headers
from hoosh.dialects import ClientDialect
from hoosh.engine.engine import Engine
from hoosh.http.exchange import Exchange
from hoosh.http.limit_headers import limit_headers
from hoosh.http.request import Limits, check_json, pool_in, wishes_of
from hoosh.http.sink import ReplySink
from hoosh.ports import Clock, Keys, Sink


def _as_it_is(sink: Sink) -> Sink:
    return sink


class Inference:
    """One path: the dialect that it speaks, before the one engine."""

    def __init__(self, engine: Engine, dialect: ClientDialect, keys: Keys, limits: Limits, clock: Clock) -> None:
        self._engine = engine
        self._dialect = dialect
        self._keys = keys
        self._limits = limits
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> None:
        call, dialect = await self.read(exchange)
        await self.serve(call, dialect, exchange)

    async def read(self, exchange: Exchange) -> tuple[Call, ClientDialect]:
        """What is asked. Raises ClientError."""
        arrived_ns = self._clock.monotonic_ns()
        dialect = self._dialect.at(exchange.place)
        principal, body = await self.admit(exchange)
        return self.call(exchange, dialect, principal, body, arrived_ns), dialect

    async def admit(self, exchange: Exchange) -> tuple[Principal, bytes]:
        """Who asks, and the body; the key comes first: a stranger costs nothing. Raises ClientError."""
        principal = self._keys.identify(exchange.token)
        self._tell_limits(exchange, principal, Wishes())
        check_json(exchange.headers)
        return principal, await exchange.body(self._limits)

    def call(
        self, exchange: Exchange, dialect: ClientDialect, principal: Principal, body: bytes, arrived_ns: int
    ) -> Call:
        """Raises ClientError."""
        request = dialect.parse(body)
        wishes = wishes_of(exchange.headers, pool_in(request.extra))
        if principal is not ANONYMOUS and wishes.pool not in ("", principal.pool):
            raise Forbidden(f"key '{principal.key_id}' may not charge pool '{wishes.pool}'", param="pool")
        if wishes.pool or wishes.agent:
            self._tell_limits(exchange, principal, wishes)
        return Call(
            id=exchange.own_id,
            request_id=exchange.id,
            dialect=dialect.name,
            request=request,
            body=body,
            headers=_relayed(exchange.headers, dialect),
            principal=principal,
            wishes=wishes,
            arrived_ns=arrived_ns,
        )

    def _tell_limits(self, exchange: Exchange, principal: Principal, wishes: Wishes) -> None:
        """Each reply from here on, also an error, says how they stand."""
        limiting = self._engine.limits
        limits = limiting.of_caller(principal, wishes.pool, wishes.agent)
        exchange.tells = (lambda: limit_headers(limiting.gauges(limits))) if limits else None

    async def serve(
        self, call: Call, dialect: ClientDialect, exchange: Exchange, over: Callable[[Sink], Sink] = _as_it_is
    ) -> None:
        """When the client leaves, the task is cancelled, also while the provider is silent.

        `over` puts a sink before the client's.
        """
        await self._engine.serve(call, dialect, over(ReplySink(exchange, dialect)))


def _relayed(headers: Mapping[bytes, bytes], dialect: ClientDialect) -> Headers:
    return tuple((name, headers[name]) for name in dialect.relays if name in headers) if dialect.relays else ()
