"""The published prices as they are shipped, held against sums that genai-prices itself made of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hoosh import providers
from hoosh.app.prices import price_book
from hoosh.config.schema import Config
from hoosh.config.spending import PriceConfig, PricingConfig
from hoosh.core.events import Usage
from hoosh.core.plan import Target
from hoosh.policy.price_table import price_table
from hoosh.policy.prices import bound_micros, cost_micros
from hoosh.providers.registry import find

FILE = Path(providers.__path__[0], "prices.json")


class Clock:
    """On the evening of a day."""

    def __init__(self, unix_s: int = 1_795_636_800) -> None:  # 2026-11-25 20:00 UTC
        self._unix_s = unix_s

    def unix_s(self) -> int:
        return self._unix_s

    def monotonic_ns(self) -> int:
        return 0


TABLE = price_table(FILE.read_bytes(), "2026-11-25")

# `calc_price` of genai-prices 0.2.3 on 2026-11-25 at 20:00 UTC, rounded up to whole micro-USD; DeepSeek's at
# noon, its dearest hour. `make prices` with a newer version may change some: then these are made anew with that version.
SUMS = [
    ("openai", "gpt-4o-2024-08-06", Usage(input=12_345, cached=2_048, output=678), 0, 35_083),
    ("openai", "gpt-4.1-mini", Usage(input=1_000_000, output=1_000_000), 0, 2_000_000),
    ("openai", "o3", Usage(input=1, output=1), 0, 10),
    ("openai", "text-embedding-3-small", Usage(input=49), 0, 1),
    ("openai", "ft:gpt-4o-2024-08-06:acme::abc", Usage(input=1_000, output=1_000), 0, 18_750),
    ("openai", "gpt-audio", Usage(input=700, audio_input=600, output=300, audio_output=250), 0, 35_950),
    ("openai", "whisper-1", Usage(), 61_500, 6_150),
    ("openai", "omni-moderation-latest", Usage(input=5_000), 0, 0),
    (
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(input=200_000, cached=150_000, cache_write=20_000, output=1_000),
        0,
        225_000,
    ),
    (
        "anthropic",
        "claude-sonnet-4-5-20250929",
        Usage(input=200_001, cached=150_000, cache_write=20_000, output=1_000),
        0,
        442_506,
    ),
    (
        "anthropic",
        "claude-opus-4-1",
        Usage(input=30_000, cache_write=20_000, cache_write_1h=5_000, output=2_000),
        0,
        731_250,
    ),
    ("google", "gemini-2.5-pro", Usage(input=200_000, cached=1_000, output=5_000, reasoning=4_000), 0, 298_875),
    ("google", "gemini-2.5-pro", Usage(input=200_001, cached=1_000, output=5_000, reasoning=4_000), 0, 572_753),
    ("google", "gemini-2.5-flash", Usage(input=2_000, audio_input=1_917, output=100), 0, 2_192),
    ("vertex", "claude-sonnet-4-5", Usage(input=1_000, output=100), 0, 4_500),
    ("azure", "gpt-4o", Usage(input=1_000, output=100), 0, 3_500),
    ("grok", "grok-4", Usage(input=128_001, cached=1_000, output=500), 0, 389_253),
    ("groq", "llama-3.3-70b-versatile", Usage(input=1_000, output=1_000), 0, 1_380),
    ("groq", "whisper-large-v3", Usage(), 1, 309),
    ("mistral", "mistral-large-latest", Usage(input=999, output=333), 0, 3_996),
    ("deepseek", "deepseek-reasoner", Usage(input=1_000, cached=900, output=100), 0, 400),
    ("perplexity", "sonar-pro", Usage(input=10, output=10), 0, 14_180),
    ("cohere", "command-r-plus-08-2024", Usage(input=10, output=10), 0, 125),
    ("bedrock", "amazon.nova-lite-v1:0", Usage(input=1_000, cached=100, output=10), 0, 58),
    ("openrouter", "openai/gpt-4o-mini", Usage(input=7, output=3), 0, 3),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", Usage(input=1_000, output=10), 0, 889),
    ("cerebras", "gpt-oss-120b", Usage(input=1_000, output=10), 0, 358),
]


@pytest.mark.parametrize(("kind", "model", "usage", "audio_ms", "micros"), SUMS)
def test_a_cost_is_what_genai_prices_makes_it(kind: str, model: str, usage: Usage, audio_ms: int, micros: int) -> None:
    price = TABLE.price(kind, model)
    assert price is not None
    assert cost_micros(price, usage, audio_ms) == micros
    assert micros <= bound_micros(price, usage.input, usage.output, audio_ms)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("openai", "gpt-99"),
        ("openai", "ft:gpt-4o:acme::abc"),
        ("openai", "tts-1"),  # by characters, which no usage tells
        ("openai", "claude-sonnet-4-5"),
        ("google", "gemma-3-27b-it"),
        ("nvidia", "gpt-4o"),
        ("ollama", "gpt-4o"),
    ],
)
def test_what_is_not_published_is_not_guessed(kind: str, model: str) -> None:
    assert TABLE.price(kind, model) is None


def test_an_introductory_price_ends_on_its_day() -> None:
    november, december = Clock(1_796_083_199), Clock(1_796_083_200)  # the last second of 2026-11-30, and the next

    def cost(clock: Clock) -> int | None:
        target = Target("google", "gemini-4-argon")
        return price_book(Config(), clock).quote(target, "google").cost(Usage(input=1000, output=100))

    assert (cost(november), cost(december)) == (3000, 6000)


def test_the_dearest_hour_of_the_day_counts() -> None:
    price = TABLE.price("deepseek", "deepseek-v4-pro")  # 1.32 and 3.96 from 1 to 4 and from 6 to 10 UTC, else less
    assert price is not None
    assert cost_micros(price, Usage(input=1_000_000, output=1_000_000)) == 5_280_000


def test_pictures_that_are_made_are_not_charged_as_words() -> None:
    price = TABLE.price("google", "gemini-2.5-flash-image")
    assert price is not None
    assert cost_micros(price, Usage(output=1290)) == 38_700  # 0.0387 dollars, as Google's page says for one picture


def test_every_type_in_the_file_is_one_of_ours_and_remote() -> None:
    for kind in json.loads(FILE.read_bytes())["kinds"]:
        provider = find(kind)
        assert provider is not None
        assert provider.name == kind
        assert not provider.local


def test_the_file_is_small_and_says_where_it_is_from() -> None:
    assert FILE.stat().st_size < 200_000
    assert json.loads(FILE.read_bytes())["source"].startswith("genai-prices ")
    notice = (Path(__file__).parents[3] / "NOTICE").read_text("utf-8")
    assert "genai-prices" in notice
    assert "Permission is hereby granted, free of charge" in notice


def test_a_price_of_the_users_own_is_exact_and_goes_first() -> None:
    entry = PriceConfig(
        provider="openai",
        model="gpt-4o*",
        input_usd_per_mtok=0.1,
        output_usd_per_mtok=0.7,
        cached_input_usd_per_mtok=0.03,
        cache_write_usd_per_mtok=0.2,
        audio_input_usd_per_minute=0.006,
        per_request_usd=0.005,
    )
    quote = price_book(Config(prices=(entry,)), Clock()).quote(Target("openai", "gpt-4o"), "openai")
    usage = Usage(input=3_000_000, cached=1_000_000, cache_write=1_000_000, output=1_000_000)
    assert quote.cost(usage, 120_000) == 100_000 + 30_000 + 200_000 + 700_000 + 12_000 + 5_000


def test_the_policy_is_that_of_the_configuration() -> None:
    allowing = price_book(Config(pricing=PricingConfig(unknown="allow")), Clock())
    assert allowing.quote(Target("openai", "gpt-99"), "openai").cost(Usage(input=1)) is None
    estimating = price_book(Config(), Clock()).quote(Target("openai", "gpt-99"), "openai")
    assert estimating.priced == "estimated"
    assert (estimating.cost(Usage(input=1000, output=1000)) or 0) > 0


def test_nothing_is_read_before_it_is_needed() -> None:
    code = (
        "import sys, hoosh.config.schema, hoosh.app.prices as prices\n"
        "def opened(event, args):\n"
        "    if event == 'open' and 'prices.json' in str(args[0]): print('read')\n"
        "sys.addaudithook(opened)\n"
        "from hoosh.core.plan import Target\n"
        "class Clock:\n"
        "    def unix_s(self): return 0\n"
        "book = prices.price_book(hoosh.config.schema.Config(), Clock())\n"
        "book.quote(Target('ollama', 'm', True), 'ollama')\n"
        "print('local')\n"
        "book.quote(Target('openai', 'gpt-4o'), 'openai')\n"
        "book.quote(Target('openai', 'gpt-4o-mini'), 'openai')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["local", "read"]
