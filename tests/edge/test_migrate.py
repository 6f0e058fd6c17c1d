"""`hoosh migrate`: each store brought up to date by hand, and everything of `hoosh.db` moved to PostgreSQL."""

import asyncio
import json
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

import postgres_server
import redis_server
from gateway import PATIENCE_S, QUIET, Provider, clean_environ, one_provider, provider, serving
from hoosh.core.ledger import Amount, Asked, Batch, LeaseWish, Line, Scope, State
from hoosh.ports import Ledger
from hoosh.stores.postgres.database import Database
from hoosh.stores.postgres.ledger import PostgresLedger
from hoosh.stores.postgres.records import PostgresRecords
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.ledger import SQLiteLedger
from hoosh.stores.sqlite.records import SQLiteRecords

ASK = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
STATES: tuple[State, ...] = ("held", "sent", "voided", "estimated", "committed")
CEILING = Amount(1000, -1, -1)


class Killed(Exception):
    """Out of `serving`, which then ends the gateway by SIGKILL."""


@pytest.fixture
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


def in_sqlite() -> str:
    return ""


def in_postgres() -> str:
    url = postgres_server.shared().url
    return f"[store]\nkind = 'postgres'\nurl = '{url}'\nnamespace = 't_{secrets.token_hex(8)}'\n"


def in_redis() -> str:
    url = redis_server.shared().url
    return f"[store]\nkind = 'redis'\nurl = '{url}'\nnamespace = 't_{secrets.token_hex(8)}'\n"


