"""A call's price: the user's own, the published one, free for being local, or what the policy makes of the unknown."""

import json
from typing import Literal

import pytest

from hoosh.core.errors import Unpriced
from hoosh.core.events import Usage
from hoosh.core.plan import Target
from hoosh.core.quote import Quote
from hoosh.policy.price_book import MEMO_ENTRIES, PriceBook, PriceQuote, PriceRule, UnknownPrice, quoted
from hoosh.policy.price_table import PriceTable, price_table
from hoosh.policy.prices import FREE, Price, Rates
from hoosh.ports import Prices

MILLION = 1_000_000
FILE = {
    "source": "made up",
    "day": "2026-11-25",
    "kinds": {"openai": "openai", "groq": "groq"},
    "prices": {"a": {"input": MILLION, "output": 2 * MILLION}, "b": {"input": 9 * MILLION, "output": 9 * MILLION}},
    "providers": {
        "openai": {"names": {"small": "a"}, "rules": []},
        "groq": {"names": {"large": "b"}, "rules": []},
    },
}
OWN = Price(rates=Rates(input=5 * MILLION, output=5 * MILLION))
ONE_EACH = Usage(input=1, output=1)


class Shelf:
    """Counts how often the published prices were read."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self) -> PriceTable:
        self.reads += 1
        return price_table(json.dumps(FILE).encode(), "2026-11-25")


def book(*rules: PriceRule, unknown: UnknownPrice = "estimate") -> PriceBook:
    return PriceBook(Shelf(), rules, unknown)


def test_a_published_price_is_known() -> None:
    quote = book().quote(Target("work", "small"), "openai")
    assert (quote.priced, quote.cost(ONE_EACH), quote.bound(10, 10, 0)) == ("known", 3, 30)


def test_local_is_free_by_its_route_and_not_by_its_name() -> None:
    prices = book()
    assert prices.quote(Target("gpu", "small", local=True), "openai").priced == "free"
    assert prices.quote(Target("gpu", "small", local=True), "openai").cost(ONE_EACH) == 0
    assert prices.quote(Target("ollama", "small"), "openai").cost(ONE_EACH) == 3
    assert prices.quote(Target("lan", "llama-local:7b"), "ollama").priced == "estimated"


def test_local_calls_never_read_the_published_prices() -> None:
    shelf = Shelf()
    prices = PriceBook(shelf)
    prices.quote(Target("ollama", "anything", local=True), "ollama")
    assert shelf.reads == 0
    prices.quote(Target("openai", "small"), "openai")
    prices.quote(Target("groq", "large"), "groq")
    assert shelf.reads == 1


@pytest.mark.parametrize(
    ("provider", "model", "kind", "applies"),
    [
        ("work", "small", "openai", True),
        ("WORK", "Small", "openai", True),
        ("openai", "s*", "openai", True),
        ("open*", "*", "openai", True),
        ("*", "small", "openai", True),
        ("home", "small", "openai", False),
        ("groq", "*", "openai", False),
        ("work", "large", "openai", False),
    ],
)
def test_a_rule_is_held_against_name_type_and_model(provider: str, model: str, kind: str, applies: bool) -> None:
    quote = book(PriceRule(provider, model, OWN)).quote(Target("work", "small"), kind)
    assert quote.cost(ONE_EACH) == (10 if applies else 3)
    assert quote.priced == "known"


def test_the_first_rule_that_fits_counts() -> None:
    first = Price(rates=Rates(input=MILLION))
    prices = book(PriceRule("*", "sm*", first), PriceRule("openai", "small", OWN))
    assert prices.quote(Target("openai", "small"), "openai") == PriceQuote(first, "known")


def test_a_local_model_may_have_a_price_of_its_own() -> None:
    quote = book(PriceRule("gpu", "*", OWN)).quote(Target("gpu", "llama", local=True), "vllm")
    assert (quote.priced, quote.cost(ONE_EACH)) == ("known", 10)


def test_the_unknown_is_estimated_at_the_providers_dearest_and_says_so() -> None:
    quote = book().quote(Target("openai", "new"), "openai")
    assert (quote.priced, quote.cost(ONE_EACH), quote.bound(1, 1, 0)) == ("estimated", 3, 3)


def test_of_a_provider_without_prices_everybodys_dearest_is_taken() -> None:
    quote = book().quote(Target("nvidia", "small"), "nvidia")
    assert (quote.priced, quote.cost(ONE_EACH)) == ("estimated", 18)


def test_the_unknown_may_be_refused_by_name_with_a_way_out() -> None:
    prices = book(unknown="deny")
    with pytest.raises(Unpriced, match=r'"new" at "work".*\[\[prices\]\].*unknown = "estimate"') as caught:
        prices.quote(Target("work", "new"), "openai")
    assert (caught.value.status, caught.value.code, caught.value.param) == (403, "price_unknown", "model")
    assert prices.quote(Target("work", "small"), "openai").priced == "known"
    assert prices.quote(Target("gpu", "new", local=True), "openai").priced == "free"


def test_the_unknown_may_pass_and_its_cost_is_not_zero_but_unknown() -> None:
    quote = book(unknown="allow").quote(Target("work", "new"), "openai")
    assert (quote.priced, quote.cost(ONE_EACH), quote.bound(9, 9, 9)) == ("unknown", None, 0)


@pytest.mark.parametrize(
    ("price", "local", "unknown", "guess", "priced"),
    [
        (OWN, False, "deny", None, "known"),
        (OWN, True, "deny", None, "known"),
        (FREE, False, "deny", None, "known"),
        (None, True, "deny", OWN, "free"),
        (None, True, "estimate", OWN, "free"),
        (None, False, "deny", OWN, None),
        (None, False, "estimate", OWN, "estimated"),
        (None, False, "estimate", None, "unknown"),
        (None, False, "allow", OWN, "unknown"),
    ],
)
def test_the_whole_policy(
    price: Price | None,
    local: bool,
    unknown: Literal["deny", "estimate", "allow"],
    guess: Price | None,
    priced: str | None,
) -> None:
    quote = quoted(price, local=local, unknown=unknown, guess=lambda: guess)
    assert (quote.priced if quote else None) == priced


def test_a_model_is_looked_up_once_and_what_is_remembered_is_bounded() -> None:
    prices = book()
    first = prices.quote(Target("openai", "small"), "openai")
    assert prices.quote(Target("openai", "small"), "openai") is first
    for n in range(2 * MEMO_ENTRIES):
        prices.quote(Target("openai", f"made-up-{n}", local=True), "openai")
    assert len(prices._memo) <= MEMO_ENTRIES
    assert prices.quote(Target("openai", "small"), "openai") == first


def test_it_is_what_the_engine_asks_for() -> None:
    prices: Prices = book()
    quote: Quote = prices.quote(Target("openai", "small"), "openai")
    assert quote.cost(ONE_EACH, 0) == 3
