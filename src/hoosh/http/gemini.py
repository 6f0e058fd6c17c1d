"""The list of models in Gemini's shape. Google's SDKs may ask for it at OpenAI's address, and say who they are."""

from hoosh.core.asked import Operation
from hoosh.dialects.gemini import listing
from hoosh.engine.catalog import Catalog
from hoosh.http.exchange import Exchange
from hoosh.http.listing import ModelList
from hoosh.http.routes import Endpoint

# Sent by Google's clients and by nobody else's.
MARK = b"x-goog-api-client"


class GeminiModels:
    def __init__(self, models: ModelList, catalog: Catalog) -> None:
        self._models = models
        self._catalog = catalog

    async def index(self, exchange: Exchange) -> None:
        """All on one page."""
        rows = await self._models.rows(exchange.principal)
        await exchange.answer(listing.page([(str(row["id"]), self._operations(row)) for row in rows]))

    async def show(self, exchange: Exchange) -> None:
        row = await self._models.row(exchange.tail.removeprefix("models/"), exchange.principal)
        await exchange.answer(listing.entry(str(row["id"]), self._operations(row)))

    def _operations(self, row: dict[str, object]) -> frozenset[Operation]:
        backend = self._catalog.backends[str(row["provider"])]
        return frozenset(tongue.dialect.operation for tongue in backend.tongues)


def marked(own: Endpoint, other: Endpoint) -> Endpoint:
    """One address, two shapes: `own` for clients of Google's."""

    async def choose(exchange: Exchange) -> None:
        await (own if MARK in exchange.headers else other)(exchange)

    return choose
