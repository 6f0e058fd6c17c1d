"""Rows of tests/engine/test_configuration_has_effect.py for keys and the admin listener:
(key, one file, another file, what to look at, what it must be for each).
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from hoosh.core.errors import HooshError
from hoosh.http.door import DoorSettings
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.http.side import administer

Look = Callable[[Any], object | Awaitable[object]]

QUIET = "[discovery]\nenabled = false\nenv_keys = false\nrefresh_s = 0\n[embedded]\nenabled = false\n"
TOKEN = "a-token-of-good-length"
KEYED = QUIET + f"[[keys]]\nname = 'laptop'\ntoken = '{TOKEN}'\n"
STORE = "[keys_store]\n"
ADMIN = QUIET + "[admin]\nenabled = true\nport = 0\n"
PEPPER = "p" * 32


def who(field: str) -> Look:
    return lambda built: getattr(built.gateway.keys.identify(TOKEN), field)


def caller(built: Any) -> object:
    try:
        return built.gateway.keys.identify(TOKEN).key_id
    except HooshError as error:
        return error.status


async def peppers(built: Any) -> object:
    return [pepper.decode() for pepper in (await built.gateway.key_room.peppers.known()).values()]


async def second_stranger(built: Any) -> object:
    for _ in range(2):
        wire = MemoryWire()
        await built.gateway.app(Exchange("GET", "/v1/models", {b"x-api-key": b"wrong"}, wire))
    return wire.status


async def place(built: Any) -> object:
    config = built.gateway.config.admin
    if not config.enabled:
        return "nowhere"
    side = await administer(built.gateway.key_room.admin_app(built.gateway.metering), config, DoorSettings())
    await side.stop()
    return re.sub(r":\d+$", "", side.place)


async def by_name(built: Any) -> object:
    wire = MemoryWire()
    await built.gateway.key_room.admin_app(built.gateway.metering)(
        Exchange("GET", "/admin/keys", {b"host": b"gate.example"}, wire)
    )
    return wire.status


async def by_a_name_without_a_key(built: Any) -> object:
    wire = MemoryWire()
    await built.gateway.app(Exchange("GET", "/v1/models", {b"host": b"gate.example"}, wire))
    return wire.status


def grace(built: Any) -> object:
    return built.gateway.keys._rules.grace_s


ROWS: tuple[tuple[str, str, str, Look, object, object], ...] = (
    ("server.host", QUIET, QUIET + "[server]\nhost = 'gate.example'\n", by_a_name_without_a_key, 403, 200),
    ("keys.owner", KEYED, KEYED + "owner = 'Ada'\n", who("owner"), "", "Ada"),
    ("keys.agents", KEYED, KEYED + "agents = ['x']\n", who("agents"), (), ("x",)),
    ("keys.models", KEYED, KEYED + "models = ['x']\n", who("models"), (), ("x",)),
    ("keys.pools", KEYED, KEYED + "pools = ['x']\n", who("pools"), (), ("x",)),
    ("keys.routes", KEYED, KEYED + "routes = ['x']\n", who("routes"), (), ("x",)),
    ("keys.admin", KEYED, KEYED + "admin = true\n", who("is_admin"), False, True),
    ("keys.expires", KEYED, KEYED + "expires = 2020-01-01T00:00:00Z\n", caller, "laptop", 401),
    ("keys_store.pepper", QUIET, QUIET + STORE + f"pepper = '{PEPPER}'\n", peppers, [], [PEPPER]),
    ("keys_store.previous_pepper", QUIET, QUIET + STORE + f"previous_pepper = '{PEPPER}'\n", peppers, [], [PEPPER]),
    ("keys_store.required", QUIET, QUIET + STORE + "required = true\n", caller, "anonymous", 401),
    ("keys_store.grace_s", QUIET, QUIET + STORE + "grace_s = 7\n", grace, 60, 7),
    ("keys_store.failures_per_minute", KEYED, KEYED + STORE + "failures_per_minute = 1\n", second_stranger, 401, 429),
    ("admin.enabled", QUIET, ADMIN, place, "nowhere", "http://127.0.0.1"),
    ("admin.bind", ADMIN, ADMIN + "bind = '127.0.0.2'\n", place, "http://127.0.0.1", "http://127.0.0.2"),
    ("admin.port", QUIET, ADMIN, lambda b: b.gateway.config.admin.port, 8089, 0),
    ("admin.socket", ADMIN, ADMIN + "socket = '{path}/a.sock'\n", place, "http://127.0.0.1", "{path}/a.sock"),
    ("admin.host", QUIET, QUIET + "[admin]\nhost = 'gate.example'\n", by_name, 403, 401),
)
