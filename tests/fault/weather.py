"""Seeded bad weather over three upstreams: any two of them ill, never all; and callers who go on in it."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from fault.faultproxy import Fault, FaultProxy
from fault.stage import Leave, Told, ask

FIRST_BYTE_S = 1.0
IDLE_S = 1.0
TICK_S = 0.05
NETWORK = f"connect_timeout_s = 1.0\nfirst_byte_timeout_s = {FIRST_BYTE_S}\nidle_timeout_s = {IDLE_S}"
# The head of a streamed reply is some 90 bytes, each piece some 130.
AFTER_BYTES = (0, 40, 95, 150, 300, 420)


class Weather:
    def __init__(self, proxies: Sequence[FaultProxy], random: Random) -> None:
        self.proxies = proxies
        self.random = random
        self.turns = Counter[str]()
        self._well_since_s: list[float | None] = [0.0] * len(proxies)
        self._late_s = 0.0  # when this loop, in which the upstreams live, last stood still

    async def blow(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        ticking = asyncio.ensure_future(self._tick())
        while time.monotonic() < end_s:
            await asyncio.sleep(self.random.uniform(0.2, 2.0))
            ill = set(self.random.sample(range(len(self.proxies)), self.random.choice((0, 1, 2, 2))))
            for n, proxy in enumerate(self.proxies):
                if n not in ill and self._well_since_s[n] is None:
                    await proxy.heal()
                    self._well_since_s[n] = time.monotonic()
            for n in ill:
                self._strike(n)
        ticking.cancel()
        await self.clear()

    async def _tick(self) -> None:
        """An upstream that this machine keeps from answering in time is not well, either."""
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(TICK_S)
            if time.monotonic() - before_s > FIRST_BYTE_S / 2:
                self._late_s = time.monotonic()
                self.turns["late"] += 1

    async def clear(self) -> None:
        for n, proxy in enumerate(self.proxies):
            await proxy.heal()
            self._well_since_s[n] = time.monotonic()

    def _strike(self, n: int) -> None:
        kind = self.random.choice(("kill", "stall", "reset", "cut", "garble"))
        self.turns[kind] += 1
        self._well_since_s[n] = None
        if kind == "kill":
            self.proxies[n].kill()
        elif kind == "stall":
            self.proxies[n].fault = Fault("stall", self.random.choice(AFTER_BYTES))
        elif kind == "reset":
            self.proxies[n].fault = Fault("reset", self.random.choice(AFTER_BYTES))
        elif kind == "cut":
            self.proxies[n].fault = Fault("cut", self.random.choice(AFTER_BYTES))
        else:
            self.proxies[n].fault = Fault("garble", self.random.choice(AFTER_BYTES))

    def was_well(self, since_s: float) -> bool:
        """Has one upstream been well from then until now?"""
        return self._late_s < since_s and any(well is not None and well <= since_s for well in self._well_since_s)


@dataclass
class Fate:
    """What became of all calls."""

    calls: int = 0
    answered: int = 0
    left: int = 0
    cut: int = 0  # after their first token, and told so
    lost: list[str] = field(default_factory=list)  # failed before their first token, while one upstream was well
    unlucky: int = 0  # likewise, but no upstream was well all the time
    wrong: list[str] = field(default_factory=list)


class Crowd:
    """`leaves`: of so many in a hundred calls the client goes early."""

    def __init__(self, port: int, weather: Weather, *, pieces: int, leaves: int = 0) -> None:
        self.fate = Fate()
        self._port = port
        self._weather = weather
        self._pieces = pieces
        self._leaves = leaves

    async def call_for(self, seconds: float, callers: int) -> None:
        end_s = time.monotonic() + seconds
        await asyncio.gather(*(self._caller(n, end_s) for n in range(callers)))

    async def _caller(self, n: int, end_s: float) -> None:
        random = Random(self._weather.random.random())
        while time.monotonic() < end_s:
            await asyncio.sleep(random.uniform(0.0, 0.1))
            self.fate.calls += 1
            call, stream = f"{n}-{self.fate.calls}", random.random() < 0.6
            leave: Leave = random.choice(("fin", "rst")) if random.randrange(100) < self._leaves else ""
            began_s = time.monotonic()
            after = random.randrange(self._pieces) if stream else 0
            told = await ask(self._port, call, stream=stream, leave=leave, after=after)
            self._judge(call, told, began_s, stream=stream, leave=leave)

    def _judge(self, call: str, told: Told, began_s: float, *, stream: bool, leave: Leave) -> None:
        fate, what = self.fate, f"{call}: {told.status} after {told.took_s:.2f} s: {told.body[:300]!r}"
        if leave:
            fate.left += 1
        elif told.is_answer(self._pieces, stream=stream):
            fate.answered += 1
        elif stream and told.words:
            fate.cut += 1
            if told.done or not told.error or not told.whole or told.words > self._pieces:
                fate.wrong.append(what)
        elif told.status < 400 or not told.error:
            fate.wrong.append(what)
        elif self._weather.was_well(began_s):
            fate.lost.append(what)
        else:
            fate.unlucky += 1
