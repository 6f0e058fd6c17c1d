"""Paths: which endpoint a client means, by any of the spellings that SDKs make of a base URL."""

import asyncio

import pytest

from hoosh.app.clock import SystemClock
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.http.routes import App, Gate, Route
from hoosh.http.strangers import Strangers
from hoosh.stores.memory import StaticKeys


def asked(path: str, method: str = "POST") -> tuple[int, str]:
    """(status, what the endpoint was given of the path)."""
    tails: list[str] = []

    async def endpoint(exchange: Exchange) -> None:
        tails.append(exchange.tail)
        await exchange.answer({})

    app = App(
        [
            Route(method="POST", path="/v1/chat/completions", endpoint=endpoint),
            Route(method="POST", path="/v1/messages", endpoint=endpoint),
            Route(method="POST", path="/v1beta/models/*", endpoint=endpoint),
            Route(method="POST", path="/api/chat", endpoint=endpoint),
            Route(method="GET", path="/", endpoint=endpoint),
        ],
        Gate(StaticKeys([]), Strangers(0, SystemClock())),
    )
    wire = MemoryWire()
    asyncio.run(app(Exchange(method, path, {}, wire)))
    return wire.status, "".join(tails)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/openai/chat/completions",
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/v1beta/openai/chat/completions",
        "/anthropic/v1/messages",
        "/v1/v1/messages",
        "/ollama/api/chat",
        "/v1/api/chat",
    ],
)
def test_every_spelling_is_understood(path: str) -> None:
    assert asked(path) == (200, "")


def test_the_rest_of_a_path_reaches_its_endpoint() -> None:
    for prefix in ("", "/gemini", "/genai", "/v1"):
        assert asked(f"{prefix}/v1beta/models/a/b:generateContent") == (200, "a/b:generateContent")


@pytest.mark.parametrize("path", ["/openai", "/openaiv1/chat/completions", "/v1", "/v1/v1", "/x/v1/chat/completions"])
def test_what_is_near_is_not_known(path: str) -> None:
    assert asked(path)[0] == 404


def test_head_asks_as_get_does() -> None:
    assert asked("/", "HEAD") == (200, "")
