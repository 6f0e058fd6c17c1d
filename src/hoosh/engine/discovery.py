"""Finding local servers on their usual ports: one question to each address, all at once."""

import asyncio
from collections.abc import Mapping, Sequence

from hoosh.core.errors import HooshError
from hoosh.core.wire import Timeouts
from hoosh.engine.backend import Backend
from hoosh.engine.catalog import MAX_LIST_BYTES
from hoosh.ports import Transport
from hoosh.providers import Provider


def address(provider: Provider, environ: Mapping[str, str]) -> str:
    """The provider's base URL, or where its own environment variable (OLLAMA_HOST) points."""
    host = environ.get(provider.host_env, "").strip().rstrip("/") if provider.host_env else ""
    if not host:
        return provider.base_url
    host = host if "://" in host else f"http://{host}"
    scheme, _, rest = host.partition("://")
    # Ollama listens on every interface by that name; one connects to it by loopback.
    rest = rest.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - a place to connect to, not to bind
    default_port = provider.base_url.rpartition(":")[2]
    return f"{scheme}://{rest}" if ":" in rest else f"{scheme}://{rest}:{default_port}"


async def discover(
    providers: Sequence[Provider], transport: Transport, environ: Mapping[str, str], timeout_s: float
) -> list[Backend]:
    """The local servers that answer within `timeout_s`, in the order of `providers`.

    Of several kinds that share a port, the one whose `signature` is in the answer is taken, else the last.
    """
    by_address: dict[str, list[Provider]] = {}
    for provider in providers:
        by_address.setdefault(address(provider, environ), []).append(provider)
    bodies = await asyncio.gather(*(_ask(url, kinds[0], transport, timeout_s) for url, kinds in by_address.items()))
    found = []
    for (url, kinds), body in zip(by_address.items(), bodies, strict=True):
        if body is not None:
            provider = next((kind for kind in kinds if kind.signature and kind.signature in body), kinds[-1])
            found.append(Backend(name=provider.name, provider=provider, base_url=url, ways=provider.ways, local=True))
    return sorted(found, key=lambda backend: providers.index(backend.provider))


async def _ask(url: str, provider: Provider, transport: Transport, timeout_s: float) -> bytes | None:
    timeouts = Timeouts(connect_s=timeout_s, first_byte_s=timeout_s, idle_s=timeout_s, total_s=timeout_s)
    body = b""
    try:
        async with (
            asyncio.timeout(timeout_s),
            transport.exchange(url, provider.dialect.models_request(), timeouts) as reply,
        ):
            while len(body) < MAX_LIST_BYTES and (piece := await reply.read()):
                body += piece
        if reply.status != 200:
            return None
        provider.dialect.models(body)
    except (HooshError, TimeoutError):
        return None
    return body
