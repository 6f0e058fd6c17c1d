"""A ledger on a server, and the scenes that are played on it: what a store of its own kind can meet with is beside it in
tests/contract.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import pytest

import postgres_server
import redis_server
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import NOTHING, UNLIMITED, Amount, Asked, Batch, LeaseWish, Line, Reply, Scope
from hoosh.ports import Ledger
from hoosh.stores.postgres.database import Database
from hoosh.stores.postgres.ledger import PostgresLedger
from hoosh.stores.redis.keyspace import Keyspace
from hoosh.stores.redis.ledger import RedisLedger

CEILING = Amount(1000, UNLIMITED, UNLIMITED)
Made = TypeVar("Made", bound="LedgerBench")


class Server(Protocol):
    @property
    def url(self) -> str: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


class LedgerBench:
    """One gateway's hand on a ledger. `namespace` "" is one that nobody else has."""

    ledger: Ledger

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace or f"t_{secrets.token_hex(8)}"
        self.epoch = ""

    async def sync(self, *lines: Line, gateway: str = "g1", want: int = 0, ceiling: Amount = CEILING) -> Reply:
        self.epoch = self.epoch or await self.ledger.open()
        wish = LeaseWish("p", 0, 0, ceiling, NOTHING, Amount(want), NOTHING)
        leases = (wish,) if want else ()
        return await self.ledger.sync(
            Batch(gateway=gateway, epoch=self.epoch, lease_ms=30_000, lines=lines, leases=leases)
        )

    async def refused(self) -> str:
        """The code."""
        with pytest.raises(StoreFailed) as told:
            await self.sync(line("refused"))
        return told.value.code

    async def committed(self) -> Amount:
        return (await self.ledger.standing([Asked("p")]))[0].committed


class PostgresBench(LedgerBench):
    def __init__(self, url: str = "", namespace: str = "", **manner: Any) -> None:
        super().__init__(namespace)
        self.database = Database(url or postgres_server.shared().url, self.namespace, **manner)
        self.ledger = PostgresLedger(self.database)


class RedisBench(LedgerBench):
    def __init__(self, url: str = "", namespace: str = "", **manner: Any) -> None:
        super().__init__(namespace)
        self.url = url or redis_server.shared().url
        self.keyspace = Keyspace(self.url, self.namespace, **manner)
        self.ledger: RedisLedger = RedisLedger(self.keyspace)


def play(bench: Made, scene: Callable[[Made], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            await scene(bench)
        finally:
            await bench.ledger.close()

    asyncio.run(main())


def line(name: str, used: int = 1) -> Line:
    return Line(id=name, state="committed", scopes=(Scope("p"),), held=Amount(used), used=Amount(used))


async def until_taken(bench: LedgerBench, told: Line, gateway: str = "g1") -> None:
    while True:
        try:
            await bench.sync(told, gateway=gateway)
        except StoreFailed as failed:
            if failed.code not in ("storage_unreachable", "store_slow"):
                raise
            await asyncio.sleep(0.01)
        else:
            return


def killed(bench: LedgerBench, server: Server, times: int, seed: int) -> None:
    """Lines are told without end while the server is killed; those that it took are there at the end, once."""
    dice = random.Random(seed)

    async def scene(bench: LedgerBench) -> None:
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
        assert await bench.committed() == Amount(sum(taken))
        (books,) = (await bench.ledger.audit()).books
        assert books.lines == books.committed
        total = sum(row.attempts for _, row in await bench.ledger.usage(0, 1 << 40))
        assert total == len(taken)

    play(bench, scene)
