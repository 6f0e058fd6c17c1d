import datetime as dt

import msgspec
import pytest

from hoosh.config.access import KeyConfig, KeysStoreConfig
from hoosh.config.checks import check, check_bind
from hoosh.config.problem import Place
from hoosh.config.schema import Config, ProviderConfig, ServerConfig
from hoosh.config.secret import Secret
from hoosh.config.spending import BudgetConfig, LimitConfig, OverrideConfig, PriceConfig
from hoosh.core.errors import ConfigError

TYPES = {"openai", "ollama"}
LONG = "0123456789abcdef"


def faults(config: Config, *broken: Place) -> list[str]:
    return [problem.text for problem in check(config, TYPES, broken)]


def key(name: str, token: str = "", pool: str = "default") -> KeyConfig:
    return KeyConfig(name=name, token=Secret(token or f"{LONG}-{name}"), pool=pool)


def providers(*given: ProviderConfig) -> Config:
    return Config(providers=given)


def budget(name: str) -> BudgetConfig:
    return BudgetConfig(name=name, capacity=1)


def test_a_good_config_has_no_faults() -> None:
    config = Config(
        keys=(key("a"), key("b", pool="team")),
        providers=(ProviderConfig(type="openai"), ProviderConfig(type="openai", name="work", base_url="https://h/v1")),
        budgets=(budget("team"),),
        aliases={"a": "b", "b": "openai/c", "d": "b"},
    )
    assert faults(config) == []
    assert faults(Config()) == []


def test_names_differ() -> None:
    taken = "is already the name of {}[0]; give this one another"
    assert faults(Config(keys=(key("a", LONG + "1"), key("a", LONG + "2")))) == [
        f'keys[1].name: "a" {taken.format("keys")}'
    ]
    assert faults(Config(budgets=(budget("a"), budget("b"), budget("a")))) == [
        f'budgets[2].name: "a" {taken.format("budgets")}'
    ]
    openai = ProviderConfig(type="openai")
    assert faults(providers(openai, ProviderConfig(type="ollama", name="openai"), openai)) == [
        f'providers[1].name: "openai" {taken.format("providers")}',
        f'providers[2].name: "openai" {taken.format("providers")}',
    ]


def test_a_broken_name_is_compared_with_none() -> None:
    openai = ProviderConfig(type="openai")
    assert faults(providers(openai, openai), ("providers", 1, "name")) == []
    assert faults(providers(openai, openai), ("providers", 0, "name")) == []
    assert faults(providers(ProviderConfig(type=""), ProviderConfig(type=""))) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("opnai", 'unknown provider "opnai", did you mean "openai"?'),
        ("zzz", 'unknown provider "zzz"; known: ollama, openai'),
    ],
)
def test_a_type_is_known(given: str, text: str) -> None:
    assert faults(providers(ProviderConfig(type=given))) == [f"providers[0].type: {text}"]


def test_tokens_are_long_and_differ_and_are_not_said() -> None:
    config = Config(keys=(key("a", LONG[:15]), key("b", LONG), key("c", LONG)))
    assert faults(config) == [
        "keys[0].token: shorter than 16 characters; openssl rand -hex 24 makes a good one",
        "keys[2].token: the same token as that of keys[1]",
    ]


def test_a_broken_token_is_not_judged() -> None:
    config = Config(keys=(KeyConfig(name="a", token=Secret()), KeyConfig(name="b", token=Secret("short"))))
    assert faults(config, ("keys", 1, "token")) == []


def test_a_pool_is_a_budget() -> None:
    config = Config(keys=(key("a", pool="tema"), key("b", pool="team")), budgets=(budget("team"),))
    assert faults(config) == ['keys[0].pool: unknown budget "tema", did you mean "team"?']
    assert faults(config, ("budgets", 1, "name")) == []


