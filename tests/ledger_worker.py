"""A process that works on a ledger in SQLite, for tests: `python ledger_worker.py hammer|tell FILE NAME COUNT`.

It prints what the ledger took, once it is sure of it.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from hoosh.core.ledger import NOTHING, UNLIMITED, Amount, Batch, LeaseWish, Line, Scope
from hoosh.stores.sqlite.file import StoreFile
from hoosh.stores.sqlite.ledger import SQLiteLedger

CEILING = Amount(10_000, UNLIMITED, UNLIMITED)
POOL = (Scope("p"),)


async def hammer(ledger: SQLiteLedger, name: str, count: int) -> None:
    """Lease, spend all of it, now and then by way of a hold of the store; at the end give back what was not spent."""
    epoch = await ledger.open()
    spent = granted = 0
    for n in range(count):
        lines = []
        if granted and n % 10 == 0:
            nothing = LeaseWish("p", 0, 0, CEILING, NOTHING, NOTHING, NOTHING)
            ceded = (_ceded(f"{name}-{n}", granted),)
            await ledger.sync(Batch(gateway=name, epoch=epoch, lease_ms=60_000, lines=ceded, leases=(nothing,)))
        if granted:
            lines.append(_line(f"{name}-{n}", granted))
        wanted = Amount(1 + n % 9) if n + 1 < count else NOTHING
        wish = LeaseWish("p", 0, 0, CEILING, NOTHING, wanted, wanted)
        batch = Batch(
            gateway=name,
            epoch=epoch,
            lease_ms=60_000,
            lines=tuple(lines),
            leases=(wish,),
        )
        reply = await ledger.sync(batch)
        spent += granted
        granted = reply.leases[0].granted.tokens
    sys.stdout.write(f"{spent}\n")


async def tell(ledger: SQLiteLedger, name: str, count: int) -> None:
    """Tell lines until killed, and print the ids of those that the ledger has for good."""
    epoch = await ledger.open()
    for n in itertools.count():
        lines = tuple(_line(f"{name}-{n}-{i}", 1 + i) for i in range(count))
        await ledger.sync(Batch(gateway=name, epoch=epoch, lease_ms=60_000, lines=lines))
        sys.stdout.write("".join(f"{line.id}\n" for line in lines))
        sys.stdout.flush()


def _ceded(name: str, held: int) -> Line:
    return Line(id=name, state="sent", scopes=POOL, held=Amount(held), expires_ms=1 << 52)


def _line(name: str, used: int) -> Line:
    return Line(id=name, state="committed", scopes=POOL, held=Amount(used), used=Amount(used))


def main() -> None:
    work, path, name, count = sys.argv[1:]
    ledger = SQLiteLedger(StoreFile(Path(path)))
    asyncio.run({"hammer": hammer, "tell": tell}[work](ledger, name, int(count)))


if __name__ == "__main__":
    main()
