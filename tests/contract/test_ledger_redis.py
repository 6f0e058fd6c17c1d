"""What only a server of Valkey or Redis can meet with: it dies, is full, slow, forgets, or is another than it was."""

import asyncio
import sys
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

import redis_server
from hoosh.core.errors import ConfigError, StoreFailed
from hoosh.core.ledger import NOTHING, UNLIMITED, Amount, Asked, Batch, LeaseWish, Line, Scope
from hoosh.core.pool import MOST
from hoosh.stores.redis import keyspace as keyspace_module
from hoosh.stores.redis.keyspace import VERSION, Keyspace
from ledger_bench import CEILING, RedisBench, line, play, until_taken
from redis_server import RedisServer


async def do(bench: RedisBench, *command: str | int) -> object:
    """On the server, past the ledger."""
    async with Redis.from_url(bench.url) as redis:
        return await redis.execute_command(*command)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def frail() -> Iterator[RedisServer]:
    """One that tests may kill and fill."""
    with redis_server.server() as server:
        yield server


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_wrong_password_is_named_and_not_said(scheme: str) -> None:
    async def refused(bench: RedisBench) -> None:
        with pytest.raises(StoreFailed) as told:
            await bench.ledger.open()
        assert told.value.code == "storage_unreachable"
        assert "looking-glass" not in str(told.value)

    async def taken(bench: RedisBench) -> None:
        await bench.sync(line("a"))

    with redis_server.server() as server:
        where = server.url.partition("://")[2]
        asyncio.run(do(RedisBench(server.url), "CONFIG", "SET", "requirepass", "wonderland"))
        play(RedisBench(f"{scheme}://:looking-glass@{where}"), refused)
        play(RedisBench(f"{scheme}://:wonderland@{where}"), taken)


@pytest.mark.parametrize(
    ("settings", "durable", "told"),
    [
        (("--appendonly", "no"), False, "keeps no append-only file"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), False, "allkeys-lru"),
        ((), True, "appendfsync everysec"),
    ],
)
def test_a_server_that_may_forget_is_refused_unless_allowed(
    settings: tuple[str, ...], durable: bool, told: str
) -> None:
    async def refused(bench: RedisBench) -> None:
        with pytest.raises(StoreFailed, match=told) as failed:
            await bench.ledger.open()
        assert failed.value.code == "store_volatile"

    async def taken(bench: RedisBench) -> None:
        await bench.sync(line("a"))

    with redis_server.server(*settings) as server:
        play(RedisBench(server.url, durable=durable), refused)
        play(RedisBench(server.url, durable=durable, allow_volatile=True), taken)


def test_a_server_that_writes_at_once_is_durable() -> None:
    async def taken(bench: RedisBench) -> None:
        await bench.sync(line("a"))

    with redis_server.server("--appendfsync", "always") as server:
        play(RedisBench(server.url, durable=True), taken)


def test_a_server_that_is_full_is_named_changes_nothing_and_mends_itself(frail: RedisServer) -> None:
    async def scene(bench: RedisBench) -> None:
        await bench.sync(line("a"))
        await do(bench, "CONFIG", "SET", "maxmemory", 1)
        assert await bench.refused() == "storage_full"
        assert await bench.ledger.line("refused") is None
        await do(bench, "CONFIG", "SET", "maxmemory", 0)
        await bench.sync(line("b"))
        assert await bench.committed() == Amount(2)

    play(RedisBench(frail.url), scene)


def test_a_server_that_only_copies_another_is_named_and_can_be_read(frail: RedisServer) -> None:
    async def scene(bench: RedisBench) -> None:
        await bench.sync(line("a"))
        with redis_server.server() as other:
            copy = RedisBench(other.url, bench.namespace)
            await do(copy, "REPLICAOF", "127.0.0.1", frail.port)
            while not await do(copy, "EXISTS", f"{{{bench.namespace}}}"):
                await asyncio.sleep(0.02)
            copy.epoch = bench.epoch
            assert await copy.refused() == "storage_read_only"
            assert await copy.ledger.line("a") == line("a")
            await copy.ledger.close()

    play(RedisBench(frail.url), scene)


