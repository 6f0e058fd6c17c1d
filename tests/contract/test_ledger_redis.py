"""What only a server of Valkey or Redis can meet with: it dies, is full, slow, forgets, or is another than it was."""

import asyncio
import random
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest
from redis.asyncio import Redis

import redis_server
from hoosh.core.errors import ConfigError, StoreFailed
from hoosh.core.ledger import NOTHING, UNLIMITED, Amount, Asked, Batch, LeaseWish, Line, Reply, Scope
from hoosh.core.pool import MOST
from hoosh.stores.redis import keyspace as keyspace_module
from hoosh.stores.redis.keyspace import VERSION, Keyspace
from hoosh.stores.redis.ledger import RedisLedger
from redis_server import RedisServer

CEILING = Amount(1000, UNLIMITED, UNLIMITED)


class Bench:
    def __init__(
        self, url: str = "", namespace: str = "", *, allow_volatile: bool = False, durable: bool = False
    ) -> None:
        self.url = url or redis_server.shared().url
        self.namespace = namespace or f"t_{secrets.token_hex(8)}"
        space = Keyspace(self.url, self.namespace, allow_volatile=allow_volatile, durable=durable)
        self.ledger = RedisLedger(space)
        self.epoch = ""

    async def sync(self, *lines: Line, gateway: str = "g1", want: int = 0, ceiling: Amount = CEILING) -> Reply:
        self.epoch = self.epoch or await self.ledger.open()
        wish = LeaseWish("p", 0, 0, ceiling, NOTHING, Amount(want), NOTHING)
        leases = (wish,) if want else ()
        return await self.ledger.sync(
            Batch(gateway=gateway, epoch=self.epoch, lease_ms=30_000, lines=lines, leases=leases)
        )

    async def refused(self) -> str:
        with pytest.raises(StoreFailed) as told:
            await self.sync(line("refused"))
        return told.value.code

    async def do(self, *command: str | int) -> object:
        """On the server, past the ledger."""
        async with Redis.from_url(self.url) as redis:
            return await redis.execute_command(*command)  # type: ignore[no-untyped-call]


