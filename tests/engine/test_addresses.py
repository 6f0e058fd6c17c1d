"""Providers that have no address of their own must be given one."""

import asyncio

import pytest

from hoosh.app import Gateway
from hoosh.config.schema import Config, DiscoveryConfig, EmbeddedConfig, ProviderConfig
from hoosh.core.errors import ConfigError
from hoosh.providers.registry import PROVIDERS
from hoosh.telemetry.log import QuietJournal

HOMELESS = [kind.name for kind in PROVIDERS if not kind.base_url]


def backends(config: Config, environ: dict[str, str]) -> dict[str, str]:
    async def main() -> dict[str, str]:
        gateway = Gateway(config, environ, QuietJournal())
        try:
            await gateway.open()
            return {name: backend.base_url for name, backend in gateway.catalog.backends.items()}
        finally:
            await gateway.close()

    return asyncio.run(main())


def config(*providers: ProviderConfig) -> Config:
    return Config(providers=providers, discovery=DiscoveryConfig(enabled=False), embedded=EmbeddedConfig(enabled=False))


@pytest.mark.parametrize("kind", HOMELESS)
def test_it_is_said_which_one_lacks_an_address(kind: str) -> None:
    with pytest.raises(ConfigError, match=f'providers: "mine" needs a base_url, .* type {kind}; see https://'):
        backends(config(ProviderConfig(type=kind, name="mine")), {})
    given = ProviderConfig(type=kind, name="mine", base_url="https://mine.example.com/openai/v1/")
    assert backends(config(given), {}) == {"mine": "https://mine.example.com/openai/v1"}


def test_a_key_in_the_environment_alone_does_not_turn_it_on() -> None:
    assert HOMELESS == ["azure", "bedrock"]
    keys = {"AZURE_OPENAI_API_KEY": "k", "AWS_BEARER_TOKEN_BEDROCK": "k", "TOGETHER_API_KEY": "k"}
    assert backends(config(), keys) == {"together": "https://api.together.xyz/v1"}
