"""What a call costs, in whole micro-USD, and the most that it may cost.

Money is integers throughout. A sum is rounded once, up, so that a cost is never nothing that should be something.
"""

from collections.abc import Iterable

import msgspec

from hoosh.core.events import Usage

# A price is stated for so many; a sum is taken in parts that divide all of them, and rounded at its end.
TOKENS = 1_000_000
HOUR_MS = 3_600_000
REQUESTS = 1_000
_PARTS = 18_000_000
_PER_TOKEN = _PARTS // TOKENS
_PER_MS = _PARTS // HOUR_MS
_PER_REQUEST = _PARTS // REQUESTS

_AS_ITS_WHOLE = -1


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Micro-USD for a million tokens. A rate that is not given is that of the whole which its tokens are part of."""

    input: int = 0
    output: int = 0
    cached: int = _AS_ITS_WHOLE
    cache_write: int = _AS_ITS_WHOLE
    cache_write_1h: int = _AS_ITS_WHOLE
    reasoning: int = _AS_ITS_WHOLE
    audio_input: int = _AS_ITS_WHOLE
    audio_cached: int = _AS_ITS_WHOLE
    audio_output: int = _AS_ITS_WHOLE

    def __post_init__(self) -> None:
        for part, whole in _WHOLES:
            if getattr(self, part) == _AS_ITS_WHOLE:
                msgspec.structs.force_setattr(self, part, getattr(self, whole))

    @property
    def dearest_input(self) -> int:
        return max(self.input, self.cached, self.cache_write, self.cache_write_1h, self.audio_input, self.audio_cached)

    @property
    def dearest_output(self) -> int:
        return max(self.output, self.reasoning, self.audio_output)


_WHOLES = (
    ("cached", "input"),
    ("cache_write", "input"),
    ("cache_write_1h", "cache_write"),
    ("reasoning", "output"),
    ("audio_input", "input"),
    ("audio_cached", "cached"),
    ("audio_output", "output"),
)


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rates of a whole request whose input is larger than `above` tokens."""

    above: int
    rates: Rates


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tiers` rise. Audio is priced by its length beside its tokens: a model has one of the two, or both."""

    rates: Rates = Rates()
    tiers: tuple[Tier, ...] = ()
    audio_micros_per_hour: int = 0
    least_audio_ms: int = 0
    micros_per_thousand_requests: int = 0


FREE = Price()


def cost_micros(price: Price, usage: Usage, audio_ms: int = 0) -> int:
    """What one attempt cost. `audio_ms` is the length of what was heard.

    Parts that exceed their whole, as a broken count may say, are cut down to it.
    """
    rates = _rates_for(price, usage.input)
    parts = _input_parts(rates, usage) + _output_parts(rates, usage)
    return _whole(parts + _beside_tokens(price, audio_ms))


def bound_micros(price: Price, input_tokens: int, output_tokens: int, audio_ms: int = 0) -> int:
    """The most that any usage within these bounds costs, whatever of it is cached, written, thought or heard."""
    reached = [price.rates, *(tier.rates for tier in price.tiers if input_tokens > tier.above)]
    parts = max(input_tokens * rates.dearest_input + output_tokens * rates.dearest_output for rates in reached)
    return _whole(parts * _PER_TOKEN + _beside_tokens(price, audio_ms))


def dearest(prices: Iterable[Price]) -> Price | None:
    """The one that takes most for a million tokens in and out and an hour of audio."""
    return max(prices, key=lambda price: bound_micros(price, TOKENS, TOKENS, HOUR_MS), default=None)


def _rates_for(price: Price, input_tokens: int) -> Rates:
    rates = price.rates
    for tier in price.tiers:
        if input_tokens > tier.above:
            rates = tier.rates
    return rates


def _input_parts(rates: Rates, usage: Usage) -> int:
    """Which of the audio was cached is not told: only what cannot have been fresh counts as cached."""
    cached = min(usage.cached, usage.input)
    written = min(usage.cache_write, usage.input - cached)
    fresh = usage.input - cached - written
    written_1h = min(usage.cache_write_1h, written)
    heard = min(usage.audio_input, fresh)
    heard_cached = min(usage.audio_input - heard, cached)
    tokens = (
        (fresh - heard) * rates.input
        + heard * rates.audio_input
        + (cached - heard_cached) * rates.cached
        + heard_cached * rates.audio_cached
        + (written - written_1h) * rates.cache_write
        + written_1h * rates.cache_write_1h
    )
    return tokens * _PER_TOKEN


def _output_parts(rates: Rates, usage: Usage) -> int:
    reasoning = min(usage.reasoning, usage.output)
    spoken = min(usage.audio_output, usage.output - reasoning)
    words = usage.output - reasoning - spoken
    return (words * rates.output + reasoning * rates.reasoning + spoken * rates.audio_output) * _PER_TOKEN


def _beside_tokens(price: Price, audio_ms: int) -> int:
    heard_ms = max(audio_ms, price.least_audio_ms) if audio_ms else 0
    return heard_ms * price.audio_micros_per_hour * _PER_MS + price.micros_per_thousand_requests * _PER_REQUEST


def _whole(parts: int) -> int:
    return -(-parts // _PARTS)
