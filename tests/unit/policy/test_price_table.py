"""Which price is a model's: rules in their order, by names in any case, and on the day it is asked for."""

import json
from typing import Any

import msgspec
import pytest

from hoosh.policy.price_table import PriceTable, price_table
from hoosh.policy.prices import Price, Rates, Tier

FILE: dict[str, Any] = {
    "source": "made up",
    "day": "2026-11-25",
    "kinds": {"openai": "openai", "azure": "azure", "vertex": "google"},
    "prices": {
        "a": {"input": 1},
        "b": {"input": 2, "output": 3, "cached": 1, "tiers": [{"above": 9, "rates": {"input": 4}}]},
        "c": {"audio_hour": 5, "least_audio_ms": 6, "requests_k": 7},
        "d": {"input": 8, "then": {"2026-12-01": {"input": 16}, "2027-01-01": {"input": 24}}},
        "e": {"input": 99},
    },
    "providers": {
        "openai": {
            "names": {"gpt-4o": "a", "gpt-4o-2024-08-06": "a", "tts-1": "", "gpt-5.2-2025-12-11": "b"},
            "rules": [
                ["b", [["^ft:gpt-4o-2024-"]]],
                ["c", [["*whisper"], ["^tr", "$scribe"]]],
                ["", [["^gemma-"]]],
                ["d", [["~^o[134](-mini)?$"]]],
                ["e", [["*gemma"], ["=gpt-4o"]]],
            ],
        },
        "azure": {"names": {"phi": "d"}, "rules": [], "else": ["openai"]},
        "google": {"names": {}, "rules": [["e", [["^gemini"]]]]},
    },
}


def table(day: str = "2026-11-25") -> PriceTable:
    return price_table(json.dumps(FILE).encode(), day)


def per_mtok(kind: str, model: str, day: str = "2026-11-25") -> int | None:
    price = table(day).price(kind, model)
    return None if price is None else price.rates.input


@pytest.mark.parametrize(
    ("kind", "model", "rate"),
    [
        ("openai", "gpt-4o", 1),
        ("openai", "GPT-4o", 1),
        ("openai", "gpt-4o-2024-08-06", 1),
        ("openai", "gpt-4o-20240806", 1),
        ("openai", "gpt-5.2-20251211", 2),
        ("openai", "gpt-4o-2031-01-01", None),
        ("openai", "gpt-4o-mini", None),
        ("openai", "my-gpt-4o", None),
        ("openai", "ft:gpt-4o-2024-08-06:acme::1", 2),
        ("openai", "ft:gpt-4o:acme::1", None),
        ("openai", "tts-1", None),
        ("openai", "o3-mini", 8),
        ("openai", "o3-minimal", None),
        ("openai", "gemma-3", None),  # the rule without a price hides the later one
        ("openai", "a-gemma", 99),
        ("openai", "gemini-2", None),
        ("azure", "phi", 8),
        ("azure", "gpt-4o", 1),  # of those whose models it sells
        ("azure", "gemini-2", None),
        ("vertex", "gemini-2", 99),
        ("nobody", "gpt-4o", None),
    ],
)
def test_a_model_has_the_price_that_the_rules_give_it(kind: str, model: str, rate: int | None) -> None:
    assert per_mtok(kind, model) == rate


def test_all_conditions_of_one_alternative_must_hold() -> None:
    found = [table().price("openai", name) for name in ("big-whisper-1", "transcribe", "trans", "scribe")]
    assert [price is not None for price in found] == [True, True, False, False]


def test_a_price_is_read_whole() -> None:
    assert table().price("openai", "ft:gpt-4o-2024-1") == Price(
        rates=Rates(input=2, output=3, cached=1), tiers=(Tier(9, Rates(input=4)),)
    )
    assert table().price("openai", "whisper") == Price(
        audio_micros_per_hour=5, least_audio_ms=6, micros_per_thousand_requests=7
    )


@pytest.mark.parametrize(
    ("day", "rate"), [("2026-11-30", 8), ("2026-12-01", 16), ("2026-12-31", 16), ("2027-01-01", 24), ("2030-01-01", 24)]
)
def test_an_announced_price_begins_on_its_day(day: str, rate: int) -> None:
    assert per_mtok("openai", "o3", day) == rate


def test_all_prices_of_a_provider_or_of_everyone() -> None:
    def rates(kind: str) -> list[int]:
        return sorted({price.rates.input for price in table().prices(kind)})

    assert rates("vertex") == [99]
    assert rates("azure") == rates("nobody") == [0, 1, 2, 8, 99]


@pytest.mark.parametrize("broken", [b"", b"{}", json.dumps({**FILE, "prices": {"a": {"inptu": 1}}}).encode()])
def test_a_file_of_another_shape_is_refused(broken: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        price_table(broken, "2026-11-25")
