# ruff: noqa: INP001 - a script
"""Writes src/hoosh/providers/prices.json from genai-prices. Run by `make prices`, in an environment of its own.

What is kept, what is left out and why: docs/adr/0011-prices-are-a-file.md. Takes the day of the prices as an argument.
"""

import datetime as dt
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from genai_prices import types
from genai_prices.data import providers

Clause = Any  # genai-prices has no class over its kinds of clauses
JSON = dict[str, Any]

# hoosh's type of provider, and whose prices it asks.
KINDS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "google": "google",
    "grok": "x-ai",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex": "google",
}
# Micro-USD for a million tokens, by genai-prices' name.
RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_cached": "cache_audio_read_mtok",
    "audio_output": "output_audio_mtok",
}
# A usage does not tell pictures and films from words; a model that makes them answers mostly in them.
DEARER_OUTPUTS = ("output_image_mtok", "output_video_mtok")
# What an absent rate is counted at; the others at nothing.
FALLS_TO = {
    "cached": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "reasoning": "output",
    "audio_input": "input",
    "audio_cached": "cached",
    "audio_output": "output",
}
# genai-prices has this minimum in its code: `ModelInfo.calc_price`, 0.2.3.
LEAST_AUDIO_MS = {("groq", "whisper-large-v3"): 10_000, ("groq", "whisper-large-v3-turbo"): 10_000}


def micros(usd: Decimal) -> int:
    return int((usd * 1_000_000).to_integral_value(ROUND_CEILING))


def at(price: Decimal | types.TieredPrices | None, above: int) -> int | None:
    """Micro-USD where the input is larger than `above`."""
    if price is None:
        return None
    if isinstance(price, Decimal):
        return micros(price)
    return micros(next((tier.price for tier in reversed(price.tiers) if tier.start <= above), price.base))


def rates(prices: Sequence[types.ModelPrice], above: int) -> dict[str, int]:
    """The rates in full for one tier; of several prices each rate's dearest."""
    each = [_rates(price, above) for price in prices]
    return {name: max(one[name] for one in each) for name in RATES}


def _rates(price: types.ModelPrice, above: int) -> dict[str, int]:
    found = {name: at(getattr(price, key), above) for name, key in RATES.items()}
    outputs = [at(getattr(price, key), above) for key in DEARER_OUTPUTS]
    found["output"] = max((one for one in [found["output"], *outputs] if one is not None), default=None)
    full: dict[str, int] = {}
    for name, value in found.items():
        full[name] = value if value is not None else full.get(FALLS_TO.get(name, ""), 0)
    return full


def compact(full: Mapping[str, int]) -> dict[str, int]:
    """Without what follows from the rest."""
    return {name: rate for name, rate in full.items() if rate != full.get(FALLS_TO.get(name, ""), 0)}


def price_of(prices: Sequence[types.ModelPrice], names: tuple[str, str]) -> JSON | None:
    """What a price says in units that a usage has, its dearest hour; None where it says nothing."""
    base = prices[0]
    values = [value for value in vars(base).values() if isinstance(value, types.TieredPrices)]
    written: JSON = compact(rates(prices, 0))
    if tiers := sorted({tier.start for value in values for tier in value.tiers}):
        written["tiers"] = [{"above": start, "rates": compact(rates(prices, start))} for start in tiers]
    if hours := base.input_audio_hours or base.audio_hours:
        written["audio_hour"] = micros(hours)
        if least := LEAST_AUDIO_MS.get(names):
            written["least_audio_ms"] = least
    if requests := base.requests_kcount:
        written["requests_k"] = micros(requests)
    is_told = any(getattr(base, key) is not None for key in RATES.values())
    return written if written or is_told else None


def prices_of(provider: types.Provider, model: types.ModelInfo, day: dt.date) -> JSON | None:
    """The price on that day; later ones under `then`, by their first day."""
    names = (provider.id, model.id)
    if isinstance(model.prices, types.ModelPrice):
        return price_of([model.prices], names)
    # Later conditions go before earlier ones: a start replaces all before it, hours of the day come on top.
    now: list[types.ModelPrice] = []
    then: JSON = {}
    for condition in model.prices:
        if isinstance(condition.constraint, types.TimeOfDateConstraint):
            now.append(condition.prices)
        elif condition.constraint is None or condition.constraint.start_date <= day:
            now = [condition.prices]
        elif (later := price_of([condition.prices], names)) is not None:
            then[condition.constraint.start_date.isoformat()] = later
    written = price_of(now, names)
    return written | {"then": then} if written is not None and then else written


