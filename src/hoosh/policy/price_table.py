"""The published prices as `make prices` writes them, and which of them is a model's.

The rules are genai-prices' own, in its order: what they do not name has no price, however alike the names are.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from hoosh.policy.prices import Price, Rates, Tier

# Some say gpt-5.2-20251211 for gpt-5.2-2025-12-11; genai-prices tries the second where the first is unknown.
_COMPACT_DATE = re.compile(r"(?<=-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class _Row(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price; `then` are later ones by their first day, as YYYY-MM-DD."""

    tiers: tuple[Tier, ...] = ()
    audio_hour: int = 0
    least_audio_ms: int = 0
    requests_k: int = 0
    then: dict[str, "_Row"] = msgspec.field(default_factory=dict)

    def on(self, day: str) -> Price:
        due = max((first for first in self.then if first <= day), default="")
        if due:
            return self.then[due].on(day)
        return Price(
            rates=Rates(**{name: getattr(self, name) for name in Rates.__struct_fields__}),
            tiers=self.tiers,
            audio_micros_per_hour=self.audio_hour,
            least_audio_ms=self.least_audio_ms,
            micros_per_thousand_requests=self.requests_k,
        )


class _Rule(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Holds where all conditions of one of the alternatives are met."""

    label: str
    alternatives: tuple[tuple[str, ...], ...]

    def holds(self, name: str) -> bool:
        return any(all(_is_met(condition, name) for condition in each) for each in self.alternatives)


class _Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`names` go before `rules`. A blank label is no price, and hides what comes after."""

    names: dict[str, str]
    rules: tuple[_Rule, ...]
    others: tuple[str, ...] = msgspec.field(name="else", default=())


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    day: str
    kinds: dict[str, str]
    prices: dict[str, _Row]
    providers: dict[str, _Provider]


_decode = msgspec.json.Decoder(_File).decode


class PriceTable:
    """Prices by hoosh's type of provider and the model's name."""

    __slots__ = ("_kinds", "_prices", "_providers")

    def __init__(
        self, kinds: Mapping[str, str], providers: Mapping[str, _Provider], prices: Mapping[str, Price]
    ) -> None:
        self._kinds = kinds
        self._providers = providers
        self._prices = prices

    def price(self, kind: str, model: str) -> Price | None:
        name = model.lower()
        label = self._label(kind, name)
        if label is None and (dashed := _COMPACT_DATE.sub(r"\1-\2-\3", name)) != name:
            label = self._label(kind, dashed)
        return self._prices[label] if label else None

    def prices(self, kind: str) -> Iterator[Price]:
        """All of one type of provider; of all providers where there is none of that type."""
        chosen = self._of(kind) or tuple(self._providers.values())
        for provider in chosen:
            labels = {*provider.names.values(), *(rule.label for rule in provider.rules)}
            yield from (self._prices[label] for label in sorted(labels) if label)

    def _of(self, kind: str) -> tuple[_Provider, ...]:
        """The provider itself, then those whose models it sells."""
        own = self._providers.get(self._kinds.get(kind, ""))
        return () if own is None else (own, *(self._providers[name] for name in own.others))

    def _label(self, kind: str, name: str) -> str | None:
        """None where no provider knows the model."""
        for provider in self._of(kind):
            label = _found(provider, name)
            if label is not None:
                return label
        return None


def price_table(raw: bytes, day: str) -> PriceTable:
    """The prices of that day (YYYY-MM-DD) from the file's bytes."""
    file = _decode(raw)
    return PriceTable(file.kinds, file.providers, {label: row.on(day) for label, row in file.prices.items()})


def _found(provider: _Provider, name: str) -> str | None:
    if name in provider.names:
        return provider.names[name]
    return next((rule.label for rule in provider.rules if rule.holds(name)), None)


def _is_met(condition: str, name: str) -> bool:
    sign, text = condition[0], condition[1:]
    match sign:
        case "^":
            return name.startswith(text)
        case "*":
            return text in name
        case "$":
            return name.endswith(text)
        case "=":
            return name == text
    return bool(re.search(text, name))
