"""What only a file of SQLite can meet with: other processes, kills, a clock that jumps, disks that fail."""

import asyncio
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

import ledger_worker
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import (
    NOTHING,
    UNLIMITED,
    Amount,
    Asked,
    Audit,
    Batch,
    LeaseWish,
    Line,
    Reply,
    Scope,
    Standing,
    State,
)
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.ledger import SQLiteLedger

CEILING = Amount(100, UNLIMITED, UNLIMITED)
HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


class Bench:
    """A ledger with a clock to turn."""

    def __init__(self, path: Path, patience_s: float = 15.0) -> None:
        self.wall_ms = START_MS
        self.file = StoreFile(path)
        self.ledger = SQLiteLedger(self.file, lambda: self.wall_ms, patience_s)
        self.epoch = ""

    async def sync(self, *lines: Line, gateway: str = "g1", want: int = 0) -> Reply:
        self.epoch = self.epoch or await self.ledger.open()
        wish = LeaseWish("p", 0, 0, CEILING, NOTHING, Amount(want), NOTHING)
        leases = (wish,) if want else ()
        return await self.ledger.sync(
            Batch(gateway=gateway, epoch=self.epoch, lease_ms=30_000, lines=lines, leases=leases)
        )

    async def refused(self, *lines: Line) -> str:
        with pytest.raises(StoreFailed) as told:
            await self.sync(*lines)
        return told.value.code

    async def standing(self) -> Standing:
        return (await self.ledger.standing([Asked("p")]))[0]

    async def right(self) -> Audit:
        audit = await self.ledger.audit()
        assert all(books.committed == books.lines for books in audit.books)
        return audit


def play(bench: Bench, scene: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        try:
            await scene(bench)
        finally:
            await bench.ledger.close()

    asyncio.run(main())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "data" / "hoosh.db")


def spent(name: str, used: int = 1, state: State = "committed") -> Line:
    booked = Amount(used if state == "committed" else 0)
    return Line(id=name, state=state, scopes=(Scope("p"),), gateway="g1", held=Amount(used), used=booked)


def many(name: str, count: int = 300) -> tuple[Line, ...]:
    return tuple(spent(f"{name}-{n}") for n in range(count))


# The clock


def test_a_clock_that_is_set_back_revives_nothing_and_goes_on(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.sync(want=60)).leases[0].granted == Amount(60)
        bench.wall_ms += 31_000
        await bench.ledger.sweep()
        bench.wall_ms -= HOUR_MS
        told = [(await bench.sync(gateway="g2", want=10)).now_ms]
        assert (await bench.standing()).leased == Amount(10)  # those of g1 are gone for good
        for _ in range(61):
            bench.wall_ms += 1000
            told.append((await bench.sync(gateway="g3")).now_ms)
        assert told == sorted(told)
        assert told[-1] == told[0] + 30_500
        await bench.ledger.sweep()
        assert (await bench.standing()).leased == NOTHING  # within twice its time

    play(bench, scene)