@pytest.mark.parametrize(
    "entry",
    [
        PriceConfig(input_usd_per_mtok=0.1, output_usd_per_mtok=0.0),
        PriceConfig(provider="work", audio_input_usd_per_minute=0.006),
        PriceConfig(provider="OpenAI", per_request_usd=0.000001),
        PriceConfig(provider="w?rk*", model="[gm]*", input_usd_per_mtok=2.0, output_usd_per_mtok=8.0),
        PriceConfig(
            input_usd_per_mtok=2.0, output_usd_per_mtok=8.0, cached_input_usd_per_mtok=0.2, cache_write_usd_per_mtok=2.5
        ),
    ],
)
def test_prices_that_are_taken(entry: PriceConfig) -> None:
    assert faults(Config(prices=(entry,), providers=(ProviderConfig(type="openai", name="Work"),))) == []


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (PriceConfig(), "prices[0]: no price; input_usd_per_mtok, for one, is missing"),
        (
            PriceConfig(input_usd_per_mtok=1.0),
            "prices[0]: input_usd_per_mtok and output_usd_per_mtok go together; write 0 for what costs nothing",
        ),
        (
            PriceConfig(output_usd_per_mtok=1.0, per_request_usd=1.0),
            "prices[0]: input_usd_per_mtok and output_usd_per_mtok go together; write 0 for what costs nothing",
        ),
        (
            PriceConfig(cached_input_usd_per_mtok=1.0, per_request_usd=1.0),
            "prices[0]: a cache's price needs input_usd_per_mtok",
        ),
        (
            PriceConfig(cache_write_usd_per_mtok=1.0, per_request_usd=1.0),
            "prices[0]: a cache's price needs input_usd_per_mtok",
        ),
        (PriceConfig(per_request_usd=0.0000001), "prices[0].per_request_usd: finer than a millionth of a dollar"),
        (PriceConfig(per_request_usd=-1.0), "prices[0].per_request_usd: a price is not below 0"),
        (PriceConfig(per_request_usd=float("nan")), "prices[0].per_request_usd: not an amount of money"),
        (
            PriceConfig(provider="openia", per_request_usd=1.0),
            'prices[0].provider: unknown provider "openia", did you mean "openai"?',
        ),
    ],
)
def test_prices_that_are_refused(entry: PriceConfig, text: str) -> None:
    assert faults(Config(prices=(entry,))) == [text]


def test_a_price_that_is_broken_already_is_not_judged_as_a_whole() -> None:
    entry = PriceConfig(output_usd_per_mtok=1.0)
    assert faults(Config(prices=(entry,)), ("prices", 0, "input_usd_per_mtok")) == []


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:8443/v1", "http://127.0.0.1:11434", "http://[::1]:1/x", "HTTP://H"]
)
def test_urls_that_are_taken(url: str) -> None:
    assert faults(providers(ProviderConfig(type="openai", base_url=url))) == []


SCHEME = 'expected a URL that begins with "http://" or "https://"'
HOST = "not a URL: its host or port is wrong"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("localhost:8080", SCHEME),
        ("h/v1", SCHEME),
        ("ftp://h", SCHEME),
        ("file:///etc/passwd", SCHEME),
        ("/", SCHEME),
        ("http://user:hidden@h", "a URL holds no user and no password; put the key in api_key"),
        ("http://user@h", "a URL holds no user and no password; put the key in api_key"),
        ("http://h/v1?key=hidden", "a base URL has no query and no fragment"),
        ("http://h/v1?", "a base URL has no query and no fragment"),
        ("http://h/v1#x", "a base URL has no query and no fragment"),
        ("http://", HOST),
        ("http:///v1", HOST),
        ("http://h:0", HOST),
        ("http://h:99999", HOST),
        ("http://h:x", HOST),
        ("http://[::1", HOST),
        ("http://h /v1", HOST),
    ],
)
def test_urls_that_are_refused_and_not_repeated(url: str, text: str) -> None:
    assert faults(providers(ProviderConfig(type="openai", base_url=url))) == [f"providers[0].base_url: {text}"]


