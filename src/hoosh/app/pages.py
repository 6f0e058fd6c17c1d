"""The table of paths, wired."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from hoosh.app.clock import SystemClock
from hoosh.dialects import ClientDialect
from hoosh.dialects.anthropic_messages import COUNT as ANTHROPIC_COUNT
from hoosh.dialects.anthropic_messages import DIALECT as ANTHROPIC_MESSAGES
from hoosh.dialects.gemini.client import CLIENT as GEMINI
from hoosh.dialects.ollama.client import CHAT as OLLAMA_CHAT
from hoosh.dialects.ollama.client import GENERATE as OLLAMA_GENERATE
from hoosh.dialects.ollama.embedding import ONE as OLLAMA_EMBEDDINGS
from hoosh.dialects.ollama.embedding import SEVERAL as OLLAMA_EMBED
from hoosh.dialects.openai_chat import DIALECT as OPENAI_CHAT
from hoosh.dialects.openai_completions import DIALECT as OPENAI_COMPLETIONS
from hoosh.dialects.openai_embeddings import DIALECT as OPENAI_EMBEDDINGS
from hoosh.dialects.openai_moderations import DIALECT as OPENAI_MODERATIONS
from hoosh.dialects.openai_responses import DIALECT as OPENAI_RESPONSES
from hoosh.dialects.rerank import DIALECT as RERANK
from hoosh.engine.catalog import Catalog
from hoosh.engine.decisions import Decisions
from hoosh.engine.draining import Drains
from hoosh.engine.engine import Engine
from hoosh.engine.router import Router
from hoosh.http.counting import Counting
from hoosh.http.explain import Explaining
from hoosh.http.gemini import MARK as GEMINI_MARK
from hoosh.http.gemini import GeminiModels, marked
from hoosh.http.health import Health
from hoosh.http.idempotency import Idempotency
from hoosh.http.inference import Inference
from hoosh.http.models import Models
from hoosh.http.ollama.keep import Keeping
from hoosh.http.ollama.loading import Loading
from hoosh.http.ollama.pages import OllamaPages
from hoosh.http.ollama.servers import Servers
from hoosh.http.request import Limits
from hoosh.http.responses import Responses
from hoosh.http.routes import Endpoint, Route
from hoosh.local.shelf import StoreShelf
from hoosh.ports import Transport

# Request headers that only clients of one dialect send.
MARKS: dict[bytes, ClientDialect] = {b"anthropic-version": ANTHROPIC_MESSAGES, GEMINI_MARK: GEMINI}


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What pages are made of."""

    engine: Engine
    catalog: Catalog
    router: Router
    transport: Transport
    shelf: StoreShelf
    drains: Drains | None
    health: Health
    responses: Responses
    limits: Limits
    clock: SystemClock
    decisions: Decisions
    idempotency: Idempotency
    hardware: Callable[[], Mapping[str, object]]


