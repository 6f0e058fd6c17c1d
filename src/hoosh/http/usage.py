"""`/v1/usage` and `/v1/costs`: what was used and what it cost, from the sums that the ledger keeps."""

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs

import msgspec

from hoosh.core.errors import BadRequest
from hoosh.core.ledger import UsageKey, UsageSum
from hoosh.core.principal import ANONYMOUS
from hoosh.engine.courier import Courier
from hoosh.http.exchange import Exchange
from hoosh.ports import Ledger

GROUPS = ("day", "key", "agent", "pool", "provider", "model", "operation")
SUMS = tuple(field.name for field in msgspec.structs.fields(UsageSum))
DAY_S = 86_400
FAR_S = 1 << 40


class UsagePages:
    def __init__(self, ledger: Ledger, courier: Courier) -> None:
        self._ledger = ledger
        self._courier = courier

    async def usage(self, exchange: Exchange) -> None:
        """`?group_by=key,model&from=2026-11-01&to=2026-12-01&format=csv`; "to" is the first day that is left out."""
        asked = {name: values[-1] for name, values in parse_qs(exchange.query.decode("latin-1")).items()}
        groups = tuple(name for name in asked.get("group_by", "day").split(",") if name)
        for name in groups:
            if name not in GROUPS:
                raise BadRequest(f"group_by: unknown '{name[:32]}'; known: {', '.join(GROUPS)}", param="group_by")
        rows = _grouped(await self._sums(exchange, _day_s(asked, "from", 0), _day_s(asked, "to", FAR_S)), groups)
        if asked.get("format") != "csv":
            await exchange.answer({"object": "list", "group_by": groups, "data": rows})
            return
        text = io.StringIO()
        table = csv.DictWriter(text, (*groups, *_told_names()))
        table.writeheader()
        table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        await exchange.reply(200, text.getvalue().encode(), b"text/csv; charset=utf-8", ())

    async def costs(self, exchange: Exchange) -> None:
        sums = await self._sums(exchange, 0, FAR_S)
        records = [
            {
                "provider": row["provider"],
                "total_input_tokens": row["input_tokens"],
                "total_output_tokens": row["output_tokens"],
                "total_cost_micro_usd": row["cost_micro_usd"],
                "total_cost_usd": row["cost_micro_usd"] / 1e6,
                "request_count": row["calls"],
                "unpriced_count": row["unpriced"],
            }
            for row in _grouped(sums, ("provider",))
        ]
        total_micros = sum(total.micros for _, total in sums)
        told = {"total_cost_micro_usd": total_micros, "total_cost_usd": total_micros / 1e6}
        await exchange.answer({"records": records, **told})

    async def _sums(self, exchange: Exchange, from_s: int, to_s: int) -> list[tuple[UsageKey, UsageSum]]:
        """All of them for who administers, or where there are no keys; else the caller's own."""
        await self._courier.flush()
        principal = exchange.principal
        rows = await self._ledger.usage(from_s, to_s)
        sees_all = principal.is_admin or principal.key_id == ANONYMOUS.key_id
        return [(key, total) for key, total in rows if sees_all or key.key == principal.key_id]


def _grouped(rows: Iterable[tuple[UsageKey, UsageSum]], groups: tuple[str, ...]) -> list[dict[str, int]]:
    sums: dict[tuple[str, ...], list[int]] = {}
    for key, total in rows:
        names = {**msgspec.structs.asdict(key), "day": str(dt.datetime.fromtimestamp(key.day_s, dt.UTC).date())}
        group = sums.setdefault(tuple(names[name] for name in groups), [0] * len(SUMS))
        for place, part in enumerate(msgspec.structs.astuple(total)):
            group[place] += part
    return [
        dict(zip((*groups, *_told_names()), (*names, *total), strict=True))  # type: ignore[arg-type]
        for names, total in sorted(sums.items())
    ]


def _told_names() -> tuple[str, ...]:
    """As the API says them, with their units."""
    counts = {"calls", "attempts", "cache_hits", "estimated", "unpriced", "tokens", "audio_ms"}
    return tuple(
        name if name in counts else "cost_micro_usd" if name == "micros" else f"{name}_tokens" for name in SUMS
    )


def _day_s(asked: Mapping[str, str], name: str, default_s: int) -> int:
    if name not in asked:
        return default_s
    try:
        day = dt.date.fromisoformat(asked[name])
    except ValueError:
        raise BadRequest(f"{name}: expected a day as 2026-11-25", param=name) from None
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp())


def _cell(value: object) -> object:
    """A name that a spreadsheet would take for a formula is only text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
