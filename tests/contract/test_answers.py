"""ports.AnswerStore, over both; and what they do where there is no room, or no store."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import redis_server
from hoosh.core.cached import ENTRY_BYTES, KeptAnswer
from hoosh.core.errors import StoreFailed
from hoosh.ports import AnswerStore
from hoosh.stores.redis.answers import RedisAnswers
from hoosh.stores.redis.keyspace import Keyspace
from hoosh.stores.sqlite.answers import SQLiteAnswers

Make = Callable[[], AnswerStore]
ROOM = 1 << 20


@pytest.fixture(params=["sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "redis":
        namespace = f"t_{secrets.token_hex(8)}"
        return lambda: RedisAnswers(Keyspace(redis_server.shared().url, namespace))
    return lambda: SQLiteAnswers(tmp_path / "data" / "cache.db")


def play(make: Make, scene: Callable[[AnswerStore, AnswerStore], Awaitable[None]]) -> None:
    """In two processes' stead: two that have opened the same."""

    async def main() -> None:
        stores = make(), make()
        try:
            await scene(*stores)
        finally:
            for store in stores:
                await store.close()

    asyncio.run(main())


def kept(n: int, tenant: str = "a", model: str = "m", body: bytes = b"\x00\xff", expires_s: int = 0) -> KeptAnswer:
    who = {"tenant": tenant, "asked": "fast", "provider": "p", "model": model}
    return KeptAnswer(key=b"%032d" % n, **who, stored_s=100, expires_s=expires_s, body=body)


def test_what_one_puts_the_other_gets(make: Make) -> None:
    async def scene(one: AnswerStore, other: AnswerStore) -> None:
        assert await other.get(kept(1).key, 100) is None
        await one.put(kept(1), ROOM)
        await one.put(kept(2, expires_s=400), ROOM)
        assert await other.get(kept(1).key, 10**9) == kept(1)
        assert await other.get(kept(2).key, 399) == kept(2, expires_s=400)
        assert await other.get(kept(2).key, 400) is None
        await other.put(kept(1, body=b"new"), ROOM)
        assert await one.get(kept(1).key, 100) == kept(1, body=b"new")

    play(make, scene)


def test_a_purge_is_of_one_tenant_and_of_some_models(make: Make) -> None:
    async def scene(one: AnswerStore, other: AnswerStore) -> None:
        for n, (tenant, model) in enumerate((("a", "m"), ("a", "n-1"), ("b", "m"), ("b", "n-2"))):
            await one.put(kept(n, tenant, model), ROOM)
        assert await other.purge("a", "p/n-[!2]") == 1
        assert await other.purge("a", "n*") == 0
        assert await other.purge("a", "fas?") == 1
        assert await one.purge(None, "n*") == 1
        assert [await one.get(kept(n).key, 100) is not None for n in range(4)] == [False, False, True, False]
        assert await one.purge(None, "*") == 1

    play(make, scene)


def test_the_oldest_go_where_there_is_no_room_in_the_file(tmp_path: Path) -> None:
    async def scene(one: AnswerStore, other: AnswerStore) -> None:
        room = 3 * ENTRY_BYTES + 10
        for n in range(5):
            await (one, other)[n % 2].put(kept(n, body=b"xx"), room)
        assert [await one.get(kept(n).key, 100) is not None for n in range(5)] == [False, False, True, True, True]
        await one.put(kept(5, body=b"x" * room), room)
        assert await one.purge(None, "*") == 0

    play(lambda: SQLiteAnswers(tmp_path / "cache.db"), scene)


def test_a_file_that_is_none_is_a_store_that_failed(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"no database" * 100)

    async def scene(one: AnswerStore, other: AnswerStore) -> None:
        with pytest.raises(StoreFailed):
            await one.get(kept(1).key, 100)
        with pytest.raises(StoreFailed):
            await one.put(kept(1), ROOM)

    play(lambda: SQLiteAnswers(tmp_path / "cache.db"), scene)
