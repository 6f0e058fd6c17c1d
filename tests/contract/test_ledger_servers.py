"""What every server can meet with that has a ledger: it dies, is away, and many come to it at once."""

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

import postgres_server
import redis_server
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import NOTHING, Amount, Batch, LeaseWish
from ledger_bench import CEILING, LedgerBench, PostgresBench, RedisBench, Server, killed, line, play, until_taken


class Kind(NamedTuple):
    """`make` takes an address ("" is that of the server which tests share) and a namespace."""

    make: Callable[[str, str], LedgerBench]
    server: Server


@pytest.fixture(scope="module", params=["postgres", "redis"])
def frail(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """One that tests may kill."""
    if request.param == "postgres":
        with postgres_server.server() as postgres:
            yield Kind(PostgresBench, postgres)
    else:
        with redis_server.server() as redis:
            yield Kind(RedisBench, redis)


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_server_that_was_killed_has_all_that_it_took(frail: Kind, times: int) -> None:
    killed(frail.make(frail.server.url, ""), frail.server, times, seed=times)


def test_a_server_that_is_away_is_named_and_taken_up_again(frail: Kind) -> None:
    async def scene(bench: LedgerBench) -> None:
        await bench.sync(line("a"))
        frail.server.kill()
        assert await bench.refused() == "storage_unreachable"
        await asyncio.to_thread(frail.server.start)
        await until_taken(bench, line("b"))
        assert await bench.committed() == Amount(2)

    play(frail.make(frail.server.url, ""), scene)


@pytest.mark.parametrize(
    ("make", "url"),
    [
        (PostgresBench, "postgresql://alice:wonderland@127.0.0.1:1/none"),
        (RedisBench, "redis://alice:wonderland@127.0.0.1:1"),
    ],
)
def test_a_server_that_was_never_there_is_named_without_the_password(
    make: Callable[[str], LedgerBench], url: str
) -> None:
    async def scene(bench: LedgerBench) -> None:
        with pytest.raises(StoreFailed) as told:
            await bench.ledger.open()
        assert told.value.code == "storage_unreachable"
        assert "wonderland" not in str(told.value)

    play(make(url), scene)


@pytest.mark.parametrize("make", [PostgresBench, RedisBench])
def test_many_may_open_it_at_once(make: Callable[[str, str], LedgerBench]) -> None:
    async def scene(bench: LedgerBench) -> None:
        many = [make("", bench.namespace) for _ in range(8)]
        assert len(set(await asyncio.gather(*(one.ledger.open() for one in many)))) == 1
        for one in many:
            await one.ledger.close()

    play(make("", ""), scene)


@pytest.mark.parametrize("make", [PostgresBench, RedisBench])
def test_gateways_at_once_spend_all_there_is_and_no_more(make: Callable[[str, str], LedgerBench]) -> None:
    async def scene(bench: LedgerBench) -> None:
        await bench.ledger.open()
        others = [make("", bench.namespace) for _ in range(4)]

        async def spend(gateway: str, mine: LedgerBench) -> int:
            spent = 0
            for n in range(1000):
                granted = (await mine.sync(gateway=gateway, want=1 + n % 5)).leases[0].granted.tokens
                if not granted:
                    break
                told = line(f"{gateway}-{n}", granted)
                await mine.sync(told, gateway=gateway)
                wish = LeaseWish("p", 0, 0, CEILING, NOTHING, NOTHING, NOTHING)
                batch = Batch(gateway=gateway, epoch=mine.epoch, lease_ms=30_000, leases=(wish,))
                await mine.ledger.sync(batch)
                spent += granted
            return spent

        spent = await asyncio.gather(*(spend(f"g{n}", one) for n, one in enumerate(others)))
        assert sum(spent) == CEILING.tokens
        for one in others:
            await one.ledger.close()

    play(make("", ""), scene)