def play(bench: Bench, scene: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            await scene(bench)
        finally:
            await bench.ledger.close()

    asyncio.run(main())


def line(name: str, used: int = 1) -> Line:
    return Line(id=name, state="committed", scopes=(Scope("p"),), held=Amount(used), used=Amount(used))


@pytest.fixture(scope="module")
def frail() -> Iterator[RedisServer]:
    """One that tests may kill and fill."""
    with redis_server.server() as server:
        yield server


async def until_taken(bench: Bench, told: Line, gateway: str = "g1") -> None:
    while True:
        try:
            await bench.sync(told, gateway=gateway)
        except StoreFailed as failed:
            if failed.code not in ("storage_unreachable", "store_slow"):
                raise
            await asyncio.sleep(0.01)
        else:
            return


def killed(server: RedisServer, times: int, seed: int) -> None:
    """Lines are told without end while the server is killed; those that it took are there at the end, once."""
    bench, dice = Bench(server.url), random.Random(seed)

    async def scene(bench: Bench) -> None:
        await bench.ledger.open()
        taken: list[int] = []
        is_over = asyncio.Event()

        async def tell(worker: int) -> None:
            n = 0
            while not is_over.is_set():
                await until_taken(bench, line(f"{worker}-{n}", 1 + n % 7), f"g{worker}")
                taken.append(1 + n % 7)
                n += 1

        tellers = [asyncio.create_task(tell(worker)) for worker in range(4)]
        for _ in range(times):
            await asyncio.sleep(dice.random() * 0.5)
            server.kill()
            await asyncio.to_thread(server.start)
            before = len(taken)
            while len(taken) < before + 8:
                await asyncio.sleep(0.01)
        is_over.set()
        await asyncio.gather(*tellers)
        (standing,) = await bench.ledger.standing([Asked("p")])
        assert standing.committed == Amount(sum(taken))
        (books,) = (await bench.ledger.audit()).books
        assert books.lines == books.committed
        total = sum(row.attempts for _, row in await bench.ledger.usage(0, 1 << 40))
        assert total == len(taken)

    play(bench, scene)


def test_a_server_that_was_killed_has_all_that_it_took(frail: RedisServer) -> None:
    killed(frail, 3, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_that_was_killed_twenty_times_has_all_that_it_took(frail: RedisServer) -> None:
    killed(frail, 20, 2)


def test_a_server_that_is_away_is_named_and_taken_up_again(frail: RedisServer) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        frail.kill()
        assert await bench.refused() == "storage_unreachable"
        await asyncio.to_thread(frail.start)
        await until_taken(bench, line("b"))
        assert (await bench.ledger.standing([Asked("p")]))[0].committed == Amount(2)

    play(Bench(frail.url), scene)


def test_a_server_that_was_never_there_is_named_without_the_password() -> None:
    async def scene(bench: Bench) -> None:
        with pytest.raises(StoreFailed) as told:
            await bench.ledger.open()
        assert told.value.code == "storage_unreachable"
        assert "wonderland" not in str(told.value)

    play(Bench("redis://alice:wonderland@127.0.0.1:1/0"), scene)


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_wrong_password_is_named_and_not_said(scheme: str) -> None:
    async def refused(bench: Bench) -> None:
        with pytest.raises(StoreFailed) as told:
            await bench.ledger.open()
        assert told.value.code == "storage_unreachable"
        assert "looking-glass" not in str(told.value)

    async def taken(bench: Bench) -> None:
        await bench.sync(line("a"))

    with redis_server.server() as server:
        where = server.url.partition("://")[2]
        asyncio.run(Bench(server.url).do("CONFIG", "SET", "requirepass", "wonderland"))
        play(Bench(f"{scheme}://:looking-glass@{where}"), refused)
        play(Bench(f"{scheme}://:wonderland@{where}"), taken)


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
    async def refused(bench: Bench) -> None:
        with pytest.raises(StoreFailed, match=told) as failed:
            await bench.ledger.open()
        assert failed.value.code == "store_volatile"

    async def taken(bench: Bench) -> None:
        await bench.sync(line("a"))

    with redis_server.server(*settings) as server:
        play(Bench(server.url, durable=durable), refused)
        play(Bench(server.url, durable=durable, allow_volatile=True), taken)


def test_a_server_that_writes_at_once_is_durable() -> None:
    async def taken(bench: Bench) -> None:
        await bench.sync(line("a"))

    with redis_server.server("--appendfsync", "always") as server:
        play(Bench(server.url, durable=True), taken)


def test_a_server_that_is_full_is_named_changes_nothing_and_mends_itself(frail: RedisServer) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        await bench.do("CONFIG", "SET", "maxmemory", 1)
        assert await bench.refused() == "storage_full"
        assert await bench.ledger.line("refused") is None
        await bench.do("CONFIG", "SET", "maxmemory", 0)
        await bench.sync(line("b"))
        assert (await bench.ledger.standing([Asked("p")]))[0].committed == Amount(2)

    play(Bench(frail.url), scene)


def test_a_server_that_only_copies_another_is_named_and_can_be_read(frail: RedisServer) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        with redis_server.server() as other:
            copy = Bench(other.url, bench.namespace)
            await copy.do("REPLICAOF", "127.0.0.1", frail.port)
            while not await copy.do("EXISTS", f"{{{bench.namespace}}}"):
                await asyncio.sleep(0.02)
            copy.epoch = bench.epoch
            assert await copy.refused() == "storage_read_only"
            assert await copy.ledger.line("a") == line("a")
            await copy.ledger.close()

    play(Bench(frail.url), scene)


def test_a_server_that_is_slow_is_named(frail: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyspace_module, "PATIENCE_S", 0.3)

    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        await bench.do("CLIENT", "PAUSE", 1500)
        assert await bench.refused() == "store_slow"
        await until_taken(bench, line("b"))

    play(Bench(frail.url), scene)


def test_a_step_that_comes_after_a_later_one_of_its_gateway_changes_nothing() -> None:
    """As one does that lay in the buffer of a connection that its gateway had given up."""

    async def scene(bench: Bench) -> None:
        await bench.sync(want=10)
        space = bench.ledger.keyspace
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

    play(Bench(), scene)


def test_another_ledger_in_its_place_is_noticed(frail: RedisServer) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(line("a"))
        await bench.do("FLUSHALL")
        assert await bench.refused() == "store_replaced"
        other = Bench(frail.url, bench.namespace)
        await other.sync(line("b"))
        await other.ledger.close()
        assert await bench.refused() == "store_replaced"

    play(Bench(frail.url), scene)


def test_keys_of_a_later_program_are_refused() -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync()
        await bench.do("HSET", f"{{{bench.namespace}}}", "version", VERSION + 1)
        later = Bench(namespace=bench.namespace)
        with pytest.raises(StoreFailed, match="made by a later hoosh") as told:
            await later.ledger.open()
        assert told.value.code == "storage_newer"

    play(Bench(), scene)


def test_what_is_pending_is_counted_and_nothing_is_made() -> None:
    async def scene(bench: Bench) -> None:
        space = bench.ledger.keyspace
        assert [await space.pending() for _ in range(2)] == [VERSION] * 2
        await bench.ledger.open()
        assert await space.pending() == 0

    play(Bench(), scene)


def test_many_may_open_it_at_once() -> None:
    async def scene(bench: Bench) -> None:
        all_told = [Bench(namespace=bench.namespace) for _ in range(8)]
        epochs = await asyncio.gather(*(one.ledger.open() for one in all_told))
        assert len(set(epochs)) == 1
        for one in all_told:
            await one.ledger.close()

    play(Bench(), scene)


def test_amounts_that_the_server_cannot_count_are_counted_as_the_most_it_can() -> None:
    async def scene(bench: Bench) -> None:
        reply = await bench.sync(line("a", MOST - 5), want=1 << 60, ceiling=Amount(1 << 60, UNLIMITED, UNLIMITED))
        assert reply.leases[0].granted == Amount(5)
        await bench.sync(line("b", 1 << 62))
        kept = await bench.ledger.line("b")
        assert kept is not None
        assert kept.used == Amount(MOST)

    play(Bench(), scene)


def test_any_text_is_kept_as_it_is() -> None:
    async def scene(bench: Bench) -> None:
        told = Line(id="a\0:\u0635", state="held", scopes=(Scope("p:0\0"),), model="m\0m", agent="\\u0000", gateway="")
        await bench.sync(told)
        assert await bench.ledger.line(told.id) == told
        assert (await bench.ledger.audit()).open_lines[0].scopes == told.scopes

    play(Bench(), scene)


def test_gateways_at_once_never_lease_more_than_there_is() -> None:
    async def scene(bench: Bench) -> None:
        async def ask(gateway: str) -> int:
            one = Bench(namespace=bench.namespace)
            granted = (await one.sync(gateway=gateway, want=300)).leases[0].granted.tokens
            await one.ledger.close()
            return granted

        assert sum(await asyncio.gather(*(ask(f"g{n}") for n in range(8)))) == CEILING.tokens

    play(Bench(), scene)


def test_a_missing_client_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r'pip install "hoosh\[redis\]"'):
        Keyspace("redis://127.0.0.1")
