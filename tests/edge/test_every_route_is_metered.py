"""There is no way to a provider past the budgets: each route of the table is one of those that ask none, or is refused
where nothing is left, and then no provider has heard of it.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Provider, Running, one_provider, provider, serving
from hoosh.app import Gateway, known_types
from hoosh.config.load import load_text
from hoosh.telemetry.log import QuietJournal

HI = [{"role": "user", "content": "Hi"}]
PARTS = [{"role": "user", "parts": [{"text": "Hi"}]}]
# Where a provider may be asked, by method and path: a body, and the path's tail where it has one.
ASKED: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("POST", "/v1/chat/completions"): ("", {"model": "echo", "messages": HI}),
    ("POST", "/v1/completions"): ("", {"model": "echo", "prompt": "Hi"}),
    ("POST", "/v1/embeddings"): ("", {"model": "echo", "input": "Hi"}),
    ("POST", "/v1/moderations"): ("", {"model": "echo", "input": "Hi"}),
    ("POST", "/v1/rerank"): ("", {"model": "rank", "query": "Hi", "documents": ["a"]}),
    ("POST", "/v2/rerank"): ("", {"model": "rank", "query": "Hi", "documents": ["a"]}),
    ("POST", "/v1/messages"): ("", {"model": "echo", "max_tokens": 9, "messages": HI}),
    ("POST", "/v1/responses"): ("", {"model": "echo", "input": "Hi"}),
    ("POST", "/v1beta/models/*"): ("echo:generateContent", {"contents": PARTS}),
    ("POST", "/v1/models/*"): ("echo:streamGenerateContent", {"contents": PARTS}),
    ("POST", "/api/chat"): ("", {"model": "echo", "messages": HI}),
    ("POST", "/api/generate"): ("", {"model": "echo", "prompt": "Hi"}),
    ("POST", "/api/embed"): ("", {"model": "echo", "input": "Hi"}),
    ("POST", "/api/embeddings"): ("", {"model": "echo", "prompt": "Hi"}),
}
# What asks no provider for anything that costs: pages, what is kept, what is stored here, and counting. A batch's lines
# are asked at the routes above (tests/edge/test_batches.py).
FREE = {
    *(("GET", path) for path in ("/", "/livez", "/readyz", "/v1/health", "/v1/health/providers", "/v1/models")),
    ("GET", "/metrics"),
    *(("GET", "/v1/cache/stats"), ("DELETE", "/v1/cache")),
    *(("GET", path) for path in ("/v1/models/*", "/v1beta/models", "/v1beta/models/*", "/v1/usage", "/v1/costs")),
    *(("GET", f"/api/{page}") for page in ("tags", "ps", "version")),
    *(("POST", f"/v1/tokens/{verb}") for verb in ("check", "reserve", "report", "release")),
    *(("GET", path) for path in ("/v1/tokens/pools", "/v1/tokens/pools/*")),
    ("POST", "/v1/route/explain"),
    ("GET", "/v1/route/decisions/*"),
    *((method, "/v1/responses/*") for method in ("GET", "POST", "DELETE")),
    *((method, path) for method in ("GET", "POST") for path in ("/v1/files", "/v1/batches", "/v1/batches/*")),
    *((method, "/v1/files/*") for method in ("GET", "DELETE")),
    *(("POST", "/api/show"), ("POST", "/api/pull"), ("DELETE", "/api/delete"), ("POST", "/v1/messages/count_tokens")),
}
QUIET = "[discovery]\nenabled = false\nenv_keys = false\n[embedded]\nenabled = false\n"
BUDGET = '[[budgets]]\nname = "default"\ncapacity = 1\n'
RANKING = '[[providers]]\ntype = "vllm"\nname = "ranking"\nbase_url = "{url}"\nmodels = ["rank"]\n'


def table(home: Path) -> set[tuple[str, str]]:
    async def main() -> set[tuple[str, str]]:
        environ = {"HOOSH_HOME": str(home / "hoosh")}
        gateway = Gateway(load_text(QUIET, None, environ, known_types()), environ, QuietJournal())
        await gateway.open()
        try:
            return {(route.method, route.path) for route in gateway.app.routes}
        finally:
            await gateway.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def broke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Provider]]:
    """A gateway whose budget has room for nothing."""
    home = tmp_path_factory.mktemp("broke")
    with provider() as fake:
        config = one_provider(fake.url) + BUDGET + RANKING.format(url=fake.url)
        with serving(home, config) as gateway:
            yield gateway, fake


def test_each_route_asks_no_provider_or_is_tried_below(tmp_path: Path) -> None:
    assert table(tmp_path) == ASKED.keys() | FREE
    assert not ASKED.keys() & FREE


@pytest.mark.parametrize("route", ASKED, ids=" ".join)
def test_no_provider_hears_of_a_call_that_nobody_can_pay(
    broke: tuple[Running, Provider], route: tuple[str, str]
) -> None:
    gateway, fake = broke
    tail, body = ASKED[route]
    told = gateway.json(body, path=route[1].replace("*", "") + tail)
    assert told.status == 429, told.value
    assert "budget" in str(told.value)
    assert fake.bodies == []


def test_with_a_budget_each_of_them_reaches_the_provider(tmp_path: Path) -> None:
    """Else the refusals above would say nothing."""
    with provider() as fake:
        config = one_provider(fake.url) + RANKING.format(url=fake.url)
        with serving(tmp_path, config) as gateway:
            for (_, path), (tail, body) in ASKED.items():
                asked = len(fake.bodies)
                gateway.json(body, path=path.replace("*", "") + tail)
                assert len(fake.bodies) > asked, path
