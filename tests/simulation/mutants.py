"""Bugs to plant: a real function with one thing wrong, compiled anew from its own source.

If a line is no longer there, planting fails: then the table must follow the code, for else a bug would be "caught" that
was never planted.
"""

import inspect
import textwrap
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest

from hoosh.core import booking
from hoosh.engine import courier, escrow
from hoosh.engine.courier import Courier
from hoosh.engine.desk import Desk
from hoosh.engine.escrow import Escrow
from hoosh.engine.pools import Pools, PoolState
from hoosh.stores import ledger_memory
from hoosh.stores.ledger_memory import MemoryLedger
from hoosh.stores.sqlite import books, statements
from hoosh.stores.sqlite import ledger as sqlite_ledger
from simulation import world


class Mutant(NamedTuple):
    """`was` becomes `becomes` in the function `name` of `owner`; `also` are modules that know it by the same name.
    `kind` is the world that is tried first.
    """

    owner: Any
    name: str
    was: str
    becomes: str
    also: tuple[ModuleType, ...] = ()
    kind: int = 5


def plant(mutant: Mutant, patch: pytest.MonkeyPatch) -> None:
    told = getattr(mutant.owner, mutant.name)
    planted = _changed(told, mutant) if isinstance(told, str) else _compiled(mutant)
    for owner in (mutant.owner, *mutant.also):
        patch.setattr(owner, mutant.name, planted)


def _changed(text: str, mutant: Mutant) -> str:
    assert text.count(mutant.was) == 1, f"{mutant.name} no longer says {mutant.was!r} once"
    return text.replace(mutant.was, mutant.becomes)


def _compiled(mutant: Mutant) -> object:
    found = inspect.getattr_static(mutant.owner, mutant.name)
    function = found.fget if isinstance(found, property) else found
    assert isinstance(function, FunctionType)
    source = _changed(textwrap.dedent(inspect.getsource(function)), mutant)
    names: dict[str, Any] = {}
    exec(compile(source, f"<mutant of {mutant.name}>", "exec"), function.__globals__, names)
    return names[function.__name__]


