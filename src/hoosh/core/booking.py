"""The rules of the ledger as pure functions, so that every store goes by the same ones."""

import msgspec

from hoosh.core.ledger import CLOSED, NOTHING, RANK, UNLIMITED, Amount, LeaseWish, Line, UsageKey, UsageSum

DAY_S = 86_400
_replace = msgspec.structs.replace


def told(known: Line | None, line: Line) -> Line | None:
    """What the ledger has of a line after it was told, None where that is no news."""
    if known is None:
        return line
    known_rank, rank = RANK[known.state], RANK[line.state]
    if rank < known_rank or (rank == known_rank and rank >= CLOSED):
        return None
    return _replace(
        line,
        held=known.held.join(line.held) if known_rank < CLOSED else known.held,
        scopes=known.scopes,
        gateway=known.gateway,
        reserved_ms=known.reserved_ms,
        expires_ms=known.expires_ms,
    )


def expired(line: Line, now_ms: int) -> Line:
    """What becomes of an open line whose time is over."""
    if line.state == "held":
        return _replace(line, state="voided", settled_ms=now_ms)
    return _replace(line, state="estimated", used=line.held, estimated=True, settled_ms=now_ms, error="lost")


def over(used: Amount, held: Amount) -> Amount:
    """What was used beyond what was held."""
    return (used - held).join(NOTHING)


def usage_key(line: Line) -> UsageKey:
    day_s = line.reserved_ms // 1000 // DAY_S * DAY_S
    return UsageKey(day_s, line.key, line.agent, line.scopes[0].pool, line.provider, line.model, line.operation)


def usage_with(total: UsageSum, line: Line, sign: int) -> UsageSum:
    """`sign` is 1 to count the line, -1 to take it out again."""
    return UsageSum(
        calls=total.calls + sign * (not line.absorbed),
        attempts=total.attempts + sign,
        cache_hits=total.cache_hits + sign * line.cache_hit,
        estimated=total.estimated + sign * line.estimated,
        unpriced=total.unpriced + sign * (line.priced == "unknown"),
        input=total.input + sign * line.input,
        cached=total.cached + sign * line.cached,
        cache_write=total.cache_write + sign * line.cache_write,
        output=total.output + sign * line.output,
        reasoning=total.reasoning + sign * line.reasoning,
        tokens=total.tokens + sign * line.used.tokens,
        micros=total.micros + sign * line.used.micros,
        audio_ms=total.audio_ms + sign * line.used.audio_ms,
    )


def leased(before: Amount, wish: LeaseWish, left: Amount) -> Amount:
    """What a wish is granted where nobody else has `left`."""
    granted = before.meet(wish.keep).join(wish.want.meet(left))
    parts = zip(_parts(wish.ceiling), _parts(granted), strict=True)
    return Amount(*(0 if limit == UNLIMITED else part for limit, part in parts))


def remaining(limit: Amount, taken: Amount) -> Amount:
    """Never below zero, and UNLIMITED where there is no limit."""
    parts = zip(_parts(limit), _parts(taken), strict=True)
    return Amount(*(UNLIMITED if most == UNLIMITED else max(0, most - part) for most, part in parts))


def _parts(amount: Amount) -> tuple[int, int, int]:
    return amount.tokens, amount.micros, amount.audio_ms
