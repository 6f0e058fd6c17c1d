"""Every route of both listeners, asked with every kind of key: who may not, gets no 2xx; who may, is not refused."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway import QUIET
from hoosh.app import Gateway, known_types
from hoosh.config.load import load
from hoosh.core.stored_key import KeyTerms
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.http.routes import App, Route
from hoosh.telemetry.log import QuietJournal

OPEN = {"/", "/livez", "/readyz", "/v1/health"}
PROVIDER = '[[providers]]\ntype = "openai"\nname = "p"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["m", "n"]\n'
ADMIN = "[admin]\nenabled = true\nport = 0\n[keys_store]\nfailures_per_minute = 0\n"
KEYS = "\n".join(
    f'[[keys]]\nname = "{name}"\ntoken = "token-of-the-{name}-key"\n{terms}\n'
    for name, terms in (
        ("whole", ""),
        ("old", "expires = 2020-01-01T00:00:00Z"),
        ("elsewhere", 'routes = ["nowhere", "/no/*"]'),
        ("other", 'models = ["x-*"]'),
        ("chief", "admin = true"),
    )
)
REFUSED = {401, 403}
Scene = Callable[[Gateway, dict[str, str | None]], Awaitable[None]]


def play(directory: Path, scene: Scene) -> None:
    async def main() -> None:
        path = directory / "hoosh.toml"
        path.write_text(QUIET + PROVIDER + ADMIN + KEYS)
        gateway = Gateway(load(path, {}, known_types()), {"HOOSH_HOME": str(directory)}, QuietJournal())
        try:
            await gateway.open()
            await scene(gateway, await tokens(gateway))
        finally:
            await gateway.close()

    asyncio.run(main())


async def tokens(gateway: Gateway) -> dict[str, str | None]:
    names = ("whole", "old", "elsewhere", "other", "chief")
    found: dict[str, str | None] = {name: f"token-of-the-{name}-key" for name in names}
    office = gateway.key_room.office
    for name, terms in (
        ("kept", KeyTerms("kept")),
        ("revoked", KeyTerms("revoked")),
        ("kept_chief", KeyTerms("kept_chief", admin=True)),
        ("kept_elsewhere", KeyTerms("kept_elsewhere", routes=("nowhere",))),
    ):
        found[name] = (await office.create(terms)).secret
    await office.revoke("revoked")
    await gateway.keys.look()
    return {"none": None, "wrong": "no-such-token-at-all", "cut": str(found["kept"])[:-1], **found}


async def ask(app: App, route: Route, token: str | None, host: bytes = b"localhost") -> tuple[int, bytes]:
    hi = [{"role": "user", "content": "Hi"}]
    asked = {"model": "m", "messages": hi, "prompt": "Hi", "input": "Hi", "max_tokens": 9}
    body = json.dumps({"name": "made"} if route.path.startswith("/admin") else asked).encode()
    headers = {b"host": host, b"content-type": b"application/json"}
    if token is not None:
        headers[b"authorization"] = b"Bearer " + token.encode()
    wire = MemoryWire(body)
    await app(Exchange(route.method, route.path.replace("*", "made"), headers, wire))
    return wire.status, wire.said


def test_the_data_plane(tmp_path: Path) -> None:
    async def scene(gateway: Gateway, tokens: dict[str, str | None]) -> None:
        app = gateway.app
        assert len(app.routes) > 25
        for route in app.routes:
            for name, token in tokens.items():
                wire, said = await ask(app, route, token)
                where = f"{name} {route.method} {route.path}: {wire} {said[:200]!r}"
                if route.path in OPEN:
                    assert wire == 200, where
                elif name in {"none", "wrong", "cut", "old", "revoked"}:
                    assert wire == 401, where
                elif name in {"elsewhere", "kept_elsewhere"}:
                    assert wire == 403, where
                elif name == "other":
                    assert (route.name == "models" and route.path != "/api/show") <= (b'"m"' not in said), where
                else:
                    assert wire not in REFUSED, where

    play(tmp_path, scene)


def test_what_is_open_is_what_is_meant_to_be(tmp_path: Path) -> None:
    async def scene(gateway: Gateway, tokens: dict[str, str | None]) -> None:
        assert {route.path for route in gateway.app.routes if not route.guarded} == OPEN
        assert all(route.name for route in gateway.app.routes if route.guarded)
        told = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")
        assert [route.path for route in gateway.app.routes if route.guarded and f"`{route.name}`" not in told] == []
        admin = gateway.key_room.admin_app(gateway.metering)
        assert all(route.guarded for route in admin.routes)
        assert {route.path for route in admin.routes} & {route.path for route in gateway.app.routes} == {"/metrics"}

    play(tmp_path, scene)


def test_no_model_is_served_to_a_key_that_is_held_to_others(tmp_path: Path) -> None:
    async def scene(gateway: Gateway, tokens: dict[str, str | None]) -> None:
        asked = 0
        for route in gateway.app.routes:
            if route.method == "POST" and route.name in {"chat", "completions", "embeddings", "messages", "responses"}:
                status, said = await ask(gateway.app, route, tokens["other"])
                if route.path.endswith("*"):
                    continue
                asked += 1
                assert status == 403, (route.path, said)
                assert b"may not use model" in said
        assert asked == 5

    play(tmp_path, scene)


def test_the_admin_listener(tmp_path: Path) -> None:
    async def scene(gateway: Gateway, tokens: dict[str, str | None]) -> None:
        app = gateway.key_room.admin_app(gateway.metering)
        for route in app.routes:
            for name, token in tokens.items():
                status, said = await ask(app, route, token)
                where = f"{name} {route.method} {route.path}: {status} {said[:200]!r}"
                if name in {"chief", "kept_chief"}:
                    assert status not in {*REFUSED, 500}, where
                else:
                    assert status in REFUSED, where
            assert (await ask(app, route, tokens["chief"], b"evil.example"))[0] == 403

    play(tmp_path, scene)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/", "/livez", "/api/tags"])
def test_neither_listener_has_a_route_of_the_other(path: str, tmp_path: Path) -> None:
    async def scene(gateway: Gateway, tokens: dict[str, str | None]) -> None:
        for method in ("GET", "POST"):
            there = Route(method=method, path=path, endpoint=gateway.health.root)
            assert (await ask(gateway.key_room.admin_app(gateway.metering), there, tokens["chief"]))[0] == 404
        for at in ("/admin/keys", "/admin/keys/x", "/admin/health", "/v1/admin/keys"):
            there = Route(method="GET", path=at, endpoint=gateway.health.root)
            assert (await ask(gateway.app, there, tokens["chief"]))[0] == 404

    play(tmp_path, scene)
