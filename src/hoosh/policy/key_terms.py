"""How the terms of a key are written by people: "30d", "2027-01-31", "12.50"; and what of them is wrong."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from hoosh.core.errors import BadRequest
from hoosh.core.stored_key import KeyTerms

PERIODS = ("none", "hour", "day", "week", "month")
MAX_NAME_CHARS = 64
MAX_LIST = 256
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([1-9][0-9]{0,6})([mhdw])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Larger amounts are a slip of the pen, and no store can count them.
_MOST = 10**15


def seconds(text: str, what: str) -> int:
    """Of "30m", "24h", "30d", "2w", or "0". Raises BadRequest."""
    found = _DURATION.fullmatch(text)
    if found is None and text != "0":
        raise BadRequest(f'{what}: expected a duration such as "24h" or "30d", got "{text}"', param=what)
    return int(found[1]) * _UNITS_S[found[2]] if found else 0


def expiry_s(text: str, now_s: int) -> int:
    """Unix time: a duration from now, or a date (its end) or a time, UTC where it does not say. Raises BadRequest."""
    if _DURATION.fullmatch(text):
        return now_s + seconds(text, "expires")
    try:
        if len(text) == len("2027-01-31"):
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            at = day + timedelta(days=1)
        else:
            at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise BadRequest(
            f'expires: expected "30d", "2027-01-31" or "2027-01-31T12:00:00Z", got "{text}"', param="expires"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def usd_micros(text: str) -> int:
    """Raises BadRequest."""
    try:
        micros = Decimal(text) * 1_000_000
    except InvalidOperation:
        micros = Decimal(-1)
    if not micros.is_finite() or not 1 <= micros <= _MOST or micros != int(micros):
        raise BadRequest(f'usd: expected an amount such as "12.50", got "{text}"', param="usd")
    return int(micros)


def check_terms(terms: KeyTerms, now_s: int) -> None:
    """Raises BadRequest that names the field."""
    if len(terms.name) > MAX_NAME_CHARS or not _NAME.fullmatch(terms.name):
        raise BadRequest('name: expected letters, digits, ".", "_" and "-", and at most 64 of them', param="name")
    if terms.expires_s is not None and terms.expires_s <= now_s:
        raise BadRequest("expires: that is over already", param="expires")
    for field in ("agents", "models", "pools", "routes"):
        values: tuple[str, ...] = getattr(terms, field)
        if len(values) > MAX_LIST or not all(value and len(value) <= 256 and value.isprintable() for value in values):
            raise BadRequest(f"{field}: expected at most {MAX_LIST} names of one line", param=field)
    _check_amounts(terms)


def _check_amounts(terms: KeyTerms) -> None:
    limits, budget = terms.limits, terms.budget
    amounts = {"rpm": limits.rpm, "tpm": limits.tpm, "concurrency": limits.concurrency}
    if budget is not None:
        amounts |= {"capacity_tokens": budget.capacity_tokens, "capacity_usd_micros": budget.capacity_usd_micros}
        if budget.period not in PERIODS:
            raise BadRequest(f"period: expected one of {', '.join(PERIODS)}", param="period")
        if budget.capacity_tokens is None and budget.capacity_usd_micros is None:
            raise BadRequest("budget: says neither tokens nor USD", param="budget")
    for field, value in amounts.items():
        if value is not None and not 1 <= value <= _MOST:
            raise BadRequest(f"{field}: expected a number from 1 to {_MOST}", param=field)
