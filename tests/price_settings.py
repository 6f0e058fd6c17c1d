"""What the settings of prices must do: (key, one file's end, another's, what is charged for each)."""

from hoosh.app.prices import price_book
from hoosh.config.schema import Config
from hoosh.core.events import Usage
from hoosh.core.plan import Target
from hoosh.ports import Clock

_OWN = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "2"}


def own(**other: str) -> str:
    return "[[prices]]\n" + "".join(f"{key} = {value}\n" for key, value in {**_OWN, **other}.items())


def charged(config: Config, clock: Clock, kind: str) -> object:
    """Micro-USD for ten tokens each way and a second of sound; where no price is known, that."""
    quote = price_book(config, clock).quote(Target("p", "m"), kind)
    usage = Usage(input=10, cached=4, cache_write=3, output=10)
    return quote.cost(usage, 1000) if quote.priced == "known" else quote.priced


PRICE_ROWS = (
    ("pricing.unknown", "", "[pricing]\nunknown = 'allow'\n", "estimated", "unknown"),
    ("prices.provider", own(), own(provider="'groq'"), 30, "estimated"),
    ("prices.model", own(), own(model="'n'"), 30, "estimated"),
    ("prices.input_usd_per_mtok", own(), own(input_usd_per_mtok="2"), 30, 40),
    ("prices.output_usd_per_mtok", own(), own(output_usd_per_mtok="3"), 30, 40),
    ("prices.cached_input_usd_per_mtok", own(), own(cached_input_usd_per_mtok="0.5"), 30, 28),
    ("prices.cache_write_usd_per_mtok", own(), own(cache_write_usd_per_mtok="3"), 30, 36),
    ("prices.audio_input_usd_per_minute", own(), own(audio_input_usd_per_minute="0.006"), 30, 130),
    ("prices.per_request_usd", own(), own(per_request_usd="0.005"), 30, 5030),
)
