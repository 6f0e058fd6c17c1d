"""Many callers at once, some of whom leave in the middle. What they were told is what a gateway has acknowledged."""

import asyncio
import json
from collections.abc import Callable
from itertools import count
from random import Random

import msgspec

MOST_S = 60.0
AGAIN_S = 0.02


class Heard(msgspec.Struct, frozen=True):
    """What a caller was told: 0 where the connection broke off, or where it left itself."""

    status: int
    whole: bool


class Callers:
    """`where` picks a port that is up. `heard` has every call by its model."""

    def __init__(self, where: Callable[[], int], chance: Random, output_tokens: int) -> None:
        self.heard: dict[str, Heard] = {}
        self._where = where
        self._chance = chance
        self._output_tokens = output_tokens
        self._numbers = count()

    async def until_refused(self, pool: str) -> None:
        """As long as there is budget. A refusal is final: nothing gives anything back."""
        while (await self._call(pool, leaves=False)).status != 429:
            pass

    async def until(self, over: asyncio.Event, pools: tuple[str, ...]) -> None:
        """Through kills and refusals, leaving now and then."""
        while not over.is_set():
            heard = await self._call(self._chance.choice(pools), leaves=self._chance.random() < 0.15)
            if heard.status != 200:
                await asyncio.sleep(AGAIN_S)

    async def _call(self, pool: str, *, leaves: bool) -> Heard:
        model = f"prove-{next(self._numbers)}"
        try:
            async with asyncio.timeout(MOST_S):
                heard = await self._ask(model, pool, leaves=leaves)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            heard = Heard(0, whole=False)
        self.heard[model] = heard
        return heard

    async def _ask(self, model: str, pool: str, *, leaves: bool) -> Heard:
        stream = leaves or self._chance.random() < 0.5
        asked: dict[str, object] = {"model": model, "max_tokens": self._output_tokens, "stream": stream}
        body = json.dumps({**asked, "messages": [{"role": "user", "content": "Hello"}]}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._where())
        try:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-hoosh-pool: {pool}\r\n"
            head += f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            status = int((await reader.readuntil(b"\r\n")).split()[1])
            if leaves and status == 200:
                await asyncio.sleep(self._chance.random() / 20)
                return Heard(0, whole=False)
            text = await reader.read()
            if status != 200:
                return Heard(status, whole=True)
            return Heard(200, whole=b"[DONE]" in text if stream else text.endswith(b"}"))
        finally:
            writer.close()
