"""Real gateways in processes of their own, which may be killed and are started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from random import Random

from hoosh.core.errors import HooshError

START_S = 120.0
STOP_S = 60.0
AGAIN_S = 0.2


class Unready(HooshError):
    """A gateway did not start."""


class House:
    """One gateway, and whoever follows it. `port` is 0 while there is none."""

    def __init__(self, home: Path, config: Path, environ: Mapping[str, str], workers: int) -> None:
        self.port = 0
        self._home = home
        words = ("serve", "--port", "0", "--config", str(config), "--workers", str(workers))
        self._command = (sys.executable, "-m", "hoosh", *words)
        self._environ = {**environ, "HOOSH_HOME": str(home)}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Raises Unready."""
        log = (self._home / "gateway.log").open("ab")
        with log:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=asyncio.subprocess.PIPE, stderr=log, env=self._environ, cwd=self._home
            )
        try:
            async with asyncio.timeout(START_S):
                self.port = await _port_of(process)
        except TimeoutError:
            self.port = 0
        if not self.port:
            raise Unready(f"the gateway does not start: {(self._home / 'gateway.log').read_text()[-500:]}")

    async def kill(self) -> None:
        """As it is: no goodbye to anybody."""
        self.port = 0
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """As it should. Raises Unready where it does not end so."""
        process, self.port = self._process, 0
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
        if code:
            raise Unready(f"the gateway ended with {code}")


async def _port_of(process: asyncio.subprocess.Process) -> int:
    port = 0
    if process.stdout is not None:
        async for line in process.stdout:
            if line.startswith(b"hoosh ") and b" on http" in line:
                port = int(line.split(b" on http")[1].split()[0].rpartition(b":")[2])
            if line == b"ready\n":
                return port
    return 0


class Street:
    """All of them."""

    def __init__(self, houses: list[House], chance: Random) -> None:
        self.houses = houses
        self.kills = 0
        self._chance = chance

    def port(self) -> int:
        """Of one that is up. Raises ConnectionRefusedError where none is."""
        ports = [house.port for house in self.houses if house.port]
        if not ports:
            raise ConnectionRefusedError
        return self._chance.choice(ports)

    def all_live(self) -> bool:
        return all(house.port for house in self.houses)

    async def start(self) -> None:
        for house in self.houses:
            await house.start()

    async def kill(self, times: int, within_s: float) -> None:
        """Again and again, at moments that chance chooses."""
        for _ in range(times):
            await asyncio.sleep(self._chance.random() * 2 * within_s / times)
            house = self._chance.choice(self.houses)
            await house.kill()
            self.kills += 1
            await self._start_again(house)

    async def _start_again(self, house: House) -> None:
        """None starts while its store is away, and that may be away just now. Raises Unready."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + START_S
        while True:
            try:
                await house.start()
            except Unready:
                await house.kill()
                if loop.time() > deadline_s:
                    raise
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def stop(self) -> None:
        for house in self.houses:
            await house.stop()

    async def end(self) -> None:
        """Whatever they do."""
        for house in self.houses:
            await house.kill()


def environ() -> Mapping[str, str]:
    """Without a setting, a key or a server of the user's own: what is proved is told in full by the configuration."""
    kept = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR", "TZ")
    return {name: os.environ[name] for name in kept if name in os.environ}
