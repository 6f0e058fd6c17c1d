"""When a provider says that it may be asked again, from the headers of its refusal.

Sources, read 2026-11: RFC 9110 section 10.2.3 (Retry-After: seconds or a date), OpenAI's rate limits guide
(`x-ratelimit-reset-*`: "1s", "6m0s", "120ms"; Groq and others say "7.66s" and "2m59.56s"; `retry-after-ms`),
Anthropic's rate limits page (`anthropic-ratelimit-*-reset`: RFC 3339).
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

Names = dict[bytes, bytes]

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_STEP = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(d|h|ms|us|µs|ns|m|s)")
_LIMIT = re.compile(rb"(?:x|anthropic)-ratelimit-(?:(?:reset|remaining)-([a-z-]+)|([a-z-]+)-(?:reset|remaining))$")


def retry_after_s(headers: Names) -> float | None:
    """None where nothing is said. Absurd values are the plan's to bound. A date counts from the reply's own."""
    if (milliseconds := _number(_text(headers, b"retry-after-ms"))) is not None:
        return milliseconds / 1e3
    said = _text(headers, b"retry-after")
    for seconds in (_number(said), _until(said, headers)):
        if seconds is not None:
            return seconds
    return _reset_s(headers)


def seconds_in(text: str) -> float | None:
    """A duration as Go and Protocol Buffers write it ("1m2.5s", "34s"), or bare seconds."""
    if (number := _number(text)) is not None:
        return number
    steps = _STEP.findall(text)
    if not steps or "".join(amount + unit for amount, unit in steps) != text:
        return None
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in steps)


def _reset_s(headers: Names) -> float | None:
    """When the last of the limits that are used up is renewed."""
    resets: dict[bytes, float] = {}
    used_up: set[bytes] = set()
    for name, value in headers.items():
        found = _LIMIT.match(name)
        if not found:
            continue
        limit, text = found[1] or found[2], value.decode("latin-1").strip()
        if b"remaining" in name:
            if text in ("0", "0.0"):
                used_up.add(limit)
            continue
        for seconds in (seconds_in(text), _until(text, headers)):
            if seconds is not None:
                resets[limit] = seconds
                break
    return max((resets[limit] for limit in used_up & resets.keys()), default=None)


def _text(headers: Names, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()


def _number(text: str) -> float | None:
    return float(text) if len(text) <= 16 and text.isascii() and text.replace(".", "", 1).isdecimal() else None


def _until(text: str, headers: Names) -> float | None:
    """Seconds from the reply's `date` to the moment `text`: no clock of ours is asked, which may go otherwise."""
    moment, now = _moment(text), _moment(_text(headers, b"date"))
    return max(0.0, (moment - now).total_seconds()) if moment and now else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text[:1].isdecimal() else parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
