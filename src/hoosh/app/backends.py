"""Whom this gateway can ask: what the file names, then what is found, then the small model of our own."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from hoosh.app.limiting import of_provider
from hoosh.config.schema import Config, ProviderConfig
from hoosh.core.errors import ConfigError
from hoosh.dialects import Tongue
from hoosh.dialects.openai_responses import DIALECT as OPENAI_RESPONSES
from hoosh.engine.backend import Backend, tongues_of
from hoosh.engine.discovery import discover
from hoosh.local.embedded import LocalEngine
from hoosh.ports import Transport
from hoosh.providers import Provider
from hoosh.providers.quirks import cap_output
from hoosh.providers.registry import PROVIDERS, find

FOUND_PRIORITY = 20
EMBEDDED_PRIORITY = 30


def configured(config: Config) -> list[Backend]:
    return [_backend(entry, config) for entry in config.providers if entry.enabled]


async def found(
    named: set[str], config: Config, environ: Mapping[str, str], http: Transport, engines: Mapping[str, LocalEngine]
) -> list[Backend]:
    """Local servers on their usual ports, providers with a key in the environment, the embedded engine."""
    discovery = config.discovery
    taken = {provider.base_url for provider in config.providers}
    local = [kind for kind in PROVIDERS if _has_port(kind) and kind.name not in named and kind.base_url not in taken]
    found: list[Backend] = []
    if discovery.enabled:
        found += await discover(local, http, environ, discovery.timeout_ms / 1e3)
    if discovery.env_keys:
        remote = [kind for kind in PROVIDERS if kind.env and kind.name not in named]
        found += [backend for kind in remote if (backend := _keyed(kind, environ))]
    found = [_later(backend, FOUND_PRIORITY) for backend in found]
    if engines and "embedded" not in named:
        found.append(_later(_embedded(engines), EMBEDDED_PRIORITY))
    return found


def _backend(entry: ProviderConfig, config: Config) -> Backend:
    kind = find(entry.type)
    if kind is None:  # the loader has checked it
        raise ConfigError(f'unknown provider "{entry.type}"')
    base_url = entry.base_url or kind.base_url
    if not base_url:
        raise ConfigError(
            f'providers: "{entry.name}" needs a base_url, for there are many of type {kind.name}; see {kind.docs}'
        )
    limit_tokens = entry.max_tokens_limit
    tongues = tongues_of(kind) if limit_tokens is None else tongues_of(kind, cap_output(limit_tokens))
    return Backend(
        name=entry.name,
        provider=kind,
        base_url=base_url,
        auths=tuple(kind.sign(key.reveal()) for key in (entry.api_key, *entry.api_keys) if key is not None),
        models=entry.models,
        priority=entry.priority,
        local=kind.local if entry.local is None else entry.local,
        timeouts=entry.timeouts(config.network),
        limit=of_provider(entry, queues=config.overload.enabled),
        tongues=_spoken(tongues, kind, entry),
    )


def _spoken(tongues: tuple[Tongue, ...], kind: Provider, entry: ProviderConfig) -> tuple[Tongue, ...]:
    """A server at another address is often one that only chats as the type does."""
    wanted = entry.responses
    if wanted is None:
        wanted = entry.base_url in (None, kind.base_url)
    names = [tongue.dialect.name for tongue in tongues]
    if not wanted:
        return tuple(tongue for tongue in tongues if tongue.dialect.name != OPENAI_RESPONSES.name)
    if entry.responses and OPENAI_RESPONSES.name not in names:
        return (*tongues, Tongue(dialect=OPENAI_RESPONSES))
    return tongues


def _keyed(kind: Provider, environ: Mapping[str, str]) -> Backend | None:
    key = next((value for name in kind.env if (value := environ.get(name, "").strip())), "")
    if not key or not kind.base_url:
        return None
    return Backend(
        name=kind.name,
        provider=kind,
        base_url=kind.base_url,
        auths=(kind.sign(key),),
        tongues=tongues_of(kind),
        local=kind.local,
    )


def _embedded(engines: Mapping[str, LocalEngine]) -> Backend:
    kind = find("embedded")
    if kind is None:
        raise ConfigError("the embedded provider is not in the registry")
    makes_vectors = {name: engine.purpose == "embed" for name, engine in engines.items()}
    tongues = []
    for tongue in tongues_of(kind):
        is_embed = tongue.dialect.operation == "embed"
        models = tuple(name for name, does in makes_vectors.items() if does == is_embed)
        if models:
            tongues.append(msgspec.structs.replace(tongue, models=models))
    return Backend(
        name=kind.name,
        provider=kind,
        base_url=kind.base_url,
        models=tuple(engines),
        tongues=tuple(tongues),
        local=True,
    )


def _later(backend: Backend, priority: int) -> Backend:
    return msgspec.structs.replace(backend, priority=priority)


def _has_port(kind: Provider) -> bool:
    return kind.local and urlsplit(kind.base_url).port is not None


def is_embedded(backend: Backend) -> bool:
    return backend.base_url.startswith("embedded://")