def test_a_limit_limits_something_and_once() -> None:
    rows = (
        LimitConfig(model="gpt-*", rpm=1),
        LimitConfig(model="gpt-*", provider="work", concurrency=1),
        LimitConfig(model="o*"),
        LimitConfig(model="gpt-*", tpm=1),
    )
    assert faults(Config(limits=rows)) == [
        "limits[2].model: limits nothing: give it rpm, tpm or concurrency",
        'limits[3].model: "gpt-*" is limited by limits[0] already',
    ]


@pytest.mark.parametrize(
    ("aliases", "texts"),
    [
        ({"a": "a"}, ["aliases.a: points to itself"]),
        ({"a": "b", "b": "a"}, ["aliases.a: goes round in a circle: a -> b -> a"]),
        ({"x": "a", "a": "b", "b": "c", "c": "a"}, ["aliases.a: goes round in a circle: a -> b -> c -> a"]),
        (
            {"a": "b", "b": "b", "c": "a", "d e": "d e"},
            ["aliases.b: points to itself", 'aliases."d e": points to itself'],
        ),
        ({"a": "z", "b": "z", "z": "m", "c": "openai/c"}, []),
    ],
)
def test_aliases_end(aliases: dict[str, str], texts: list[str]) -> None:
    assert faults(Config(aliases=aliases)) == texts


@pytest.mark.parametrize(
    "bind", ["127.0.0.1", "::1", "0.0.0.0", "::", "localhost", "gateway.example.org", "fe80::1%eth0"]
)
def test_binds_that_are_taken(bind: str) -> None:
    assert faults(Config(server=ServerConfig(bind=bind))) == []


@pytest.mark.parametrize("bind", ["", "0.0.0.0:80", "[::1]", "http://h", "a..b", "a b"])
def test_binds_that_are_refused(bind: str) -> None:
    text = "server.bind: expected an address or a host name; the port is server.port"
    assert faults(Config(server=ServerConfig(bind=bind))) == [text]


def test_what_is_broken_already_is_told_once() -> None:
    config = providers(ProviderConfig(type="zzz"))
    assert faults(config, ("providers", 0, "type")) == []


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_on_loopback_no_key_is_needed(bind: str) -> None:
    check_bind(Config(server=ServerConfig(bind=bind)))


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5", "gateway.local", "localhost.example.org", "127.1"])
def test_off_loopback_a_key_is_needed(bind: str) -> None:
    config = Config(server=ServerConfig(bind=bind))
    with pytest.raises(ConfigError) as caught:
        check_bind(config)
    assert caught.value.message == (
        f"server.bind: {bind} can be reached from other machines and there are no keys. "
        "Add [[keys]] with a name and a token; or make one with `hoosh keys create` and set keys_store.required; "
        'or bind to "127.0.0.1".'
    )
    check_bind(msgspec.structs.replace(config, keys_store=KeysStoreConfig(required=True)))
    check_bind(msgspec.structs.replace(config, keys=(key("a"),)))


LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (BudgetConfig(name="a", parent="b"), 'budgets[0].parent: unknown budget "b"; known: a, default'),
        (BudgetConfig(name="a", parent="a"), "budgets[0].parent: is below itself"),
        (BudgetConfig(name="a", time_zone="Mars"), 'budgets[0].time_zone: no time zone "Mars" on this machine'),
        (BudgetConfig(name="a", capacity_usd=1e-7), "budgets[0].capacity_usd: finer than a millionth of a dollar"),
        (
            BudgetConfig(name="a", overrides=(OverrideConfig(until=LONG_AGO, capacity_usd=1e-7),)),
            "budgets[0].overrides[0].capacity_usd: finer than a millionth of a dollar",
        ),
    ],
)
def test_budgets_that_are_refused(budget: BudgetConfig, text: str) -> None:
    assert faults(Config(budgets=(budget,))) == [text]


def test_a_budget_deep_in_a_circle_is_refused() -> None:
    a, b, c = (BudgetConfig(name=name, parent=parent) for name, parent in (("a", "b"), ("b", "c"), ("c", "b")))
    told = ["budgets[1].parent: is below itself", "budgets[2].parent: is below itself"]
    assert faults(Config(budgets=(a, b, c))) == told
