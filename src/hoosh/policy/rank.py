"""The order of candidates that may be asked, by strategy. Pure: whose turn it is and the draws are arguments.

A tier is used up before the next one begins, whatever the strategy; but "local_first" puts what is local before all.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import groupby
from math import inf, log

import msgspec

from hoosh.core.routing import Candidate, Chance, Strategy, Vital

# A sequence of this step, modulo 1, fills [0, 1) more evenly than any other: shares are right after few turns.
GOLDEN = 0.6180339887498949


class Weighed(msgspec.Struct, frozen=True):
    candidate: Candidate
    vital: Vital
    price_micros: int | None = None


Scored = tuple[Weighed, float | None]


def rank(strategy: Strategy, usable: Sequence[Weighed], chance: Chance, session: str = "") -> list[Scored]:
    """All of `usable`, best first, each with what the strategy found."""
    if strategy == "local_first":
        return [(one, None) for one in sorted(usable, key=lambda one: (not one.candidate.target.local, _tier(one)))]
    ranked: list[Scored] = []
    for _, tier in groupby(sorted(usable, key=_tier), key=_tier):
        group = list(tier)
        if session and strategy not in ("priority", "direct"):
            ranked += sticky(group, session)
        else:
            ranked += _ORDERS[strategy](group, chance)
    return ranked[:1] if strategy == "direct" else ranked


def share(weights: Sequence[int], turn: int) -> int:
    """Who is the `turn`-th by weight. Who all weigh the same take turns one after the other."""
    if min(weights) == max(weights):
        return turn % len(weights)
    at = (turn * GOLDEN) % 1.0 * sum(weights)
    for index, weight in enumerate(weights):
        at -= weight
        if at < 0:
            return index
    return len(weights) - 1


def sticky(group: Sequence[Weighed], session: str) -> list[Scored]:
    """Rendezvous hashing by weight: one session keeps its order, and who leaves or comes takes only its own share."""

    def score(one: Weighed) -> float:
        digest = blake2b(f"{session}\0{one.candidate.target}".encode("utf-8", "replace"), digest_size=8).digest()
        part = (int.from_bytes(digest) + 1) / (2**64 + 2)
        return -log(part) / max(1, one.candidate.weight)

    scored = [(one, score(one)) for one in group]
    scored.sort(key=lambda pair: pair[1])
    return [*scored]


def _tier(one: Weighed) -> int:
    return one.candidate.tier


def _as_listed(group: Sequence[Weighed], chance: Chance) -> list[Scored]:  # noqa: ARG001
    return [(one, None) for one in group]


def _in_turn(group: Sequence[Weighed], chance: Chance) -> list[Scored]:
    """Who weighs nothing is asked only after all others."""
    weights = [one.candidate.weight for one in group]
    if not any(weights):
        weights = [1] * len(group)
    first = share(weights, chance.turn)
    order = [group[first], *group[first + 1 :], *group[:first]]
    order.sort(key=lambda one: one.candidate.weight == 0)
    return [(one, None) for one in order]


def _by_latency(group: Sequence[Weighed], chance: Chance) -> list[Scored]:
    """The better of two drawn, then the rest: all at once would run to the same one."""
    scored = [(one, _latency_score(one)) for one in group]
    if len(scored) > 1:
        first = int(chance.draws[0] * len(scored))
        second = (first + 1 + int(chance.draws[1] * (len(scored) - 1))) % len(scored)
        best = min(first, second, key=lambda at: scored[at][1])
        chosen = scored.pop(best)
        return [chosen, *sorted(scored, key=lambda pair: pair[1])]
    return list(scored)


def _latency_score(one: Weighed) -> float:
    """Who was never measured is explored at once, but by one call and not by all."""
    vital = one.vital
    if vital.latency_s is None:
        return inf if vital.in_flight else 0.0
    return vital.latency_s * (vital.in_flight + 1)


def _by_load(group: Sequence[Weighed], chance: Chance) -> list[Scored]:
    turned = [one for one, _ in _in_turn(group, chance)]
    scored = [(one, one.vital.in_flight / max(1, one.candidate.weight)) for one in turned]
    scored.sort(key=lambda pair: pair[1])
    return [*scored]


def _by_price(group: Sequence[Weighed], chance: Chance) -> list[Scored]:  # noqa: ARG001
    """An unknown price is not taken for a low one."""
    scored: list[Scored] = [(one, None if one.price_micros is None else float(one.price_micros)) for one in group]
    return sorted(scored, key=lambda pair: inf if pair[1] is None else pair[1])


_ORDERS: dict[Strategy, Callable[[Sequence[Weighed], Chance], list[Scored]]] = {
    "priority": _as_listed,
    "direct": _as_listed,
    "round_robin": _in_turn,
    "lowest_latency": _by_latency,
    "least_busy": _by_load,
    "cheapest": _by_price,
}
