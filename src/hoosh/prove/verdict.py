"""Every call, looked up in three accounts: what the caller was told, what the provider served, what the ledger says.

I3: what the provider told is what the ledger has, call by call. I4: no call has two lines. I6: what was acknowledged to
a caller is in the ledger. What a provider served and could not tell, for a gateway was killed, is in the ledger as an
estimate.
"""

from collections.abc import Mapping, Sequence

import msgspec

from hoosh.core.ledger import UsageKey, UsageSum
from hoosh.prove.callers import Heard
from hoosh.prove.upstream import Served


class Found(msgspec.Struct, kw_only=True):
    """`unsent`: charged by a gateway that was killed in the moment before it sent the call."""

    calls: int = 0
    acknowledged: int = 0
    exact: int = 0
    estimated: int = 0
    unsent: int = 0
    served_tokens: int = 0
    booked_tokens: int = 0
    breaches: list[str] = []


def compare(
    heard: Mapping[str, Heard], served: Mapping[str, Served], rows: Sequence[tuple[UsageKey, UsageSum]], kills: int
) -> Found:
    found = Found(calls=len(heard))
    booked = {key.model: total for key, total in rows}
    for model, row in booked.items():
        _look_at(found, model, row, served.get(model))
    for model in served.keys() - booked.keys():
        found.breaches.append(f"I3: the provider served {model}, and the ledger does not know it")
    for model, told in heard.items():
        if told.status != 200 or not told.whole:
            continue
        found.acknowledged += 1
        total, truth = booked.get(model), served.get(model)
        if truth is None or total is None or total.estimated or total.tokens != truth.tokens:
            found.breaches.append(f"I6: {model} was acknowledged, and the ledger has {total} of it")
    if found.unsent > kills * MOST_AT_ONCE:
        found.breaches.append(f"I3: {found.unsent} calls are charged that the provider never saw")
    return found


# Calls that one gateway may have had in hand when it was killed.
MOST_AT_ONCE = 256


def _look_at(found: Found, model: str, total: UsageSum, truth: Served | None) -> None:
    found.booked_tokens += total.tokens
    if total.attempts != 1:
        found.breaches.append(f"I4: {model} has {total.attempts} lines")
    if truth is None:
        found.unsent += 1
        if not total.estimated:
            found.breaches.append(f"I3: {model} is charged as the provider's word, which never saw it")
        return
    found.served_tokens += truth.tokens if truth.told else 0
    if truth.calls != 1:
        found.breaches.append(f"I4: the provider was asked {truth.calls} times for {model}")
    if total.estimated:
        found.estimated += 1
    else:
        found.exact += 1
        if total.tokens != truth.tokens:
            found.breaches.append(f"I3: {model} used {truth.tokens}, and the ledger says {total.tokens}")
