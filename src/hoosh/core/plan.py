"""Where a call may go, in order, as plain names: the engine looks the objects up."""

from typing import Literal

import msgspec


class Target(msgspec.Struct, frozen=True):
    """`provider` is the name of a configured provider; `model` is that provider's word for the model; `key` counts
    the keys that it has for us, from 0.
    """

    provider: str
    model: str
    local: bool = False
    key: int = 0

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}" + (f" (key {self.key + 1})" if self.key else "")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`tries` counts attempts per target, `attempts` over all of them; backoff doubles from `base_s` up to `max_s`.
    No attempt begins after `total_s`, nor once the ones before may have cost `max_micros` (0: no bound).

    `ambiguous`: what becomes of a call that a provider may have answered and charged without our hearing of it:
    another attempt never, where it would cost nothing, or always. `wider` are the targets that can read more than those
    before them, for a prompt that was too long; `on_content`: a refusal for its content is tried elsewhere.
    `hedge_s`: the next target is asked, too, if the first has said nothing by then; 0 for never. `last` are those that
    are left alone because they failed: asked when nobody else is left, for one of them may work again by now.
    """

    targets: tuple[Target, ...]
    tries: int = 2
    attempts: int = 6
    base_s: float = 0.25
    max_s: float = 8.0
    total_s: float = 600.0
    max_micros: int = 0
    ambiguous: Literal["never", "free", "always"] = "free"
    wider: tuple[Target, ...] = ()
    on_content: bool = False
    hedge_s: float = 0.0
    last: tuple[Target, ...] = ()

    @property
    def end(self) -> Target:
        """Whose wait is worth it: nobody comes after it, or only those that are left alone."""
        return (self.targets or self.last)[-1]


class Attempt(msgspec.Struct, frozen=True):
    """The `n`-th attempt of a call, counted from 1, after `delay_s`; `anyhow`: though its circuit breaker is open."""

    n: int
    target: Target
    delay_s: float = 0.0
    anyhow: bool = False