# What the simulator must catch in a few thousand operations.
SIMULATED: dict[str, Mutant] = {
    "check, then set": Mutant(
        Escrow,
        "reserve",
        "for desk in desks:",
        "await asyncio.sleep(0)\n    for desk in desks:",
    ),
    "settled twice gives back twice": Mutant(
        Escrow, "settle", "self._open.pop(settlement.id, None)", "self._open.get(settlement.id)"
    ),
    "settled again where a window has ended": Mutant(Escrow, "settle", " or self._courier.has_end(settlement.id)", ""),
    "more given back than was held": Mutant(
        Desk, "give", "self.held[meter] -= held[meter]", "self.held[meter] -= 2 * held[meter]"
    ),
    "what was used is free again before the store has booked it": Mutant(
        Desk, "give", "min(used[meter], held[meter])", "0"
    ),
    "what is under way is no longer pending": Mutant(
        Desk, "wish", "self._sent[meter] = self.pending[meter]", "self._sent[meter], self.pending[meter] = 0, 0"
    ),
    "what is given back goes on being spent": Mutant(
        Desk, "wish", "self.granted[meter] = self.pending[meter] + keep[meter]", "pass"
    ),
    "a ceded hold stays in the lease": Mutant(Desk, "cede", "self.granted[meter] -= held[meter]", "pass"),
    "a ceded hold comes back with the next answer": Mutant(
        Desk, "granted_by", "granted[meter] - self._ceded[meter]", "granted[meter]"
    ),
    "a lost answer is forgotten": Mutant(Desk, "is_empty", "and not self.unanswered", ""),
    "what was ceded is not told": Mutant(Desk, "is_empty", "not self.dirty\n", "True\n"),
    "the wrong window at rollover": Mutant(
        PoolState, "at", "not now.start_s <= now_s < now.end_s", "not now.start_s <= now_s <= now.end_s"
    ),
    "two desks for one lease": Mutant(
        PoolState, "_turn_to", "desk.window_s == window_s), None)", "False), None)", kind=4
    ),
    "two desks for a pool that comes again": Mutant(Pools, "define", " or self._taken_back(name)", ""),
    "a settlement is not in the journal": Mutant(
        Courier, "post", "if self._spool is not None:", 'if self._spool is not None and line.state != "committed":'
    ),
    "the journal is forgotten too early": Mutant(
        Courier, "_send", "self._spool.forget(mark)", "self._spool.forget(self._spool.mark())"
    ),
    "a batch that failed is not told again": Mutant(Courier, "_send", "self._queue = lines\n", "pass\n"),
    "an extension is not told": Mutant(
        Escrow, "extend", "self._courier.post(line)", "self._courier.truth.posted(line)"
    ),
    "a durable extension does not wait": Mutant(Escrow, "extend", "if self._durable:", "if False:", kind=2),
    "a durable hold does not wait": Mutant(Escrow, "reserve", "elif self._durable:", "elif False:", kind=2),
    "a replay believes the older record": Mutant(
        courier,
        "replay",
        "told(latest.get(line.id), line) or latest[line.id]",
        "latest.get(line.id) or line",
        (world,),
    ),
    "a lease is not renewed": Mutant(
        MemoryLedger,
        "sync",
        "self._gateways[batch.gateway] = _Gateway(now_ms + batch.lease_ms, batch.journalled)",
        "self._gateways.setdefault(batch.gateway, _Gateway(now_ms + batch.lease_ms, batch.journalled))",
    ),
    "the sweep closes lines of the living": Mutant(MemoryLedger, "sweep", "line.gateway not in alive", "True"),
    "the sweep leaves holds that ran out": Mutant(
        MemoryLedger, "sweep", "line.expires_ms <= now_ms", "line.expires_ms <= now_ms - 60_000"
    ),
    "leases of the dead are given away before their journal is read": Mutant(
        MemoryLedger, "sweep", "if not self._gateways[name].journalled:", "if True:"
    ),
    "leases of the dead are never given back": Mutant(MemoryLedger, "_end", "by.pop(gateway, None)", "pass"),
    "the dead are reconciled, their lines left open": Mutant(
        MemoryLedger, "reconcile", "line.gateway == gateway", "False"
    ),
    "the ceiling is held against bookings alone": Mutant(
        MemoryLedger,
        "_left",
        "taken += _total(lease.granted for lease in self._leases.get((pool, window_s), {}).values())",
        "pass",
    ),
    "holds of the store do not count": Mutant(
        MemoryLedger, "_left", "taken += self._held(pool, window_s, own=True)", "pass"
    ),
    "another window's bookings do not count": Mutant(
        MemoryLedger, "_committed", "if bucket_s >= since_s", "if bucket_s > since_s"
    ),
    "a second delivery is booked": Mutant(
        booking,
        "told",
        "if rank < known_rank or (rank == known_rank and rank >= CLOSED):",
        "if rank < known_rank:",
        (ledger_memory,),
    ),
    "an older delivery opens a line again": Mutant(
        booking,
        "told",
        "if rank < known_rank or (rank == known_rank and rank >= CLOSED):",
        "if rank == known_rank and rank >= CLOSED:",
        (ledger_memory,),
        kind=3,
    ),
    "a late usage does not correct an estimate": Mutant(
        booking, "told", "if rank < known_rank or", "if known_rank >= CLOSED or", (ledger_memory,)
    ),
    "a correction is added to the estimate": Mutant(
        MemoryLedger, "_put", "was = known.used if known is not None else NOTHING", "was = NOTHING"
    ),
    "usage counts the estimate and its correction": Mutant(MemoryLedger, "_sum", 'known.state == "estimated"', "False"),
    "a hold in use is let go when its gateway dies": Mutant(
        booking, "expired", 'if line.state == "held":', "if True:", (ledger_memory,)
    ),
    "money is a float": Mutant(
        escrow, "_closed", "used=used,", "used=Amount(used.tokens, int(used.micros / 1e6 * 1e6), used.audio_ms),"
    ),
    "what was pruned is taken off the books": Mutant(MemoryLedger, "prune", "bucket.pruned += line.used", "pass"),
}

# What only another store can get wrong: the lockstep with the plain one must catch it.
IN_SQLITE: dict[str, Mutant] = {
    "a hold that is settled still counts": Mutant(books.Changes, "move", "self.hold(known, -1)", "pass"),
    "a line told twice in a batch is charged twice": Mutant(
        books, "book", "once = lines if len(times) == len(lines) else", "once = lines if True else", (sqlite_ledger,)
    ),
    "an estimate and its correction are both counted": Mutant(books.Changes, "move", "self._count(known, -1)", "pass"),
    "only the first scope is charged": Mutant(
        books.Changes, "_charge", "for scope in scopes:", "for scope in list(scopes)[:1]:"
    ),
    "overruns are not kept when a line is corrected": Mutant(
        books.Changes, "move", "over(news.used, news.held) - over(known.used, news.held)", "Amount()"
    ),
    "a recall is told again and again": Mutant(
        sqlite_ledger, "_recalled", "SET recalled = 0 WHERE", "SET recalled = 1 WHERE"
    ),
    "one's own lease counts against oneself": Mutant(statements, "TAKEN", "gateway IS NOT ?4", "?4 IS NOT NULL"),
    "the dead keep their leases": Mutant(
        sqlite_ledger, "_end", 'db.executemany("DELETE FROM leases WHERE gateway = ?", names)', "pass"
    ),
    "a journal does not keep the leases of the dead": Mutant(statements, "DEAD", " AND NOT journalled", ""),
    "a hold that moved on is not brought up to date": Mutant(books, "_update", "for line in lines:", "for line in ():"),
}
