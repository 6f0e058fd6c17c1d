"""Before /api/chat and /api/generate: who sends nothing to answer wants the model loaded, or unloaded. An Ollama server
does that; all other models are loaded when they are asked, so that all there is to say is whether there is such a one.
"""

from typing import Protocol

from hoosh.core.asked import ChatRequest
from hoosh.core.call import Call
from hoosh.dialects import ClientDialect
from hoosh.dialects.ollama.client import OllamaChatClient
from hoosh.engine.router import Router
from hoosh.http.exchange import Exchange
from hoosh.ports import Clock


class Inference(Protocol):
    """What is needed of http.inference.Inference."""

    async def read(self, exchange: Exchange, /) -> tuple[Call, ClientDialect]: ...

    async def serve(self, call: Call, dialect: ClientDialect, exchange: Exchange, /) -> None: ...


class Loading:
    def __init__(self, inference: Inference, dialect: OllamaChatClient, router: Router, clock: Clock) -> None:
        self._inference = inference
        self._dialect = dialect
        self._router = router
        self._clock = clock

    async def __call__(self, exchange: Exchange) -> None:
        call, dialect = await self._inference.read(exchange)
        request = call.request
        if isinstance(request, ChatRequest) and not request.messages and not self._passes(call):
            body = self._dialect.loaded(request, self._clock.unix_s())
            await exchange.reply(200, body, b"application/json; charset=utf-8", ())
        else:
            await self._inference.serve(call, dialect, exchange)

    def _passes(self, call: Call) -> bool:
        """Whether it goes to a server that speaks this very dialect. Raises as routing does."""
        target = self._router.who(call.request.model, call.wishes, principal=call.principal)
        tongue = self._router.backends[target.provider].tongue("chat", call.dialect, target.model)
        return tongue is not None and tongue.dialect.name == call.dialect
