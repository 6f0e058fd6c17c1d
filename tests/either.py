"""One test for both clients: `kind` says which, `use` is given a client and its result is awaited where it has to be."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Literal

from hoosh import AsyncHooshClient, HooshClient

Kind = Literal["blocking", "asyncio"]
KINDS: tuple[Kind, ...] = ("blocking", "asyncio")


def ask(kind: Kind, url: str, use: Callable[[Any], Any], **options: Any) -> Any:
    if kind == "blocking":
        with HooshClient(url, **options) as client:
            return use(client)

    async def main() -> Any:
        async with AsyncHooshClient(url, **options) as client:
            result = use(client)
            return await result if inspect.isawaitable(result) else result

    return asyncio.run(main())


def in_turn(*uses: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several calls on one client; the results as a list."""

    def use(client: Any) -> Any:
        if isinstance(client, HooshClient):
            return [one(client) for one in uses]

        async def main() -> list[Any]:
            return [await one(client) for one in uses]

        return main()

    return use


def streamed(*asked: Any, **fields: Any) -> Callable[[Any], Any]:
    """All pieces of a stream, and the stream. An error is raised with the pieces before it as `seen`."""

    def use(client: Any) -> Any:
        return _drain(client, asked, fields) if isinstance(client, HooshClient) else _adrain(client, asked, fields)

    return use


def _drain(client: HooshClient, asked: Any, fields: Any) -> Any:
    pieces = []
    with client.stream(*asked, **fields) as stream:
        try:
            for piece in stream:
                pieces.append(piece)
        except Exception as error:
            error.seen = pieces  # type: ignore[attr-defined]
            raise
    return pieces, stream


async def _adrain(client: AsyncHooshClient, asked: Any, fields: Any) -> Any:
    pieces = []
    async with client.stream(*asked, **fields) as stream:
        try:
            async for piece in stream:
                pieces.append(piece)
        except Exception as error:
            error.seen = pieces  # type: ignore[attr-defined]
            raise
    return pieces, stream
