from typing import get_args

import msgspec
import pytest

from hoosh.config.access import KeyConfig
from hoosh.config.schema import Config, NetworkConfig, ProviderConfig
from hoosh.config.secret import Secret
from hoosh.core.wire import Timeouts

HIDDEN = "sk-0123456789abcdef"


def test_defaults() -> None:
    config = Config()
    assert (config.server.bind, config.server.port, config.server.drain_s) == ("127.0.0.1", 8088, 30.0)
    assert (config.server.body_limit_bytes, config.server.header_limit_bytes) == (10485760, 32768)
    assert (config.server.header_timeout_s, config.server.body_timeout_s) == (10.0, 60.0)
    assert (config.keys, config.providers, config.budgets, config.aliases) == ((), (), (), {})
    assert (config.network.ca_file, config.network.trust_env_proxy) == (None, True)
    assert (config.retry.tries, config.retry.max_attempts) == (2, 6)
    assert (config.retry.base_delay_s, config.retry.max_delay_s) == (0.25, 8.0)
    assert (config.discovery.enabled, config.discovery.timeout_ms) == (True, 300)
    assert (config.discovery.env_keys, config.discovery.refresh_s) == (True, 30.0)
    assert (config.embedded.enabled, config.embedded.model) == (True, "smollm2-135m")
    assert (config.embedded.model_path, config.embedded.context_tokens) == (None, 4096)
    assert (config.embedded.parallel, config.embedded.threads, config.embedded.preload) == (2, 0, True)
    assert (config.logging.level, config.logging.format) == ("info", "json")


def test_defaults_of_list_elements() -> None:
    assert KeyConfig(name="a", token=Secret(HIDDEN)).pool == "default"
    provider = ProviderConfig(type="openai")
    assert (provider.priority, provider.enabled, provider.models) == (10, True, ())
    assert (provider.base_url, provider.api_key, provider.local) == (None, None, None)


def test_every_struct_is_frozen_and_knows_its_keys() -> None:
    structs: list[type[msgspec.Struct]] = [Config]
    for field in msgspec.structs.fields(Config):
        kind = get_args(field.type)[0]
        inner = [kind, *get_args(kind)]
        structs += [struct for struct in inner if isinstance(struct, type) and issubclass(struct, msgspec.Struct)]
    assert len(structs) == 23
    for struct in structs:
        assert struct.__struct_config__.frozen
        assert struct.__struct_config__.forbid_unknown_fields


def test_a_provider_is_named_after_its_type() -> None:
    assert ProviderConfig(type="openai").name == "openai"
    assert ProviderConfig(type="openai", name="Work").name == "Work"


def test_a_type_may_be_written_in_any_case() -> None:
    provider = ProviderConfig(type="OpenAi")
    assert (provider.type, provider.name) == ("openai", "openai")


def test_a_base_url_ends_without_a_slash() -> None:
    assert ProviderConfig(type="x", base_url="http://h/v1/").base_url == "http://h/v1"
    assert ProviderConfig(type="x", base_url="http://h/v1").base_url == "http://h/v1"


def test_the_default_timeouts_are_those_of_the_wire() -> None:
    assert ProviderConfig(type="x").timeouts(NetworkConfig()) == Timeouts()


def test_a_provider_replaces_single_timeouts() -> None:
    network = NetworkConfig(connect_timeout_s=1, first_byte_timeout_s=2, idle_timeout_s=3, total_timeout_s=4)
    plain = ProviderConfig(type="x")
    assert plain.timeouts(network) == Timeouts(connect_s=1, first_byte_s=2, idle_s=3, total_s=4)
    slow = ProviderConfig(type="x", first_byte_timeout_s=600, total_timeout_s=7200)
    assert slow.timeouts(network) == Timeouts(connect_s=1, first_byte_s=600, idle_s=3, total_s=7200)
    other = ProviderConfig(type="x", connect_timeout_s=5, idle_timeout_s=6)
    assert other.timeouts(network) == Timeouts(connect_s=5, first_byte_s=2, idle_s=6, total_s=4)


def test_a_config_shows_no_secret() -> None:
    config = Config(
        keys=(KeyConfig(name="a", token=Secret(HIDDEN)),),
        providers=(ProviderConfig(type="openai", api_key=Secret(HIDDEN)),),
    )
    for shown in (repr(config), str(config), f"{config}", f"{config!r}"):
        assert "token=***" in shown
        assert "api_key=***" in shown
        assert HIDDEN not in shown
    for write in (msgspec.json.encode, msgspec.to_builtins):
        with pytest.raises(TypeError, match="Secret"):
            write(config)
