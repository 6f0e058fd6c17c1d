"""Which price a call is charged at: what the configuration says, else what is published, else what the policy for the
unknown makes of it. A local provider is free by its route, and never by the model's name.
"""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal, Protocol

import msgspec

from hoosh.core.errors import Unpriced
from hoosh.core.events import Usage
from hoosh.core.ledger import Priced
from hoosh.core.plan import Target
from hoosh.core.quote import FREE, Quote
from hoosh.policy.prices import Price, bound_micros, cost_micros, dearest

UnknownPrice = Literal["deny", "estimate", "allow"]

# A provider may take any name that a client makes up, so what is remembered is bounded.
MEMO_ENTRIES = 4096


class Published(Protocol):
    """policy.price_table.PriceTable."""

    def price(self, kind: str, model: str) -> Price | None: ...

    def prices(self, kind: str) -> Iterable[Price]: ...


class PriceQuote(msgspec.Struct, frozen=True):
    """core.quote.Quote. `price` is None only where it is unknown: no cost is told then, which is not a cost of 0."""

    price: Price | None
    priced: Priced

    def cost(self, usage: Usage, audio_ms: int = 0) -> int | None:
        return None if self.price is None else cost_micros(self.price, usage, audio_ms)

    def bound(self, input_tokens: int, output_tokens: int, audio_ms: int = 0) -> int:
        return 0 if self.price is None else bound_micros(self.price, input_tokens, output_tokens, audio_ms)


_UNKNOWN = PriceQuote(None, "unknown")


class PriceRule(msgspec.Struct, frozen=True):
    """A price of the user's own. Globs, in any case; `provider` is held against the provider's name and its type."""

    provider: str
    model: str
    price: Price

    def covers(self, target: Target, kind: str) -> bool:
        glob = self.provider.lower()
        if not fnmatchcase(target.provider.lower(), glob) and not fnmatchcase(kind.lower(), glob):
            return False
        return fnmatchcase(target.model.lower(), self.model.lower())


def quoted(
    price: Price | None, *, local: bool, unknown: UnknownPrice, guess: Callable[[], Price | None]
) -> Quote | None:
    """What is asked for a call whose price may not be known; None where it may not be made."""
    if price is not None:
        return PriceQuote(price, "known")
    if local:
        return FREE
    if unknown == "deny":
        return None
    guessed = guess() if unknown == "estimate" else None
    return _UNKNOWN if guessed is None else PriceQuote(guessed, "estimated")


class PriceBook:
    """ports.Prices. `read` gives the published prices; it is called once, by the first question that needs them."""

    __slots__ = ("_memo", "_read", "_rules", "_table", "_unknown")

    def __init__(
        self, read: Callable[[], Published], rules: Sequence[PriceRule] = (), unknown: UnknownPrice = "estimate"
    ) -> None:
        self._read = read
        self._rules = tuple(rules)
        self._unknown = unknown
        self._table: Published | None = None
        self._memo: dict[tuple[Target, str], Quote] = {}

    def quote(self, target: Target, kind: str) -> Quote:
        """`kind` is the provider's type. Raises: Unpriced, where the price is unknown and the policy is to deny."""
        found = self._memo.get((target, kind))
        return self._look_up(target, kind) if found is None else found

    def price(self, target: Target, kind: str) -> Price | None:
        """The user's own price, else the published one of a provider that is not local."""
        own = next((rule.price for rule in self._rules if rule.covers(target, kind)), None)
        if own is not None or target.local:
            return own
        return self._published().price(kind, target.model)

    def _look_up(self, target: Target, kind: str) -> Quote:
        found = quoted(
            self.price(target, kind),
            local=target.local,
            unknown=self._unknown,
            guess=lambda: dearest(self._published().prices(kind)),
        )
        if found is None:
            raise Unpriced(
                f'no price is known for "{target.model}" at "{target.provider}": add one to the configuration under '
                '[[prices]], or let it be estimated: [pricing] unknown = "estimate"',
                param="model",
            )
        if len(self._memo) >= MEMO_ENTRIES:
            self._memo.clear()
        self._memo[target, kind] = found
        return found

    def _published(self) -> Published:
        if self._table is None:
            self._table = self._read()
        return self._table