def test_a_clock_that_was_ahead_is_met_again_without_a_step_back(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync()
        bench.wall_ms += 10_000
        ahead = (await bench.sync()).now_ms
        bench.wall_ms -= 10_000
        steps = [(await bench.sync()).now_ms]
        for _ in range(40):
            bench.wall_ms += 501  # odd, so that halves would be lost
            steps.append((await bench.sync()).now_ms)
        assert steps[0] == ahead
        assert all(0 < after - before <= 501 for before, after in pairwise(steps))
        assert steps[-1] == bench.wall_ms

    play(bench, scene)


def test_a_clock_that_leaps_ends_leases_early_and_late_usage_corrects(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(spent("a", 50, "sent"))
        bench.wall_ms += HOUR_MS
        assert await bench.ledger.sweep() == 1
        assert (await bench.standing()).committed == Amount(50)
        bench.wall_ms -= HOUR_MS
        await bench.sync(spent("a", 20))
        assert await bench.standing() == Standing(committed=Amount(20))

    play(bench, scene)


# Several processes


def worker(work: str, path: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, ledger_worker.__file__, work, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def hammered(bench: Bench, count: int) -> None:
    async def scene(bench: Bench) -> None:
        workers = [worker("hammer", bench.file.path, f"w{n}", count) for n in range(4)]
        looks = 0
        while any(process.poll() is None for process in workers):
            await bench.ledger.open()
            audit = await bench.right()
            taken = sum(books.committed.tokens for books in audit.books)
            taken += sum(granted.tokens for *_, granted in audit.leases)
            taken += sum(line.held.tokens for line in audit.open_lines)
            assert taken <= ledger_worker.CEILING.tokens
            looks += 1
        told = [process.communicate()[0] for process in workers]
        assert [process.returncode for process in workers] == [0] * 4
        audit = await bench.right()
        (books,) = audit.books
        assert books.committed == Amount(sum(map(int, told)))
        assert books.overrun == NOTHING
        assert (audit.leases, audit.open_lines) == ((), ())
        assert looks > 1
        assert books.committed.tokens <= ledger_worker.CEILING.tokens

    play(bench, scene)


def test_processes_share_a_pool_and_never_pass_its_ceiling(bench: Bench) -> None:
    hammered(bench, 200)


@pytest.mark.slow
def test_processes_share_a_pool_and_never_pass_its_ceiling_for_long(bench: Bench) -> None:
    hammered(bench, 1000)


def test_a_file_that_another_process_holds_for_long_is_a_slow_store(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(spent("a"))
        await bench.file.run(lambda db: db.execute("PRAGMA busy_timeout = 10").fetchall())
        other = sqlite3.connect(bench.file.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await bench.refused(spent("b")) == "store_slow"
        assert (await bench.standing()).committed == Amount(1)  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        await bench.sync(spent("b"))
        assert (await bench.standing()).committed == Amount(2)

    play(Bench(tmp_path / "hoosh.db", patience_s=0.1), scene)


def killed(bench: Bench, rounds: int) -> None:
    """Each round tells lines until SIGKILL, at a moment that the seed tells; what was printed must be there."""
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)

    async def scene(bench: Bench) -> None:
        for n in range(rounds):
            process = worker("tell", bench.file.path, f"r{n}", moments.randrange(1, 50))
            assert process.stdout is not None
            process.stdout.readline()  # it works now
            with suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0, 0.05))
            process.kill()
            printed = process.communicate()[0]
            told = printed.split("\n")[:-1]  # what follows the last line break was cut off
            for name in told:
                assert await bench.ledger.line(name) is not None, f"seed {seed}, round {n}"
            await bench.right()

    play(bench, scene)


def test_what_was_acknowledged_survives_a_kill(bench: Bench) -> None:
    killed(bench, 20)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_was_acknowledged_survives_two_hundred_kills(bench: Bench) -> None:
    killed(bench, 200)


# Disks


def test_a_full_disk_books_nothing_by_halves_and_works_again_when_there_is_room(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(*many("a"))
        pages = await bench.file.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await bench.file.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchall())
        assert await bench.refused(*many("b")) == "storage_full"
        assert (await bench.standing()).committed == Amount(300)
        await bench.right()
        await bench.file.run(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())
        await bench.sync(*many("b"))
        assert (await bench.standing()).committed == Amount(600)
        await bench.right()

    play(bench, scene)


def test_a_write_that_fails_half_way_books_nothing(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(*many("a"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        log = bench.file.path.with_name("hoosh.db-wal")
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 10_000, hard))
        try:
            assert await bench.refused(*many("b")) == "storage_io_error"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (await bench.standing()).committed == Amount(300)
        await bench.sync(*many("b"))
        assert (await bench.standing()).committed == Amount(600)
        await bench.right()

    play(bench, scene)


def test_a_folder_that_is_gone_is_noticed_and_found_again(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(spent("a"))
        folder = bench.file.path.parent
        away = folder.rename(folder.with_name("away"))
        assert await bench.refused(spent("b")) == "storage_unreachable"
        away.rename(folder)
        await bench.sync(spent("b"))
        assert (await bench.standing()).committed == Amount(2)

    play(bench, scene)


def test_a_file_that_another_took_the_place_of_is_not_written_to(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(spent("a"))
        folder = bench.file.path.parent
        folder.rename(folder.with_name("away"))
        other = Bench(bench.file.path)
        await other.sync(spent("x"))
        assert await bench.refused(spent("b")) == "storage_unreachable"
        assert await bench.refused(spent("b")) == "store_replaced"
        assert (await other.standing()).committed == Amount(1)
        await other.ledger.close()

    play(bench, scene)


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder, and no right to pass over permissions as root has it."""
    with tempfile.TemporaryDirectory() as name:
        was = os.geteuid()
        if was == 0:
            os.chown(name, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(was)


def test_a_file_that_may_not_be_written_is_still_read() -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(spent("a"))
        await bench.ledger.close()
        bench.file.path.chmod(0o400)
        again = Bench(bench.file.path)
        assert await again.refused(spent("b")) == "storage_read_only"
        assert (await again.standing()).committed == Amount(1)
        await again.ledger.close()

    with nobody() as folder:
        asyncio.run(scene(Bench(folder / "hoosh.db")))


def test_a_file_that_is_damaged_is_not_spent_from_until_it_is_whole_again(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(*many("a"))
        await bench.ledger.close()
        path = bench.file.path
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + random.randbytes(len(whole) - 4096))
        again = Bench(path)
        again.epoch = bench.epoch
        assert await again.refused(spent("b")) == "storage_corrupt"
        path.write_bytes(b"not a database " * 1000)
        assert await again.refused(spent("b")) == "storage_corrupt"
        path.write_bytes(whole)
        await again.sync(spent("b"))
        assert (await again.standing()).committed == Amount(301)
        await again.ledger.close()

    asyncio.run(scene(bench))


def test_a_sweep_that_finds_nothing_writes_nothing(bench: Bench) -> None:
    async def scene(bench: Bench) -> None:
        await bench.sync(spent("a"), spent("b", state="sent"))
        changed = bench.file.path.with_name("hoosh.db-wal")
        before = changed.read_bytes()
        for _ in range(3):
            bench.wall_ms += 500
            assert await bench.ledger.sweep() == 0
        assert changed.read_bytes() == before

    play(bench, scene)
