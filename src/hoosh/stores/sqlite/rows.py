"""Lines as rows of the table `lines`, and back."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from hoosh.core.ledger import Amount, Line, Scope
from hoosh.stores.sqlite import statements as sql

Row: TypeAlias = tuple[str | int, ...]

# Placeholders of one look-up: far fewer than SQLite allows (32,766), and few enough texts to stay prepared.
_ASKED_AT_ONCE = 1024
MAX_ROWID = (1 << 63) - 1

_scopes = msgspec.json.Decoder(tuple[Scope, ...])


def scopes_text(scopes: tuple[Scope, ...]) -> str:
    return msgspec.json.encode(scopes).decode()


def scopes_of(text: str) -> tuple[Scope, ...]:
    return _scopes.decode(text)


def rows_of(lines: Iterable[Line], scopes: str) -> list[Row]:
    """Of lines with the same scopes. One comprehension and no calls: this is paid for each line there is. The plus
    makes a number of a boolean, for which sqlite3 would look for an adapter.
    """
    return [
        (
            line.id, line.state, scopes, (held := line.held).tokens, held.micros, held.audio_ms,
            (used := line.used).tokens, used.micros, used.audio_ms, line.gateway, line.expires_ms, line.reserved_ms,
            line.settled_ms, line.input, line.cached, line.cache_write, line.output, line.reasoning, +line.estimated,
            +line.absorbed, +line.cache_hit, line.priced, line.request_id, line.key, line.agent, line.provider,
            line.model, line.operation, line.error,
        )
        for line in lines
    ]  # fmt: skip


def lines_of(rows: Iterable[Sequence[object]]) -> Iterator[Line]:
    for row in rows:
        name, state, scopes, *rest = row
        told = (name, state, scopes_of(str(scopes)), rest[:3], rest[3:6], *rest[6:])
        yield msgspec.convert(told, Line, strict=False)  # not strict: a boolean is a number here


def known(db: sqlite3.Connection, ids: Sequence[str], last: int = MAX_ROWID) -> dict[str, Line]:
    """Those of the lines that there are, up to the row `last`. Not by `json_each`, which ends a text at a NUL (tried
    with 3.40).
    """
    found: dict[str, Line] = {}
    for start in range(0, len(ids), _ASKED_AT_ONCE):
        asked = ids[start : start + _ASKED_AT_ONCE]
        places = 1 << (len(asked) - 1).bit_length()
        values = (*asked, *(None,) * (places - len(asked)), last)
        lines = db.execute(f"{sql.LINES} WHERE id IN ({', '.join('?' * places)}) AND rowid <= ?", values)
        found.update((line.id, line) for line in lines_of(lines))
    return found


def amount(parts: Sequence[int | None]) -> Amount:
    """Of a sum, which is NULL over nothing."""
    tokens, micros, audio_ms = parts
    return Amount(tokens or 0, micros or 0, audio_ms or 0)
