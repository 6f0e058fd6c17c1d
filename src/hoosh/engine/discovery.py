"""Finding local servers on their usual ports: one question to each address, all at once."""

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from hoosh.core.errors import HooshError
from hoosh.core.wire import Timeouts
from hoosh.engine.backend import Backend, tongues_of
from hoosh.engine.catalog import MAX_LIST_BYTES
from hoosh.ports import Transport
from hoosh.providers import Provider


def address(provider: Provider, environ: Mapping[str, str]) -> str:
    """The provider's base URL, or where its own environment variable (OLLAMA_HOST) points."""
    host = environ.get(provider.host_env, "").strip().rstrip("/") if provider.host_env else ""
    if not host:
        return provider.base_url
    parts = urlsplit(host if "://" in host else f"http://{host}")
    # Ollama listens on every interface by these names; one connects to it by loopback.
    name = parts.hostname if parts.hostname not in (None, "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    name = f"[{name}]" if name and ":" in name else name
    default_port = {"http": 80, "https": 443}[parts.scheme] if "://" in host else urlsplit(provider.base_url).port
    return f"{parts.scheme}://{name}:{parts.port or default_port}"


def is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    return name in {"localhost", "::1"} or name.startswith("127.")


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
            backend = Backend(name=provider.name, provider=provider, base_url=url, tongues=tongues_of(provider))
            found.append(msgspec.structs.replace(backend, local=is_loopback(url)))
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
