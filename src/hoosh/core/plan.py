"""Where a call may go, in order, as plain names: the engine looks the objects up."""

import msgspec


class Target(msgspec.Struct, frozen=True):
    """`provider` is the name of a configured provider; `model` is that provider's word for the model."""

    provider: str
    model: str
    local: bool = False

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`tries` counts attempts per target, `attempts` over all of them; backoff doubles from `base_s` up to `max_s`."""

    targets: tuple[Target, ...]
    tries: int = 2
    attempts: int = 6
    base_s: float = 0.25
    max_s: float = 8.0


class Attempt(msgspec.Struct, frozen=True):
    """The `n`-th attempt of a call, counted from 1, to be made after `delay_s`."""

    n: int
    target: Target
    delay_s: float = 0.0
