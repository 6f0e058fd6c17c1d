"""The order of a proof: gateways start, a small budget is used up by many at once, then all goes wrong that can for a
while, then all comes to rest, and every call is looked up.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import msgspec

from hoosh.app.scratch import Scratch, scratch
from hoosh.config.schema import Config
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import Asked
from hoosh.ports import Ledger
from hoosh.prove.auditor import Auditor
from hoosh.prove.callers import Callers
from hoosh.prove.gateways import House, Street, environ
from hoosh.prove.upstream import PROMPT_TOKENS, Upstream
from hoosh.prove.verdict import Found, compare

# A call of "Hello" holds 5 bytes, 16 for its message, and its answer. It uses all of that.
COST_TOKENS = 100
OUTPUT_TOKENS = COST_TOKENS - PROMPT_TOKENS
CEILINGS = {"small": 10_000, "tight": 200_000, "large": 1_000_000_000}
LEASE_S = 2.0
PAUSE_S = 0.005
REST_S = 30.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """`kills` gateways die at random moments of `seconds`."""

    seconds: float = 20.0
    callers: int = 64
    gateways: int = 2
    workers: int = 1
    kills: int = 10
    seed: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`small_tokens` is what was used of the small budget of 10,000 before all were refused; `kept` is the folder with
    the gateways' logs where something was wrong.
    """

    store: str
    seed: int
    looks: int
    kills: int
    small_tokens: int
    found: Found
    kept: str = ""

    @property
    def holds(self) -> bool:
        return not self.found.breaches


class Proof:
    """One run. `nuisance` is whatever else shall happen meanwhile: a store that is killed, say."""

    def __init__(self, config: Config, directory: Path, wanted: Wanted) -> None:
        self._config = config
        self._directory = directory
        self._wanted = wanted
        self._chance = Random(wanted.seed)  # noqa: S311 - moments, no secrets

    async def run(self, nuisance: Callable[[], Awaitable[None]] | None = None) -> Verdict:
        """Raises: ConfigError, StoreFailed, Unready."""
        self._directory.mkdir(parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(prefix="prove-", dir=self._directory))
        async with AsyncExitStack() as ends:
            place = await ends.enter_async_context(scratch(self._config, home))
            upstream = Upstream(PAUSE_S)
            ends.push_async_callback(upstream.close)
            street = self._street(home, place, await upstream.open())
            ends.push_async_callback(street.end)
            await street.start()
            verdict = await self._play(place.ledger, street, upstream, nuisance)
        if verdict.holds:
            shutil.rmtree(home, ignore_errors=True)
            return verdict
        return msgspec.structs.replace(verdict, kept=str(home))

    async def _play(
        self, ledger: Ledger, street: Street, upstream: Upstream, nuisance: Callable[[], Awaitable[None]] | None
    ) -> Verdict:
        over, auditor = asyncio.Event(), Auditor(ledger, CEILINGS, street.all_live)
        callers = Callers(street.port, self._chance, OUTPUT_TOKENS)
        watch = asyncio.create_task(self._watch(auditor, over))
        await asyncio.gather(*(callers.until_refused("small") for _ in range(self._wanted.callers)))
        (standing,) = await ledger.standing([Asked("small")])
        await self._storm(callers, street, nuisance)
        await street.stop()
        over.set()
        await watch
        await self._rest(ledger, auditor)
        found = compare(callers.heard, upstream.served, await ledger.usage(0, 1 << 40), street.kills)
        found.breaches = [*dict.fromkeys(auditor.breaches), *found.breaches]
        return Verdict(
            store=self._config.store.kind,
            seed=self._wanted.seed,
            looks=auditor.looks,
            kills=street.kills,
            small_tokens=standing.committed.tokens,
            found=found,
        )

    async def _watch(self, auditor: Auditor, over: asyncio.Event) -> None:
        """A store that is away for a moment is looked at again."""
        while not over.is_set():
            try:
                await auditor.watch(over)
            except StoreFailed:
                await asyncio.sleep(0.1)

    async def _storm(self, callers: Callers, street: Street, nuisance: Callable[[], Awaitable[None]] | None) -> None:
        over = asyncio.Event()
        tasks = [
            asyncio.create_task(callers.until(over, ("tight", "large", "large"))) for _ in range(self._wanted.callers)
        ]
        try:
            trouble = [street.kill(self._wanted.kills, self._wanted.seconds)] if self._wanted.kills else []
            more = [nuisance()] if nuisance is not None else []
            await asyncio.gather(asyncio.sleep(self._wanted.seconds), *trouble, *more)
            over.set()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _rest(self, ledger: Ledger, auditor: Auditor) -> None:
        """Once leases are over nothing is held and nothing leased."""
        try:
            async with asyncio.timeout(REST_S):
                while (audit := await auditor.look()).open_lines or audit.leases:
                    await ledger.sweep()
                    await asyncio.sleep(0.2)
        except TimeoutError:
            auditor.breaches.append("I5: something is still held or leased though no gateway is left")

    def _street(self, home: Path, place: Scratch, upstream: str) -> Street:
        config = home / "hoosh.toml"
        config.write_text(configuration(place.settings, upstream))
        config.chmod(0o600)
        houses = []
        for n in range(self._wanted.gateways):
            own = home if place.shares_home else home / f"gateway-{n}"
            own.mkdir(exist_ok=True)
            houses.append(House(own, config, environ(), self._wanted.workers))
        return Street(houses, self._chance)


def configuration(store: Mapping[str, str | bool], upstream: str) -> str:
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in store.items()]
    budgets = [f'[[budgets]]\nname = "{name}"\ncapacity = {tokens}\n' for name, tokens in CEILINGS.items()]
    return "\n".join(
        (
            "[server]\ndrain_s = 30\n[discovery]\nenabled = false\nenv_keys = false\n[embedded]\nenabled = false",
            "[retry]\ntries = 1\nmax_attempts = 1\n[logging]\nlevel = 'warning'",
            f"[store]\nlease_s = {LEASE_S}",
            *lines,
            *budgets,
            f'[[providers]]\ntype = "openai"\nname = "truth"\nbase_url = "{upstream}"\napi_key = "none"',
            'models = ["prove-*"]\n',
        )
    )
