"""What the settings of budgets and of their store change, for engine/test_configuration_has_effect.py."""

from collections.abc import Callable
from typing import TypeAlias

import postgres_server
from gateway import QUIET
from hoosh.app import Gateway
from hoosh.stores.postgres.database import Database
from hoosh.stores.postgres.ledger import PostgresLedger

SMALL = f"{QUIET}[[budgets]]\nname = 'small'\n"
BIG = "[[budgets]]\nname = 'big'\n"
OTHER = "[[budgets.overrides]]\nuntil = 2099-01-01T00:00:00Z\n"

Told: TypeAlias = Callable[[Gateway], object]
Cells: TypeAlias = tuple[str, str, str, Told, object, object]


def ceiling(gateway: Gateway) -> object:
    """Of "small" now, as a call meets it: tokens, micro-USD, milliseconds of audio."""
    state = gateway.budgeting.pools["small"]
    state.at(1_800_000_000)
    return state.desk.ceiling


def terms(name: str, agent: str = "") -> Told:
    return lambda gateway: getattr(gateway.budgeting.pools.terms("small", "", agent), name)


def charged(gateway: Gateway) -> object:
    return [state.pool.name for state in gateway.budgeting.pools.chain(("small",))]


def window(gateway: Gateway) -> object:
    """How long it lasts that 2027-01-15 08:00 UTC is in, and when it began."""
    state = gateway.budgeting.pools["small"]
    state.at(1_800_000_000)
    now = state.window
    return (now.end_s - now.start_s, now.start_s)


def pool(name: str) -> Told:
    return lambda gateway: getattr(gateway.budgeting.pools["small"].pool, name)


def database(gateway: Gateway) -> Database:
    ledger = gateway.budgeting.ledger
    assert isinstance(ledger, PostgresLedger)
    return ledger.database


DAY = SMALL + "period = 'day'\n"
CAP = SMALL + "capacity = 9999\n"
URL = postgres_server.shared().url
POSTGRES = f"{QUIET}[store]\nkind = 'postgres'\nurl = '{URL}'\n"
# (key, one file, another, what is looked at, what it is under each)
BUDGET_ROWS: tuple[Cells, ...] = (
    ("budgets.capacity", SMALL, CAP, ceiling, (-1, -1, -1), (9999, -1, -1)),
    ("budgets.capacity_usd", SMALL, SMALL + "capacity_usd = 0.1\n", ceiling, (-1, -1, -1), (-1, 100_000, -1)),
    ("budgets.capacity_audio_s", SMALL, SMALL + "capacity_audio_s = 7\n", ceiling, (-1, -1, -1), (-1, -1, 7000)),
    ("budgets.parent", SMALL + BIG, SMALL + "parent = 'big'\n" + BIG, charged, ["small"], ["small", "big"]),
    ("budgets.agent", SMALL + BIG, SMALL + BIG + "agent = 'a'\n", terms("pools", "a"), ("small",), ("small", "big")),
    ("budgets.period", SMALL, DAY, window, (0, 0), (86_400, 1_799_971_200)),
    ("budgets.rolling", DAY, DAY + "rolling = true\n", window, (86_400, 1_799_971_200), (87_840, 1_799_913_600)),
    ("budgets.time_zone", DAY, DAY + "time_zone = 'Asia/Tehran'\n", window, (86_400, 1_799_971_200), (86_400, 1_799_958_600)),
    ("budgets.carry_over_percent", DAY, DAY + "carry_over_percent = 20\n", pool("carry_percent"), 0, 20),
    ("budgets.alert_percents", SMALL, SMALL + "alert_percents = [50]\n", pool("alerts"), (80, 95), (50,)),
    ("budgets.hard", CAP, CAP + "hard = false\n", terms("is_capped"), True, False),
    ("budgets.unbounded", CAP, CAP + "unbounded = 'allow'\n", terms("allows_unbounded"), False, True),
    ("budgets.default_max_tokens", CAP, CAP + "default_max_tokens = 7\n", terms("output_tokens"), 4096, 7),
    ("budgets.top_up", CAP, CAP + "top_up = true\n", terms("top_up"), False, True),
    ("budgets.overrides.until", CAP, CAP + OTHER + "capacity = 5\n", ceiling, (9999, -1, -1), (5, -1, -1)),
    ("budgets.overrides.capacity", CAP + OTHER, CAP + OTHER + "capacity = 5\n", ceiling, (-1, -1, -1), (5, -1, -1)),
    ("budgets.overrides.capacity_usd", CAP + OTHER, CAP + OTHER + "capacity_usd = 5\n", ceiling, (-1, -1, -1), (-1, 5_000_000, -1)),
    ("budgets.overrides.capacity_audio_s", CAP + OTHER, CAP + OTHER + "capacity_audio_s = 5\n", ceiling, (-1, -1, -1), (-1, -1, 5000)),
    ("budgets.overrides.since", CAP + OTHER, CAP + OTHER + "since = 2098-01-01T00:00:00Z\n", ceiling, (-1, -1, -1), (9999, -1, -1)),
    ("server.on_disconnect", QUIET, QUIET + "[server]\non_disconnect = 'drain'\n", lambda gateway: gateway.drains is not None, False, True),
    ("store.kind", QUIET, QUIET + "[store]\nkind = 'memory'\n", lambda gateway: type(gateway.budgeting.ledger).__name__, "SQLiteLedger", "MemoryLedger"),
    ("store.url", POSTGRES, POSTGRES.replace(URL, f"{URL}?application_name=me"), lambda gateway: vars(database(gateway))["_manner"]["dsn"], URL, f"{URL}?application_name=me"),
    ("store.namespace", POSTGRES, POSTGRES + "namespace = 'mine'\n", lambda gateway: database(gateway).schema, "hoosh", "mine"),
    ("store.allow_volatile", POSTGRES, POSTGRES + "allow_volatile = true\n", lambda gateway: vars(database(gateway))["_allow_volatile"], False, True),
    ("store.durability", QUIET, QUIET + "[store]\ndurability = 'durable'\n", lambda gateway: gateway.budgeting.escrow._durable, False, True),
    ("store.lease_s", QUIET, QUIET + "[store]\nlease_s = 7\n", lambda gateway: gateway.budgeting.courier.manner.lease_s, 30, 7),
    ("store.keep_days", QUIET, QUIET + "[store]\nkeep_days = 1\n", lambda gateway: gateway.budgeting.courier.manner.keep_s, 90 * 86_400, 86_400),
)  # fmt: skip