def migrate(home: Path, config: str, *words: str) -> subprocess.CompletedProcess[str]:
    (home / "hoosh.toml").write_text(config)
    command = [sys.executable, "-m", "hoosh", "migrate", *words]
    return subprocess.run(
        command, cwd=home, env=clean_environ(home), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def schema_of(config: str) -> str:
    return config.split("namespace = '")[1].partition("'")[0]


@pytest.mark.parametrize("store", [in_sqlite, in_postgres, in_redis])
def test_a_store_is_brought_up_to_date_once(tmp_path: Path, store: Callable[[], str]) -> None:
    config = QUIET + store()
    for _ in range(2):
        done = migrate(tmp_path, config, "--check", "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["applied"]) == (1, 0)
        assert told["pending"] > 0
    done = migrate(tmp_path, config)
    assert (done.returncode, done.stderr) == (0, "")
    assert "applied" in done.stdout
    done = migrate(tmp_path, config, "--check")
    assert done.returncode == 0
    assert done.stdout.endswith(": up to date\n")


def test_a_store_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    done = migrate(tmp_path, QUIET + "[store]\nkind = 'postgres'\nurl = 'postgresql://127.0.0.1:1/none'\n", "--check")
    assert done.returncode == 1
    assert done.stderr.startswith("hoosh: the store in PostgreSQL failed")
    assert len(done.stderr.splitlines()) == 1


def test_what_a_gateway_kept_goes_on_in_postgres(tmp_path: Path, fake: Provider) -> None:
    """Also what it had under way when it was killed, and its keys."""
    budget = '[[budgets]]\nname = "default"\ncapacity = 1000\n'
    before, after = one_provider(fake.url) + budget, one_provider(fake.url) + budget + in_postgres()
    with suppress(Killed), serving(tmp_path, before) as gateway:
        for _ in range(3):
            assert gateway.json(ASK).status == 200
        raise Killed
    assert list((tmp_path / "hoosh" / "journals").iterdir())
    home = clean_environ(tmp_path)
    command = [sys.executable, "-m", "hoosh", "keys", "create", "--name", "ada", "--json"]
    made = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True, check=True)
    secret = json.loads(made.stdout)["secret"]

    done = migrate(tmp_path, after, "--from-sqlite")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 lines" in done.stdout
    assert "1 records" in done.stdout
    home_folder = tmp_path / "hoosh"
    assert sorted(path.name for path in home_folder.glob("hoosh.db*")) == ["hoosh.db.moved"]
    assert not list((home_folder / "journals").iterdir())
    with serving(tmp_path, after) as gateway:
        assert gateway.json(ASK).status == 401
        key = f"authorization: Bearer {secret}"
        pool = gateway.ask(b"", key, path="/v1/tokens/pools/default", method="GET").value
        assert (pool["used"], pool["reserved"]) == (15, 0)
        assert gateway.json(ASK, key).status == 200
    assert not (home_folder / "hoosh.db").exists()


def some(seed: int) -> list[Batch]:
    chance, batches = Random(seed), []
    for n in range(40):
        lines = tuple(
            Line(
                id=f"l{chance.randrange(60)}",
                state=chance.choice(STATES),
                scopes=(Scope("p"), Scope(f"q{chance.randrange(3)}", 60 * chance.randrange(3), 60)),
                held=Amount(chance.randrange(9), chance.randrange(9), chance.randrange(9)),
                used=Amount(chance.randrange(9), chance.randrange(9), chance.randrange(9)),
                gateway=chance.choice(("g", "")),
                expires_ms=chance.choice((1, 1 << 45)),
                reserved_ms=chance.randrange(1 << 40),
                settled_ms=chance.randrange(1 << 40),
                estimated=chance.random() < 0.5,
                absorbed=chance.random() < 0.5,
                cache_hit=chance.random() < 0.5,
                priced=chance.choice(("known", "unknown")),
                model=chance.choice(("m\0m", "\u0635")),
            )
            for _ in range(5)
        )
        wishes = (LeaseWish("p", 0, 0, CEILING, Amount(9), Amount(n), Amount(1), urgent=True),)
        gateway = chance.choice(("g", "h"))
        batches.append(Batch(gateway=gateway, epoch="", lease_ms=1, journalled=True, lines=lines, leases=wishes))
    return batches


async def fill(folder: Path) -> None:
    file = StoreFile(folder / "hoosh.db")
    ledger, records = SQLiteLedger(file), SQLiteRecords(file)
    epoch = await ledger.open()
    for batch in some(1):
        await ledger.sync(msgspec.structs.replace(batch, epoch=epoch))
    await ledger.carry("p", 60, Amount(1, 2, 3))
    for name in ("a", "b"):
        await records.put("key", name, bytes(range(256)))
    await records.drop("key", "b")
    await ledger.prune(1 << 39)
    await ledger.close()


async def books(ledger: Ledger) -> Any:
    audit = msgspec.structs.replace(await ledger.audit(), now_ms=0)
    told = [
        json.loads(msgspec.json.encode(part).decode().replace("\\u0000", "\ufffd"))
        for part in (audit, await ledger.usage(0, 1 << 40))
    ]
    for part in ("books", "leases", "open_lines"):
        told[0][part].sort(key=str)
    asked = [Asked("p"), Asked("q", 60, 60)]
    return told[0], sorted(told[1], key=str), await ledger.standing(asked), await ledger.carry("p", 60, Amount())


def test_all_books_are_the_same_afterwards(tmp_path: Path) -> None:
    folder, config = tmp_path / "hoosh", QUIET + in_postgres()

    async def main() -> None:
        await fill(folder)
        left = SQLiteLedger(StoreFile(folder / "hoosh.db"))
        await left.open()
        await left.sweep()
        before = await books(left)
        await left.close()
        done = await asyncio.to_thread(migrate, tmp_path, config, "--from-sqlite", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["moved"]["records"] == 1
        database = Database(postgres_server.shared().url, schema_of(config))
        assert await books(PostgresLedger(database)) == before
        records = PostgresRecords(database)
        assert await records.get_all("key") == {"a": bytes(range(256))}
        assert await records.version() == 3
        await database.close()

    asyncio.run(main())


def refused(done: subprocess.CompletedProcess[str], told: str, folder: Path) -> None:
    """All or nothing: what was not moved is where it was."""
    assert done.returncode != 0
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (folder / "hoosh.db").exists()


def test_a_file_that_a_gateway_uses_stays(tmp_path: Path, fake: Provider) -> None:
    config = one_provider(fake.url)
    with serving(tmp_path, config) as gateway:
        assert gateway.json(ASK).status == 200
        done = migrate(tmp_path, config + in_postgres(), "--from-sqlite")
        refused(done, "1 gateways use hoosh.db", tmp_path / "hoosh")
        assert gateway.json(ASK).status == 200


def test_a_schema_that_is_used_gets_nothing(tmp_path: Path) -> None:
    config = QUIET + in_postgres()
    folder = tmp_path / "hoosh"
    asyncio.run(fill(folder))
    assert migrate(tmp_path, config, "--from-sqlite").returncode == 0
    asyncio.run(fill(folder))
    refused(migrate(tmp_path, config, "--from-sqlite"), "is not empty", folder)


def test_what_fails_on_the_way_leaves_all_as_it_was(tmp_path: Path) -> None:
    config, folder = QUIET + in_postgres(), tmp_path / "hoosh"
    asyncio.run(fill(folder))
    with closing(sqlite3.connect(folder / "hoosh.db")) as db, db:
        db.execute("UPDATE records SET kind = CAST(x'ff' AS TEXT)")  # what is copied last
    refused(migrate(tmp_path, config, "--from-sqlite"), "the store hoosh.db failed", folder)

    async def main() -> None:
        database = Database(postgres_server.shared().url, schema_of(config))
        audit = await PostgresLedger(database).audit()
        assert (audit.books, audit.leases, audit.open_lines) == ((), (), ())
        await database.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("store", "told"), [(in_sqlite, 'store.kind is "sqlite"'), (in_postgres, "there is no"), (in_redis, "store.kind")]
)
def test_what_cannot_be_moved_is_told(tmp_path: Path, store: Callable[[], str], told: str) -> None:
    done = migrate(tmp_path, QUIET + store(), "--from-sqlite")
    assert done.returncode == 2
    assert told in done.stderr
