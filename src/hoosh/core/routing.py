"""Routing in words: what a route is, who was considered for a call, and what was decided."""

from typing import Literal, Protocol, TypeAlias

import msgspec

from hoosh.core.asked import Operation
from hoosh.core.plan import Plan, Target

Strategy = Literal["priority", "round_robin", "lowest_latency", "least_busy", "cheapest", "local_first", "direct"]
Locality = Literal["any", "only", "never"]
Sticky = Literal["off", "session", "prefix"]
Need = Literal["tools", "images", "files", "json_schema", "logprobs", "reasoning", "several_answers"]
Fallback = Literal["context", "content"]


class When(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions: all that are given must hold. Globs in `keys`, `pools` and `agents`: one of them must fit; of `tags`
    and `needs` each must be there. `_from` is the least value that holds, `_below` the first that does not.
    """

    keys: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    operations: tuple[Operation, ...] = ()
    needs: tuple[Need, ...] = ()
    local_only: bool | None = None
    stream: bool | None = None
    input_tokens_from: int | None = None
    input_tokens_below: int | None = None
    budget_percent_from: int | None = None
    budget_percent_below: int | None = None


ALWAYS = When()


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One way that a route may take: `model` as clients would say it, "" for what was asked. Lower tiers go first; in
    a tier `weight` is the share. `context_tokens`: what the model can read, 0 for unknown.
    """

    model: str = ""
    tier: int = 0
    weight: int = 1
    context_tokens: int = 0


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How calls for `models` (globs) go, `when` its conditions hold. Without `legs` all who serve the model are
    candidates. `fallback_on`: what a provider refuses so is asked of the others, too.
    """

    name: str = ""
    models: tuple[str, ...] = ("*",)
    when: When = ALWAYS
    strategy: Strategy = "priority"
    legs: tuple[Leg, ...] = ()
    locality: Locality = "any"
    sticky: Sticky = "session"
    fallback_on: tuple[Fallback, ...] = ("context",)
    plan: Plan = Plan(targets=())


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Who could serve a call by what is configured. `keys` is how many keys its provider has for us. `shut` says which
    wish of the request shuts it out, "" for none.
    """

    target: Target
    tier: int = 0
    weight: int = 1
    keys: int = 1
    context_tokens: int = 0
    shut: str = ""


class Vital(msgspec.Struct, frozen=True):
    """How a target fares now. `blocked` says why it may not be asked, for another `retry_s`; "" if it may. It
    `is_resting` if it asked for that itself, `is_blamed` if all there is against it are failures. `latency_s` is the
    time to its first token lately, None where nothing is known.
    """

    blocked: str = ""
    retry_s: float = 0.0
    is_resting: bool = False
    is_blamed: bool = False
    in_flight: int = 0
    latency_s: float | None = None


WELL = Vital()


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate, and how it was weighed. `skipped` says why it is not asked, "" if it may be; it is then the
    `place`-th in order, counted from 1. The lower the `score`, the better; the strategy says what it is.
    """

    candidate: Candidate
    vital: Vital = WELL
    price_micros: int | None = None
    score: float | None = None
    skipped: str = ""
    place: int = 0


class Chance(msgspec.Struct, frozen=True):
    """What is not the call's nor the world's in a decision: whose turn it is, and two draws from [0, 1)."""

    turn: int = 0
    draws: tuple[float, float] = (0.0, 0.0)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call goes and why: `plan` has the targets in order. `passed` are routes for the model whose conditions
    did not hold, each with the first that failed.
    """

    route: str
    strategy: Strategy
    considered: tuple[Considered, ...]
    plan: Plan
    session: str = ""
    passed: tuple[tuple[str, str], ...] = ()
    chance: Chance = Chance()
    told: bytes = b""  # for `x-hoosh-route`


class Facts(Protocol):
    """What conditions ask of a call; each is found out only where one asks."""

    def input_tokens(self) -> int: ...

    def budget_percent(self) -> int: ...

    def needs(self) -> frozenset[Need]: ...


class Live(Protocol):
    """The world at the moment of a decision."""

    def vital(self, target: Target) -> Vital: ...

    def price_micros(self, target: Target) -> int | None:
        """Of this call, as far as it can be guessed; None where it is not known."""


Passed: TypeAlias = tuple[tuple[str, str], ...]
