"""Several gateways on one store in virtual time, made of the real parts, and everything that may befall them.

All chance comes from one seed. Every few thousand operations all comes to rest, and then everything must add up.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from zoneinfo import ZoneInfo

import msgspec

from hoosh.core.call import Hold, Settlement
from hoosh.core.errors import BadRequest, BudgetExceeded, StoreFailed
from hoosh.core.events import Usage
from hoosh.core.ledger import UNLIMITED, Amount
from hoosh.core.principal import ANONYMOUS
from hoosh.engine.courier import replay
from hoosh.engine.pools import Pools
from hoosh.ports import Ledger
from hoosh.stores.ledger_memory import MemoryLedger
from simulation.kinds import CHAINS, KINDS, POOLS, Kind, tightened
from simulation.network import SOON_S, Link, Paper, Weather
from simulation.process import LEASE_S, Clock, Gateway
from simulation.truth import Call, Meters, Truth
from simulation.virtual_loop import VirtualLoop

ROUND = 1500
LONG_S = 30  # longer than a round takes
CALLS_AT_ONCE = 30
HUGE = (1 << 53) + 1  # no float has it
REMEMBERED = 80
Work = Callable[[], Awaitable[None]]
OpenStore = Callable[[Callable[[], int]], AbstractAsyncContextManager[Ledger]]


class World:
    def __init__(self, ledger: Ledger, store_clock: Clock, kind: Kind, chance: Random) -> None:
        self.loop = asyncio.get_running_loop()
        self.ledger = ledger
        self.store_clock = store_clock
        self.kind = kind
        self.chance = chance
        self.pools = {pool.name: tightened(pool) if kind.tight else pool for pool in POOLS}
        self.truth = Truth(self.pools, is_exact=kind.journal or not kind.clocks, is_tight=kind.tight)
        self.gateways: list[Gateway] = []
        self.papers: list[Paper] = []
        self.log: deque[tuple[object, ...]] = deque(maxlen=REMEMBERED)
        self.counts: Counter[str] = Counter()
        self.taken = 0
        self._made = 0
        self._leaving: list[asyncio.Task[None]] = []
        self._starting: asyncio.Task[None] | None = None
        self._broken: list[BaseException] = []
        self._acts = [act for act, weight in self._table() for _ in range(weight)]

    def _table(self) -> Sequence[tuple[Callable[[], None], int]]:
        faults = ((self.turn_weather, 6), (self.kill, 2)) if self.kind.faults else ()
        return (
            *faults,
            (self.call, 420),
            (self.settle, 420),
            (self.extend, 60),
            (self.settle_again, 20),
            (self.spend, 0 if self.kind.tight else 8),
            (self.reserve_by_http, 50),
            (self.report, 45),
            (self.cancel, 8),
            (self.flush, 10),
            (self.start, 2),
            (self.leave, 1),
            (self.jump, 2),
            (self.define, 4),
        )

    async def run(self, operations: int) -> None:
        for n in range(self.kind.gateways):
            await self._open(f"g{n}")
        try:
            rested = 0
            while self.taken < operations:
                self.chance.choice(self._acts)()
                if (luck := self.chance.random()) < 0.4:
                    await asyncio.sleep(luck / 100 if luck > 0.001 else luck * 2000)
                if self._broken:
                    raise self._broken[0]
                if self.taken >= rested + ROUND:
                    rested = self.taken
                    await self.rest()
            await self.rest()
        finally:
            for gateway in list(self.gateways):
                await self._stop(gateway)

    # Calls

    def call(self) -> None:
        self._begin(expires_s=0)

    def reserve_by_http(self) -> None:
        self._begin(expires_s=LONG_S if self.kind.tight else self.chance.choice((1, 3)))

    def _begin(self, expires_s: int) -> None:
        gateway = self._any()
        if gateway is None or len(gateway.tasks) > CALLS_AT_ONCE // self.kind.gateways:
            return
        if expires_s == 0 and len(self._settleable(gateway)) > CALLS_AT_ONCE:
            return
        self._made += 1
        names = CHAINS[0] if self.chance.random() < 0.2 else self.chance.choice(CHAINS)
        if any(name not in gateway.pools for name in names):
            return
        micros = HUGE if names == ("default",) and self.chance.random() < 0.02 else self.chance.randrange(300)
        amount = Amount(self.chance.choice((1, 20, 90, 300)), micros, self.chance.randrange(3))
        call = Call(id=f"c{self._made}", gateway=gateway.name, pools=names, is_ceded=expires_s > 0)
        self.truth.calls[call.id] = call
        hold = Hold(id=call.id, pools=names, amount=amount, sent=not expires_s, expires_s=expires_s, key="anonymous")
        self._do(gateway, call, "reserve", lambda: self._reserve(gateway, call, hold))

    async def _reserve(self, gateway: Gateway, call: Call, hold: Hold) -> None:
        try:
            await gateway.escrow.reserve(hold)
        except (BadRequest, BudgetExceeded, StoreFailed) as error:  # its pool may be gone by now
            self._count(f"refused: {error.code}")
            self.truth.released(call)
        else:
            call.known = call.is_ceded or not self.kind.journal
            call.sure = call.posted if call.known else call.sure
            if not call.is_ceded and self.chance.random() < 0.1:
                await gateway.escrow.reserve(hold)

    def extend(self) -> None:
        gateway = self._any()
        if gateway is not None and (calls := self._settleable(gateway)):
            call = self.chance.choice(calls)
            more = Amount(self.chance.choice((1, 40, 200)), self.chance.randrange(50))
            self._do(gateway, call, "extend", lambda: self._extend(gateway, call, more))

    async def _extend(self, gateway: Gateway, call: Call, more: Amount) -> None:
        before = call.posted
        try:
            await gateway.escrow.extend(call.id, more)
        except (BudgetExceeded, StoreFailed) as error:
            self._count(f"not extended: {error.code}")
            self.truth.not_extended(call, before)
        else:
            if not self.kind.journal and not call.is_swept:  # what was closed meanwhile stays as it was (RANK)
                call.sure = call.posted

    def settle(self) -> None:
        gateway = self._any()
        if gateway is not None and (calls := self._settleable(gateway)):
            self._settle(gateway, self.chance.choice(calls), self._used)

    def _used(self, call: Call) -> Meters:
        """Mostly within what was held; sometimes a provider uses more, or nothing."""
        luck = self.chance.random()
        if luck < 0.1:
            return (0, 0, 0)
        if luck < 0.4:
            return call.posted
        part = self.chance.randrange(101 if luck < 0.95 or self.kind.tight else 140)
        tokens, micros, audio_ms = call.posted
        return tokens * part // 100, micros * part // 100, audio_ms * part // 100

    def _settle(self, gateway: Gateway, call: Call, used: Callable[[Call], Meters]) -> None:
        spent, is_estimated = used(call), self.chance.random() < 0.1
        gateway.escrow.settle(self._settlement(call, spent, is_estimated=is_estimated))
        self.truth.settled(call, spent, is_estimated=is_estimated)
        self._say(("settle", gateway.name, call.id, spent))

    def _settlement(self, call: Call, used: Meters, *, is_estimated: bool) -> Settlement:
        hold = Hold(id=call.id, pools=call.pools, amount=Amount())
        input_tokens = used[0] // 3
        usage = Usage(
            input=input_tokens, output=used[0] - input_tokens, source="estimated" if is_estimated else "reported"
        )
        return Settlement(id=call.id, hold=hold, usage=usage, micros=used[1], audio_ms=used[2])

    def settle_again(self) -> None:
        """As when both a handler and its `finally` do."""
        gateway = self._any()
        if gateway is None:
            return
        done = [c for c in self._mine(gateway) if c.used is not None and c.is_taken and not c.is_ceded][-20:]
        if done:
            call = self.chance.choice(done)
            self._say(("settle again", gateway.name, call.id))
            gateway.escrow.settle(self._settlement(call, call.used or (0, 0, 0), is_estimated=call.is_estimated))

    def spend(self) -> None:
        """What nobody reserved."""
        gateway = self._any()
        if gateway is None:
            return
        self._made += 1
        call = Call(id=f"c{self._made}", gateway=gateway.name, pools=self.chance.choice((("default",), ("slide",))))
        self.truth.calls[call.id] = call
        self._settle(gateway, call, lambda _: (self.chance.randrange(1, 9), 1, 0))

    def report(self) -> None:
        """By any gateway, at any time, also when the hold has run out."""
        if held := self._reportable():
            self._begin_report(self.chance.choice(held[-40:]))

    def _reportable(self) -> list[Call]:
        calls = self.truth.calls.values()
        return [call for call in calls if call.is_ceded and call.known and not call.end_posted and not call.is_busy]

    def _begin_report(self, call: Call) -> None:
        gateway = self._any()
        if gateway is not None:
            call.gateway = gateway.name
            self._do(gateway, call, "report", lambda: self._report(gateway, call))

    async def _report(self, gateway: Gateway, call: Call) -> None:
        used = self._used(call)
        is_release = self.chance.random() < 0.2
        try:
            if is_release:
                await gateway.reservations.release(ANONYMOUS, call.id)
            else:
                await gateway.reservations.report(ANONYMOUS, call.id, used[0])
        except StoreFailed:
            self._count("reported in vain")
        finally:
            if call.end_posted and is_release:
                self.truth.released(call)
            elif call.end_posted:
                self.truth.settled(call, (used[0], 0, 0), is_estimated=False)

    def cancel(self) -> None:
        gateway = self._any()
        if gateway is not None and gateway.tasks:
            self._say(("cancel", gateway.name))
            self.chance.choice(list(gateway.tasks)).cancel()

    def flush(self) -> None:
        gateway = self._any()
        if gateway is not None:
            self._say(("flush", gateway.name))
            self._spawn(gateway, lambda: self._flush(gateway))

    async def _flush(self, gateway: Gateway) -> None:
        """What is told by then is in the store, whatever comes."""
        calls = [(call, call.used is not None) for call in self._mine(gateway) if call.is_taken or call.end_posted]
        try:
            await gateway.courier.flush()
        except StoreFailed:
            return
        for call, is_ended in calls:
            call.known = True
            call.known_end = call.known_end or is_ended

    # What befalls them

    def turn_weather(self) -> None:
        gateway = self._any()
        if gateway is None:
            return
        weather, luck = gateway.weather, self.chance.random()
        weather.away = luck < 0.15
        weather.slow_s = self.chance.choice((SOON_S, SOON_S, 0.05, 0.6))
        bad = 0.3 if self.chance.random() < 0.5 else 0.0
        weather.cut, weather.lost, weather.twice = bad * 0.5, bad, bad
        self._say(("weather", gateway.name, msgspec.structs.astuple(weather)))

    def kill(self) -> None:
        gateway = self._any()
        if gateway is None or len(self.gateways) < 2:
            return
        self._say(("kill", gateway.name))
        self._count("kills")
        gateway.link.is_dead = True
        if gateway.paper is not None:
            gateway.paper.is_sealed = True
            self.papers.append(gateway.paper)
        self.truth.killed(gateway.name, forgets=not self.kind.journal)
        self.gateways.remove(gateway)
        for task in (*gateway.tasks, *gateway.courier._tasks):
            task.cancel()

    def start(self) -> None:
        """A new process in the place of a dead one; first it tells what the dead have left behind."""
        if len(self.gateways) < self.kind.gateways and not self._is_starting():
            self._made += 1
            self._starting = self.loop.create_task(self._start(f"g{self._made}"))

    def _is_starting(self) -> bool:
        if self._starting is not None and self._starting.done():
            self._note(self._starting)
            self._starting = None
        return self._starting is not None

    async def _start(self, name: str) -> None:
        link = Link(self.ledger, self.truth, Weather(cut=0.1, lost=0.1, twice=0.1), self.chance)
        while self.papers:
            paper = self.papers[0]
            try:
                await replay(link, await link.open(), paper)
            except StoreFailed:
                continue
            self.papers.remove(paper)
        await self._open(name)

    async def _open(self, name: str) -> None:
        pools = Pools(self.pools.values(), ZoneInfo)
        gateway = Gateway(name, self.ledger, self.truth, pools, self.chance, journal=self.kind.journal)
        await gateway.courier.open()
        self.gateways.append(gateway)
        self._say(("open", name))

    def leave(self) -> None:
        """It stops as it should."""
        gateway = self._any()
        if gateway is not None and len(self.gateways) > 1 and not gateway.tasks and not gateway.escrow._open:
            self.gateways.remove(gateway)
            self._say(("leave", gateway.name))
            gateway.weather.away = False
            gateway.weather.cut = gateway.weather.lost = 0.0
            self._leaving.append(self.loop.create_task(self._stop(gateway)))

    async def _stop(self, gateway: Gateway) -> None:
        for task in gateway.tasks:
            task.cancel()
        is_told = await gateway.courier.close(60)
        if not is_told and gateway.paper is not None:
            gateway.paper.is_sealed = True
            self.papers.append(gateway.paper)
        if gateway in self.gateways:
            self.gateways.remove(gateway)

    def jump(self) -> None:
        gateway = self._any()
        if gateway is None or not self.kind.clocks:
            return
        clock = self.store_clock if self.chance.random() < 0.5 else gateway.clock
        ahead_s = self.chance.choice((-4.0, -1.0, -0.01, 0.01, 1.5, 6.0))
        clock.ahead_s += ahead_s
        self._say(("jump", "store" if clock is self.store_clock else gateway.name, ahead_s))

    def define(self) -> None:
        """All pools of one gateway anew; the others hear of it later, or of something else."""
        gateway = self._any()
        if gateway is None:
            return
        pool = self.pools[self.chance.choice(("team", "slide", "fixed", "temp"))]
        if pool.name == "temp" and self.chance.random() < 0.7:
            defined = {name: known for name, known in self.pools.items() if name != "temp"}
        else:
            share = self.chance.choice((50, 80, 120))
            tokens = {each.name: each.ceiling.tokens for each in POOLS}[pool.name] * share // 100
            tokens //= 5 if self.kind.tight else 1
            if pool.name == "fixed":
                tokens += self.truth.used_of("fixed")
            changed = msgspec.structs.replace(pool, ceiling=Amount(tokens, UNLIMITED, UNLIMITED))
            self.pools[pool.name] = changed
            self.truth.defined(changed)
            defined = dict(self.pools)
        gateway.pools.define(defined)
        if "temp" not in defined and self.chance.random() < 0.7:  # and it comes again while calls still hold some of it
            self.loop.call_later(self.chance.random() / 10, lambda: gateway.pools.define(dict(self.pools)))
        self._say(("define", gateway.name, pool.name, len(defined)))

    # Rest

    async def rest(self) -> None:
        """All that is wrong ends, all calls end, and then nothing is held, leased or lost."""
        self._say(("rest",))
        await self._calm()
        for gateway in self.gateways:
            for call in self._settleable(gateway):
                self._settle(gateway, call, self._used)
        while self.kind.tight and (held := self._reportable()):
            for call in held:
                self._begin_report(call)
            await asyncio.sleep(1)
        await asyncio.sleep(LONG_S if self.kind.tight and self.kind.faults else 3 * LEASE_S + 2)
        for gateway in self.gateways:
            await self._flush(gateway)
        await asyncio.sleep(3 * LEASE_S + 2)
        if self._broken:
            raise self._broken[0]
        await self.truth.settle_accounts(self.ledger)
        self._check_desks()
        await self.ledger.prune(1 << 52)

    async def _calm(self) -> None:
        for gateway in self.gateways:
            for name, value in msgspec.structs.asdict(Weather()).items():
                setattr(gateway.weather, name, value)
        await asyncio.sleep(1)
        while self.papers or self._is_starting() or not self.gateways:
            self.start()
            if self.papers and not self._is_starting():
                self._starting = self.loop.create_task(self._replay_alone())
            await asyncio.sleep(0.5)
        tasks = [task for gateway in self.gateways for task in gateway.tasks]
        await asyncio.gather(*tasks, *self._leaving, return_exceptions=True)

    async def _replay_alone(self) -> None:
        self._made += 1
        await self._start(f"g{self._made}")

    def _check_desks(self) -> None:
        for gateway in self.gateways:
            for desk, _ in gateway.pools.desks():
                assert not any(desk.held), f"{gateway.name} holds {desk.held} of {desk.pool} for nobody"
                assert not any(desk.pending), f"{gateway.name} believes {desk.pending} of {desk.pool} untold"

    # The driver

    def _any(self) -> Gateway | None:
        return self.chance.choice(self.gateways) if self.gateways else None

    def _mine(self, gateway: Gateway) -> list[Call]:
        return [call for call in self.truth.calls.values() if call.gateway == gateway.name]

    def _settleable(self, gateway: Gateway) -> list[Call]:
        calls = self.truth.calls
        return [calls[name] for name in gateway.escrow._open if not calls[name].is_busy and not calls[name].is_ceded]

    def _say(self, what: tuple[object, ...]) -> None:
        """An operation was taken, and does something."""
        self.taken += 1
        self.log.append(what)

    def _count(self, what: str) -> None:
        self.counts[what] += 1

    def _do(self, gateway: Gateway, call: Call, what: str, work: Work) -> None:
        call.is_busy = True
        self._say((what, gateway.name, call.id))

        async def whole() -> None:
            try:
                await work()
            except asyncio.CancelledError:
                if not gateway.link.is_dead:
                    self._gave_up(gateway, call)
            finally:
                call.is_busy = False

        self._spawn(gateway, whole)

    def _gave_up(self, gateway: Gateway, call: Call) -> None:
        """A cancelled call settles all the same: here it has used nothing."""
        if call.is_ceded:
            if not call.known:
                self.truth.released(call)
            return
        is_open = call.id in gateway.escrow._open
        gateway.escrow.settle(self._settlement(call, (0, 0, 0), is_estimated=False))
        if is_open:
            self.truth.settled(call, (0, 0, 0), is_estimated=False)
        else:
            self.truth.released(call)

    def _spawn(self, gateway: Gateway, work: Work) -> None:
        """A task can be cancelled, and counts as its gateway's, from its first step on."""

        async def begun() -> None:
            if gateway in self.gateways:
                gateway.tasks[task] = None
                await work()

        task = self.loop.create_task(begun())
        task.add_done_callback(lambda done: gateway.tasks.pop(done, None))
        task.add_done_callback(self._note)

    def _note(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken.append(error)


@asynccontextmanager
async def memory(now_ms: Callable[[], int]) -> AsyncIterator[Ledger]:
    yield MemoryLedger(now_ms)


def simulate(seed: int, operations: int, kind: Kind, store: OpenStore = memory) -> World:
    """Raises AssertionError, which tells how to see it again."""
    worlds: list[World] = []

    async def main() -> None:
        clock = Clock(asyncio.get_running_loop())
        async with store(clock.now_ms) as ledger:
            worlds.append(World(ledger, clock, kind, Random(seed)))
            await worlds[0].run(operations)

    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())
    except Exception as error:
        log = "\n".join(map(str, worlds[0].log)) if worlds else ""
        again = f"python -m simulation.run {seed} {operations} {KINDS.index(kind)}"
        raise AssertionError(f"{error!r}\nlast operations:\n{log}\nagain: {again}") from error
    return worlds[0]
