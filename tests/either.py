"""One test for both clients: `kind` says which, `use` is given a client and its result is awaited where it has to be."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Literal

import uvloop

from hoosh import AsyncHooshClient, HooshClient

Kind = Literal["blocking", "asyncio", "uvloop"]
KINDS: tuple[Kind, ...] = ("blocking", "asyncio", "uvloop")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def ask(kind: Kind, url: str, use: Callable[[Any], Any], **options: Any) -> Any:
    if kind == "blocking":
        with HooshClient(url, **options) as client:
            return use(client)

    async def main() -> Any:
        async with AsyncHooshClient(url, **options) as client:
            result = use(client)
            return await result if inspect.isawaitable(result) else result

    with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        return runner.run(main())


def in_turn(*uses: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several calls on one client; the results as a list."""

    def use(client: Any) -> Any:
        if isinstance(client, HooshClient):
            return [one(client) for one in uses]

        async def main() -> list[Any]:
            return [await one(client) for one in uses]

        return main()

    return use


def streamed(*asked: Any, seen: list[Any] | None = None, **fields: Any) -> Callable[[Any], Any]:
    """All pieces of a stream, and the stream. `seen` keeps the pieces when it fails."""
    pieces: list[Any] = [] if seen is None else seen
    take = pieces.append

    async def adrain(client: AsyncHooshClient) -> Any:
        async with client.stream(*asked, **fields) as stream:
            async for piece in stream:
                take(piece)
        return pieces, stream

    def use(client: Any) -> Any:
        if isinstance(client, AsyncHooshClient):
            return adrain(client)
        with client.stream(*asked, **fields) as stream:
            for piece in stream:
                take(piece)
        return pieces, stream

    return use
