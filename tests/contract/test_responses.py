"""ports.Responses, over every store of them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hoosh.core.errors import StoreFailed
from hoosh.core.kept import Bounds, KeptResponse
from hoosh.http.responses import died
from hoosh.ports import Responses
from hoosh.stores.responses_memory import MemoryResponses
from hoosh.stores.responses_sqlite import SQLiteResponses

BOUNDS = Bounds(age_s=100, entries=3, size_bytes=100)


class HandClock:
    now_s = 1000

    def monotonic_ns(self) -> int:
        return self.now_s * 10**9

    def unix_s(self) -> int:
        return self.now_s


Make = Callable[[HandClock], Responses]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return lambda clock: MemoryResponses(BOUNDS, clock)
    return lambda clock: SQLiteResponses(tmp_path / "data" / "r.db", BOUNDS, clock, died)


def kept(identity: str, owner: str = "me", response: bytes = b"{}", *, created_s: int = 1000) -> KeptResponse:
    return KeptResponse(id=identity, owner=owner, created_s=created_s, response=response, context=b"[1]")


def run(make: Make, work: Callable[[Responses, HandClock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = HandClock()
        store = make(clock)
        try:
            await work(store, clock)
        finally:
            await store.close()

    asyncio.run(main())


async def ids(store: Responses, owner: str = "me") -> set[str]:
    return {name for name in "abcdef" if await store.get(owner, name)}


def test_what_is_put_is_found_whole(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        value = KeptResponse(id="a", owner="me", created_s=1000, response=b'{"a":1}', context=b"[2]", running=True)
        await store.put(value)
        assert await store.get("me", "a") == value
        assert await store.get("me", "b") is None

    run(make, work)


def test_nobody_else_finds_or_drops_it(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        await store.put(kept("a"))
        await store.put(kept("a", "you", b"[]"))
        assert await store.get("they", "a") is None
        assert not await store.drop("they", "a")
        mine, yours = await store.get("me", "a"), await store.get("you", "a")
        assert mine is not None
        assert yours is not None
        assert (mine.response, yours.response) == (b"{}", b"[]")
        assert await store.drop("you", "a")
        assert await store.get("me", "a") == mine

    run(make, work)


def test_a_second_put_takes_the_place_of_the_first(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        for text in (b"1", b"2", b"3" * 40, b"4"):
            await store.put(kept("a", response=text))
        await store.put(kept("b"))
        await store.put(kept("c"))
        found = await store.get("me", "a")
        assert found is not None
        assert found.response == b"4"
        assert await ids(store) == {"a", "b", "c"}

    run(make, work)


def test_what_is_dropped_is_gone_and_makes_room(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        for name in "abc":
            await store.put(kept(name))
        assert await store.drop("me", "b")
        assert not await store.drop("me", "b")
        await store.put(kept("d"))
        assert await ids(store) == {"a", "c", "d"}

    run(make, work)


def test_the_oldest_go_where_there_are_too_many(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        for name in "abcd":
            await store.put(kept(name))
        assert await ids(store) == {"b", "c", "d"}

    run(make, work)


def test_the_oldest_go_where_they_take_too_much(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        await store.put(kept("a", response=b"x" * 40))
        await store.put(kept("b", response=b"x" * 40))
        await store.put(kept("c", response=b"x" * 40))
        assert await ids(store) == {"b", "c"}
        await store.put(kept("d", response=b"x" * 200))
        assert await ids(store) == set()

    run(make, work)


def test_the_old_are_not_found_any_more(make: Make) -> None:
    async def work(store: Responses, clock: HandClock) -> None:
        await store.put(kept("a"))
        clock.now_s += 99
        await store.put(kept("b", created_s=clock.now_s))
        assert await ids(store) == {"a", "b"}
        clock.now_s += 1
        assert await ids(store) == {"b"}
        assert not await store.drop("me", "a")

    run(make, work)


def test_a_put_that_nobody_waits_for_any_more_is_done(make: Make) -> None:
    async def work(store: Responses, _: HandClock) -> None:
        task = asyncio.create_task(store.put(kept("a")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await ids(store) == {"a"}

    run(make, work)


def _sqlite(path: Path, clock: HandClock) -> SQLiteResponses:
    return SQLiteResponses(path, BOUNDS, clock, died)


def test_a_file_outlives_its_gateway_and_what_ran_has_failed(tmp_path: Path) -> None:
    async def first() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        await store.put(kept("a"))
        await store.put(
            KeptResponse(id="b", owner="me", created_s=1000, response=b'{"id":"b"}', context=b"[]", running=True)
        )
        # The process dies here: nothing is closed.

    async def second() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        assert await store.get("me", "a") == kept("a")
        found = await store.get("me", "b")
        assert found is not None
        assert not found.running
        assert b'"status":"failed"' in found.response
        for name in "cd":
            await store.put(kept(name))
        assert await ids(store) == {"b", "c", "d"}
        await store.close()

    asyncio.run(first())
    asyncio.run(second())


def test_nothing_is_made_before_there_is_something_to_keep(tmp_path: Path) -> None:
    async def work() -> None:
        store = _sqlite(tmp_path / "data" / "r.db", HandClock())
        await store.close()

    asyncio.run(work())
    assert not (tmp_path / "data").exists()


def test_only_the_owner_of_the_file_may_read_it(tmp_path: Path) -> None:
    async def work() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        await store.put(kept("a"))
        await store.close()

    asyncio.run(work())
    assert (tmp_path / "r.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("make_bad", [Path.mkdir, lambda path: path.write_bytes(b"no database" * 100)])
def test_a_file_that_cannot_be_used_is_said_to_be_so(tmp_path: Path, make_bad: Callable[[Path], object]) -> None:
    make_bad(tmp_path / "r.db")

    async def work() -> None:
        store = _sqlite(tmp_path / "r.db", HandClock())
        with pytest.raises(StoreFailed):
            await store.put(kept("a"))
        with pytest.raises(StoreFailed):
            await store.get("me", "a")
        await store.close()

    asyncio.run(work())