def test_a_server_that_is_slow_is_named(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyspace_module, "PATIENCE_S", 0.3)

    async def scene(bench: RedisBench) -> None:
        await bench.sync(line("a"))
        await do(bench, "CLIENT", "PAUSE", 1500)
        assert await bench.refused() == "store_slow"
        await until_taken(bench, line("b"))

    play(RedisBench(frail.url), scene)


def test_a_step_that_comes_after_a_later_one_of_its_gateway_changes_nothing() -> None:
    """As one does that lay in the buffer of a connection that its gateway had given up."""

    async def scene(bench: RedisBench) -> None:
        await bench.sync(want=10)
        space = bench.keyspace
        wish = LeaseWish("p", 0, 0, CEILING, NOTHING, Amount(10), NOTHING)
        old = Batch(gateway="g1", epoch=bench.epoch, lease_ms=30_000, lines=(line("a"),), leases=(wish,))
        caller, number = bench.ledger._caller("g1")
        assert (await bench.sync(want=300)).leases[0].granted == Amount(300)
        with pytest.raises(StoreFailed, match="LATE"):
            await space.run("sync", old, caller, number)
        (standing,) = await bench.ledger.standing([Asked("p")])
        assert (standing.leased, standing.committed) == (Amount(300), NOTHING)
        await bench.ledger.reconcile("g1")
        with pytest.raises(StoreFailed, match="LATE"):
            await space.run("sync", old, caller, number)
        assert (await bench.ledger.audit()).leases == ()

    play(RedisBench(), scene)


def test_another_ledger_in_its_place_is_noticed(frail: RedisServer) -> None:
    async def scene(bench: RedisBench) -> None:
        await bench.sync(line("a"))
        await do(bench, "FLUSHALL")
        assert await bench.refused() == "store_replaced"
        other = RedisBench(frail.url, bench.namespace)
        await other.sync(line("b"))
        await other.ledger.close()
        assert await bench.refused() == "store_replaced"

    play(RedisBench(frail.url), scene)


def test_keys_of_a_later_program_are_refused() -> None:
    async def scene(bench: RedisBench) -> None:
        await bench.sync()
        await do(bench, "HSET", f"{{{bench.namespace}}}", "version", VERSION + 1)
        later = RedisBench(namespace=bench.namespace)
        with pytest.raises(StoreFailed, match="made by a later hoosh") as told:
            await later.ledger.open()
        assert told.value.code == "storage_newer"

    play(RedisBench(), scene)


def test_what_is_pending_is_counted_and_nothing_is_made() -> None:
    async def scene(bench: RedisBench) -> None:
        space = bench.keyspace
        assert [await space.pending() for _ in range(2)] == [VERSION] * 2
        await bench.ledger.open()
        assert await space.pending() == 0

    play(RedisBench(), scene)


def test_amounts_that_the_server_cannot_count_are_counted_as_the_most_it_can() -> None:
    async def scene(bench: RedisBench) -> None:
        reply = await bench.sync(line("a", MOST - 5), want=1 << 60, ceiling=Amount(1 << 60, UNLIMITED, UNLIMITED))
        assert reply.leases[0].granted == Amount(5)
        await bench.sync(line("b", 1 << 62))
        kept = await bench.ledger.line("b")
        assert kept is not None
        assert kept.used == Amount(MOST)

    play(RedisBench(), scene)


def test_any_text_is_kept_as_it_is() -> None:
    async def scene(bench: RedisBench) -> None:
        told = Line(id="a\0:\u0635", state="held", scopes=(Scope("p:0\0"),), model="m\0m", agent="\\u0000", gateway="")
        await bench.sync(told)
        assert await bench.ledger.line(told.id) == told
        assert (await bench.ledger.audit()).open_lines[0].scopes == told.scopes

    play(RedisBench(), scene)


def test_a_missing_client_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r'pip install "hoosh\[redis\]"'):
        Keyspace("redis://127.0.0.1")
