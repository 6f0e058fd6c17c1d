"""`GET /metrics`: what is counted, for Prometheus."""

from collections.abc import Awaitable, Callable

from hoosh.http.exchange import Exchange
from hoosh.http.routes import Endpoint, Route


def metrics_route(content_type: bytes, text: Callable[[], Awaitable[bytes]]) -> Route:
    """`text` says what there is to tell now."""

    async def show(exchange: Exchange) -> None:
        await exchange.reply(200, await text(), content_type, ())

    endpoint: Endpoint = show
    return Route(method="GET", path="/metrics", endpoint=endpoint, name="metrics")