class Pages:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._asked_at: dict[str, Inference] = {}

    def routes(self) -> Sequence[Route]:
        health = self._parts.health
        models = Models(self._parts.catalog, self._parts.router, self._parts.clock)
        gemini_models = GeminiModels(models, self._parts.catalog)
        return (
            Route(method="GET", path="/", endpoint=health.root, guarded=False),
            Route(method="GET", path="/livez", endpoint=health.live, guarded=False),
            Route(method="GET", path="/readyz", endpoint=health.is_ready, guarded=False),
            Route(method="GET", path="/v1/health", endpoint=health.health, guarded=False),
            Route(method="GET", path="/v1/health/providers", endpoint=health.providers, name="health"),
            Route(method="GET", path="/v1/models", endpoint=marked(gemini_models.index, models.index), name="models"),
            Route(method="GET", path="/v1/models/*", endpoint=marked(gemini_models.show, models.show), name="models"),
            self._answering("chat", "/v1/chat/completions", OPENAI_CHAT),
            self._answering("completions", "/v1/completions", OPENAI_COMPLETIONS),
            self._answering("embeddings", "/v1/embeddings", OPENAI_EMBEDDINGS),
            self._answering("moderations", "/v1/moderations", OPENAI_MODERATIONS),
            self._answering("rerank", "/v1/rerank", RERANK),
            self._answering("rerank", "/v2/rerank", RERANK),
            self._answering("messages", "/v1/messages", ANTHROPIC_MESSAGES),
            self._answering("count_tokens", "/v1/messages/count_tokens", ANTHROPIC_COUNT, self._counting),
            *self._gemini_routes(gemini_models),
            *self._ollama_routes(models),
            *_responses_routes(self._parts.responses, self._parts.idempotency),
            *self._explaining(),
        )

    def _answering(
        self, name: str, path: str, dialect: ClientDialect, before: Callable[[Inference], Endpoint] | None = None
    ) -> Route:
        """Where a dialect's requests are answered."""
        endpoint = Inference(self._parts.engine, dialect, self._parts.limits, self._parts.clock, self._parts.drains)
        if not path.endswith("*"):
            self._asked_at[path] = endpoint
        endpoint_at = self._parts.idempotency.over(before(endpoint) if before else endpoint)
        return Route(method="POST", path=path, endpoint=endpoint_at, name=name, dialect=dialect)

    def _counting(self, inference: Inference) -> Endpoint:
        return Counting(inference, self._parts.router, self._parts.clock)

    def _explaining(self) -> Sequence[Route]:
        parts = self._parts
        pages = Explaining(parts.engine, parts.decisions, self._asked_at, parts.hardware)
        return (
            Route(method="POST", path="/v1/route/explain", endpoint=pages.explain, name="routing"),
            Route(method="GET", path="/v1/route/decisions/*", endpoint=pages.decision, name="routing"),
        )

    def _gemini_routes(self, models: GeminiModels) -> Sequence[Route]:
        return (
            Route(method="GET", path="/v1beta/models", endpoint=models.index, name="models", dialect=GEMINI),
            Route(method="GET", path="/v1beta/models/*", endpoint=models.show, name="models", dialect=GEMINI),
            self._answering("gemini", "/v1beta/models/*", GEMINI, self._counting),
            self._answering("gemini", "/v1/models/*", GEMINI, self._counting),
        )

    def _ollama_routes(self, models: Models) -> Sequence[Route]:
        servers = Servers(self._parts.catalog, self._parts.router, self._parts.transport)
        pages = OllamaPages(models, self._parts.catalog, servers, self._parts.shelf, self._parts.clock)
        keeping = Keeping(servers, self._parts.shelf, OLLAMA_CHAT)

        def loading(inference: Inference) -> Endpoint:
            return Loading(inference, OLLAMA_CHAT, self._parts.router, self._parts.clock)

        def generating(inference: Inference) -> Endpoint:
            return Loading(inference, OLLAMA_GENERATE, self._parts.router, self._parts.clock)

        pages_at = (
            ("models", "GET", "/api/tags", pages.tags),
            ("models", "GET", "/api/ps", pages.running),
            ("models", "GET", "/api/version", pages.version),
            ("models", "POST", "/api/show", pages.show),
            ("weights", "POST", "/api/pull", keeping.pull),
            ("weights", "DELETE", "/api/delete", keeping.delete),
        )
        return (
            self._answering("ollama", "/api/chat", OLLAMA_CHAT, loading),
            self._answering("ollama", "/api/generate", OLLAMA_GENERATE, generating),
            self._answering("ollama", "/api/embed", OLLAMA_EMBED),
            self._answering("ollama", "/api/embeddings", OLLAMA_EMBEDDINGS),
            *(Route(method=m, path=at, endpoint=page, name=n, dialect=OLLAMA_CHAT) for n, m, at, page in pages_at),
        )


def _responses_routes(responses: Responses, idempotency: Idempotency) -> tuple[Route, ...]:
    def route(method: str, path: str, endpoint: Endpoint) -> Route:
        return Route(method=method, path=path, endpoint=endpoint, name="responses", dialect=OPENAI_RESPONSES)

    return (
        route("POST", "/v1/responses", idempotency.over(responses.create)),
        route("GET", "/v1/responses/*", responses.show),
        route("POST", "/v1/responses/*", responses.cancel),
        route("DELETE", "/v1/responses/*", responses.delete),
    )
