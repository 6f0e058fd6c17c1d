"""What settings are made of: names, times, sizes, with their bounds."""

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 30)]
# A nanosecond's rounding is then far below a token.
PerMinute = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Tokens = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
Moment = Annotated[dt.datetime, Meta(tz=True)]
Usd = Annotated[float, Meta(gt=0, le=1_000_000_000)]
# The dearest model of November 2026 asks for 600 dollars.
UsdPrice = Annotated[float, Meta(ge=0, le=100_000)]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file: what it does not name is a mistake."""