def is_free(provider: types.Provider, model: types.ModelInfo) -> bool:
    """Where no price means none is asked. OpenAI's: https://platform.openai.com/docs/guides/moderation (2026-11)."""
    names_itself_free = provider.id == "openrouter" and model.id.endswith(":free")
    return names_itself_free or (provider.id, model.id) == ("openai", "moderation")


def alternatives(clause: Clause) -> list[list[str]]:
    """The clause as `or` of `and`s; a condition is its kind's sign and its text."""
    match clause:
        case types.ClauseOr(or_=inner):
            return [conditions for one in inner for conditions in alternatives(one)]
        case types.ClauseAnd(and_=inner):
            joined: list[list[str]] = [[]]
            for one in inner:
                joined = [[*left, *right] for left in joined for right in alternatives(one)]
            return joined
        case types.ClauseEquals(equals=text):
            return [["=" + text.lower()]]
        case types.ClauseStartsWith(starts_with=text):
            return [["^" + text.lower()]]
        case types.ClauseEndsWith(ends_with=text):
            return [["$" + text.lower()]]
        case types.ClauseContains(contains=text):
            return [["*" + text.lower()]]
        case types.ClauseRegex(regex=text):
            return [["~" + text]]
    raise ValueError(f"unknown clause {clause!r}")


def literals(provider: types.Provider) -> Iterator[str]:
    for model in provider.models:
        for conditions in alternatives(model.match):
            if len(conditions) == 1 and conditions[0].startswith("="):
                yield conditions[0][1:]


class Writer:
    """Many models share a price. Each is named by what it says, so that a new one changes no line but its own."""

    def __init__(self, day: dt.date) -> None:
        self._day = day
        self.prices: dict[str, JSON] = {}

    def label(self, provider: types.Provider, model: types.ModelInfo) -> str:
        """Blank for a model without a price, which still hides those after it."""
        price = prices_of(provider, model, self._day)
        if price is None and not is_free(provider, model):
            return ""
        said = json.dumps(price or {}, sort_keys=True)
        label = hashlib.sha256(said.encode()).hexdigest()[:7]
        if self.prices.setdefault(label, json.loads(said)) != (price or {}):
            raise ValueError(f"two prices are labelled {label}: make labels longer")
        return label

    def provider(self, provider: types.Provider) -> JSON:
        names = {}
        for literal in literals(provider):
            model = next(model for model in provider.models if model.is_match(literal))
            names[literal] = self.label(provider, model)
        rules = []
        for model in provider.models:
            inexact = [each for each in alternatives(model.match) if each[0][0] != "=" or len(each) > 1]
            if inexact:
                rules.append([self.label(provider, model), inexact])
        written: JSON = {"names": dict(sorted(names.items())), "rules": rules}
        if provider.fallback_model_providers:
            written["else"] = provider.fallback_model_providers
        return written


def document(day: dt.date) -> JSON:
    wanted = set(KINDS.values())
    wanted |= {name for each in providers if each.id in wanted for name in each.fallback_model_providers or ()}
    writer = Writer(day)
    chosen = {
        each.id: writer.provider(each) for each in sorted(providers, key=lambda each: each.id) if each.id in wanted
    }
    version = importlib.metadata.version("genai-prices")
    return {
        "source": f"genai-prices {version}, Copyright (c) Pydantic Services Inc. 2025 to present, MIT (see NOTICE)",
        "day": day.isoformat(),
        "kinds": KINDS,
        "prices": dict(sorted(writer.prices.items())),
        "providers": chosen,
    }


def lines(value: JSON) -> str:
    """JSON with one line for each price and each model, so that a change of prices is read as one."""
    compactly = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
    head = "".join(f"{compactly(key)}:{compactly(value[key])},\n" for key in ("source", "day", "kinds"))
    prices = ",\n".join(f"{compactly(label)}:{compactly(price)}" for label, price in value["prices"].items())
    chosen = []
    for name, each in value["providers"].items():
        names = ",\n".join(f"{compactly(model)}:{compactly(label)}" for model, label in each["names"].items())
        rules = ",\n".join(compactly(rule) for rule in each["rules"])
        others = compactly(each.get("else", []))
        chosen.append(f'{compactly(name)}:{{"else":{others},\n"names":{{\n{names}}},\n"rules":[\n{rules}]}}')
    body = ",\n".join(chosen)
    return f'{{{head}"prices":{{\n{prices}}},\n"providers":{{\n{body}}}}}\n'


if __name__ == "__main__":
    sys.stdout.write(lines(document(dt.date.fromisoformat(sys.argv[1]))))
