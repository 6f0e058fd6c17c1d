"""How many tokens a request would take: asked of a provider that can count, else estimated. Nothing is charged."""

from typing import Protocol

from hoosh.core.asked import CountRequest
from hoosh.core.call import Call
from hoosh.core.errors import BadRequest, UnknownModel
from hoosh.core.events import Counted, Usage
from hoosh.core.plan import Target
from hoosh.dialects import ClientDialect, Served
from hoosh.engine.router import Router
from hoosh.http.exchange import Exchange
from hoosh.policy.estimate import input_guess
from hoosh.ports import Clock


class Inference(Protocol):
    """What is needed of http.inference.Inference."""

    async def read(self, exchange: Exchange, /) -> tuple[Call, ClientDialect]: ...

    async def serve(self, call: Call, dialect: ClientDialect, exchange: Exchange, /) -> None: ...


class Counting:
    """Before the endpoint of any dialect that can ask for a count; what asks for something else is served as it is."""

    def __init__(self, inference: Inference, router: Router, clock: Clock) -> None:
        self._inference = inference
        self._router = router
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> None:
        call, dialect = await self._inference.read(exchange)
        target = self._who_cannot_count(call) if isinstance(call.request, CountRequest) else None
        if target is None:
            await self._inference.serve(call, dialect, exchange)
        else:
            await self._estimate(call, dialect, target, exchange)

    def _who_cannot_count(self, call: Call) -> Target | None:
        """Who would answer the request itself, where nobody that has the model counts. Raises as routing does."""
        try:
            self._router.who(call.request.model, call.wishes, "count", call.principal)
        except (BadRequest, UnknownModel):
            return self._router.who(call.request.model, call.wishes, principal=call.principal)
        return None

    async def _estimate(self, call: Call, dialect: ClientDialect, target: Target, exchange: Exchange) -> None:
        served = Served(id=call.id, created_s=self._clock.unix_s(), provider=target.provider, model=target.model)
        encoder = dialect.encoder(call.request, served)
        asked = call.request
        tokens = input_guess(asked.chat if isinstance(asked, CountRequest) else asked)
        body = encoder.feed([Counted(tokens)]) + encoder.finish(Usage())
        await exchange.reply(200, body, encoder.content_type, ((b"x-hoosh-estimated", b"true"),))
