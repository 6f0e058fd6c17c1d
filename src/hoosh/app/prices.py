"""The book of prices, wired: the configuration's own over the published ones, which are read when first needed."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from hoosh import providers
from hoosh.config.schema import Config
from hoosh.config.spending import PriceConfig
from hoosh.core.money import micros_of_usd
from hoosh.policy.price_book import PriceBook, PriceRule, Published
from hoosh.policy.prices import Price, Rates
from hoosh.ports import Clock


def price_book(config: Config, clock: Clock) -> PriceBook:
    """Reads nothing yet: a gateway that only serves local models never does."""
    return PriceBook(published(clock), [_rule(entry) for entry in config.prices], config.pricing.unknown)


def published(clock: Clock) -> Callable[[], Published]:
    """The prices of the day on which they are read."""

    def read() -> Published:
        from hoosh.policy.price_table import price_table  # noqa: PLC0415  # local calls need neither it nor the file

        raw = Path(providers.__path__[0], "prices.json").read_bytes()
        day = dt.datetime.fromtimestamp(clock.unix_s(), tz=dt.UTC).date().isoformat()
        return price_table(raw, day)

    return read


def _rule(entry: PriceConfig) -> PriceRule:
    given = {
        "input": entry.input_usd_per_mtok,
        "output": entry.output_usd_per_mtok,
        "cached": entry.cached_input_usd_per_mtok,
        "cache_write": entry.cache_write_usd_per_mtok,
    }
    price = Price(
        rates=Rates(**{name: micros_of_usd(usd) for name, usd in given.items() if usd is not None}),
        audio_micros_per_hour=60 * micros_of_usd(entry.audio_input_usd_per_minute or 0),
        micros_per_thousand_requests=1000 * micros_of_usd(entry.per_request_usd or 0),
    )
    return PriceRule(entry.provider, entry.model, price)
