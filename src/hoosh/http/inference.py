"""Inference endpoints: a body of some dialect goes through the engine, and the call ends when the client leaves."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from hoosh.core.asked import ChatRequest, CompleteRequest, Request
from hoosh.core.call import Call, Wishes
from hoosh.core.errors import BadRequest
from hoosh.core.principal import Principal
from hoosh.core.wire import Headers
from hoosh.dialects import ClientDialect
from hoosh.engine.draining import Drains
from hoosh.engine.engine import Engine
from hoosh.http.exchange import Exchange
from hoosh.http.limit_headers import limit_headers
from hoosh.http.request import Limits, check_json, check_keys, pool_in, time_left_ns, wishes_of
from hoosh.http.sink import ReplySink
from hoosh.policy.scopes import agent_of, check_extra, check_pool
from hoosh.ports import Clock, Sink

# OpenAI documents 128 for each; tools are sent by hundreds, from several servers at once.
MAX_TOOLS = 512
MAX_ANSWERS = 128
MAX_FIELDS = 1_000


def _as_it_is(sink: Sink) -> Sink:
    return sink


class Inference:
    """One path: the dialect that it speaks, before the one engine."""

    def __init__(
        self, engine: Engine, dialect: ClientDialect, limits: Limits, clock: Clock, drains: Drains | None = None
    ) -> None:
        """`drains` has what goes on without its client; with None, nothing does."""
        self._engine = engine
        self._serve: Callable[[Call, ClientDialect, Sink], Awaitable[object]] = drains.serve if drains else engine.serve
        self._dialect = dialect
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
        """Who asks, and the body. Raises ClientError."""
        self._tell_limits(exchange, exchange.principal, Wishes())
        self._engine.check_pressure()
        check_json(exchange.headers)
        body = await exchange.body(self._limits)
        check_keys(body)
        return exchange.principal, body

    def call(
        self, exchange: Exchange, dialect: ClientDialect, principal: Principal, body: bytes, arrived_ns: int
    ) -> Call:
        """Raises ClientError."""
        request = dialect.parse(body)
        left_ns = time_left_ns(exchange.headers)
        _check_size(request)
        wishes = wishes_of(exchange.headers, pool_in(request.extra))
        check_pool(principal, wishes.pool)
        if principal.agents and (agent := agent_of(principal, wishes.agent)) != wishes.agent:
            wishes = msgspec.structs.replace(wishes, agent=agent)
        if principal.models:
            check_extra(principal, [name for name, _ in request.extra])
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
            deadline_ns=arrived_ns + left_ns if left_ns else 0,
            backing=exchange.backing,
        )

    def _tell_limits(self, exchange: Exchange, principal: Principal, wishes: Wishes) -> None:
        """Each reply from here on, also an error, says how they stand."""
        limiting = self._engine.limits
        limits = limiting.of_caller(principal, wishes.pool, wishes.agent)
        exchange.tells = (lambda: limit_headers(limiting.gauges(limits))) if limits else None

    async def serve(
        self, call: Call, dialect: ClientDialect, exchange: Exchange, over: Callable[[Sink], Sink] = _as_it_is
    ) -> None:
        """When the client leaves, the task is cancelled, also while the provider is silent; `drains` may go on reading.

        `over` puts a sink before the client's.
        """
        await self._serve(call, dialect, over(ReplySink(exchange, dialect)))


def _check_size(request: Request) -> None:
    """Raises BadRequest."""
    if len(request.extra) > MAX_FIELDS:
        raise BadRequest(f"the request body has more than {MAX_FIELDS} fields that are not known here", param="body")
    if isinstance(request, ChatRequest):
        if len(request.tools) + len(request.foreign_tools) > MAX_TOOLS:
            raise BadRequest(f"tools: more than {MAX_TOOLS} tools", param="tools")
        if request.n > MAX_ANSWERS:
            raise BadRequest(f"n: more than {MAX_ANSWERS} answers", param="n")
    elif isinstance(request, CompleteRequest) and request.n > MAX_ANSWERS:
        raise BadRequest(f"n: more than {MAX_ANSWERS} answers", param="n")


def _relayed(headers: Mapping[bytes, bytes], dialect: ClientDialect) -> Headers:
    return tuple((name, headers[name]) for name in dialect.relays if name in headers) if dialect.relays else ()
