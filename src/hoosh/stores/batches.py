"""Files and batches in tables, by statements that SQLite and PostgreSQL read alike.

What a process does to a batch counts only while the batch is marked with its name: one that was taken for dead and was
not can no longer write.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from hoosh.core.batch import Batch, Counts, Line, LineState, Page, Running, Status, StoredFile

Value: TypeAlias = str | int | bytes
Row: TypeAlias = Sequence[Value]
Statement: TypeAlias = tuple[str, tuple[Value, ...]]
# An upload that has not ended for so long was given up.
ABANDONED_S = 3600
_STATES: Mapping[LineState, int] = {"waiting": 0, "answered": 1, "refused": 2, "unasked": 3}
_OPEN = "status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
_FILE = "id, owner, name, purpose, size_bytes, created_s, expires_s"
_MINE = "EXISTS (SELECT 1 FROM batches WHERE id = $1 AND runner = $2)"
_USED = "(SELECT coalesce(sum(size_bytes), 0) FROM files) + (SELECT coalesce(sum(size_bytes), 0) FROM batches)"
_decode = msgspec.json.Decoder(Batch).decode
_encode = msgspec.json.Encoder().encode


class Tables(Protocol):
    """Where the tables are. `name` is this process's, by which others know whether it lives."""

    @property
    def name(self) -> str: ...

    async def read(self, query: str, *values: Value) -> Sequence[Row]:
        """Nothing where there are no tables yet."""

    async def write(self, *statements: Statement) -> Sequence[Row]:
        """All or none; the rows are those that the last one returns."""

    async def dead(self, names: Sequence[str]) -> frozenset[str]: ...

    async def close(self) -> None: ...


class TableBatches:
    """ports.Files and ports.Batches."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @property
    def runner(self) -> str:
        return self._tables.name

    # Files

    async def begin_file(self, file: StoredFile, most_bytes: int | None) -> bool:
        bound = "" if most_bytes is None else f" WHERE {_USED} + $5 <= CAST($8 AS bigint)"
        values: tuple[Value, ...] = (
            file.id,
            file.owner,
            file.name.replace("\0", "\ufffd"),
            file.purpose,
            file.size_bytes,
            file.created_s,
            file.expires_s,
        )
        insert = (
            f"INSERT INTO files ({_FILE}, ready) SELECT $1, $2, $3, $4, CAST($5 AS bigint), CAST($6 AS bigint), "
            f"CAST($7 AS bigint), 0{bound} RETURNING id"
        )
        return bool(await self._tables.write((insert, values if most_bytes is None else (*values, most_bytes))))

    async def add_piece(self, file_id: str, n: int, data: bytes) -> None:
        await self._tables.write(("INSERT INTO file_pieces (file_id, n, data) VALUES ($1, $2, $3)", (file_id, n, data)))

    async def end_file(self, file_id: str, size_bytes: int) -> None:
        await self._tables.write(
            ("UPDATE files SET ready = 1, size_bytes = $2 WHERE id = $1 AND ready = 0", (file_id, size_bytes))
        )

    async def file(self, owner: str, file_id: str, now_s: int) -> StoredFile | None:
        query = f"SELECT {_FILE} FROM files WHERE id = $1 AND owner = $2 AND ready = 1 AND expires_s > $3"
        return next((_file(row) for row in await self._tables.read(query, file_id, owner, now_s)), None)

    async def files(self, owner: str, page: Page, now_s: int) -> Sequence[StoredFile] | None:
        kept = "owner = $1 AND ready = 1 AND expires_s > $2 AND ($3 = '' OR purpose = $3)"
        at = await self._at("files", owner, page)
        if at is None:
            return None
        query = f"SELECT {_FILE} FROM files WHERE {kept} AND {at} LIMIT {page.limit}"
        return [_file(row) for row in await self._tables.read(query, owner, now_s, page.purpose)]

    async def piece(self, file_id: str, n: int) -> bytes:
        rows = await self._tables.read("SELECT data FROM file_pieces WHERE file_id = $1 AND n = $2", file_id, n)
        return _bytes(rows[0][0]) if rows else b""

    async def drop_file(self, file_id: str) -> None:
        await self._tables.write(
            ("DELETE FROM file_pieces WHERE file_id = $1", (file_id,)), ("DELETE FROM files WHERE id = $1", (file_id,))
        )

    async def used_bytes(self) -> int:
        rows = await self._tables.read(f"SELECT {_USED}")
        return int(rows[0][0]) if rows else 0

    async def purge(self, now_s: int, ended_before_s: int) -> None:
        old = "expires_s <= $1 OR (ready = 0 AND created_s <= $2)"
        over = f"NOT ({_OPEN})"
        at = (now_s, now_s - ABANDONED_S)
        gone = f"SELECT id FROM files WHERE ({old}) AND id NOT IN (SELECT input_file_id FROM batches WHERE {_OPEN})"
        await self._tables.write(
            (f"DELETE FROM file_pieces WHERE file_id IN ({gone})", at),
            (f"DELETE FROM files WHERE id IN ({gone})", at),
            (f"DELETE FROM batch_lines WHERE batch_id IN (SELECT id FROM batches WHERE {over})", ()),
            (f"DELETE FROM batches WHERE {over} AND created_s <= $1", (ended_before_s,)),
        )

    # Batches

    async def put(self, batch: Batch) -> None:
        insert = (
            "INSERT INTO batches (id, owner, input_file_id, created_s, status, runner, cancelling_s, size_bytes, body) "
            "VALUES ($1, $2, $3, $4, $5, '', 0, 0, $6)"
        )
        values = (batch.id, batch.owner, batch.input_file_id, batch.created_s, batch.status, _encode(batch))
        await self._tables.write((insert, values))

    async def batch(self, owner: str, batch_id: str) -> Batch | None:
        query = "SELECT body, status, cancelling_s FROM batches WHERE id = $1 AND owner = $2"
        return next((_batch(row) for row in await self._tables.read(query, batch_id, owner)), None)

    async def batches(self, owner: str, page: Page) -> Sequence[Batch] | None:
        at = await self._at("batches", owner, page)
        if at is None:
            return None
        query = f"SELECT body, status, cancelling_s FROM batches WHERE owner = $1 AND {at} LIMIT {page.limit}"
        return [_batch(row) for row in await self._tables.read(query, owner)]

    async def cancel(self, owner: str, batch_id: str, now_s: int) -> bool:
        update = (
            "UPDATE batches SET status = 'cancelling', cancelling_s = $3 WHERE id = $1 AND owner = $2 "
            "AND status IN ('validating', 'in_progress') RETURNING id"
        )
        return bool(await self._tables.write((update, (batch_id, owner, now_s))))

    async def running(self) -> Sequence[Running]:
        rows = await self._tables.read(f"SELECT id, status, runner FROM batches WHERE {_OPEN} ORDER BY seq")
        found = [msgspec.convert(tuple(row), tuple[str, Status, str]) for row in rows]
        dead = await self._tables.dead(sorted({runner for _, _, runner in found} - {"", self.runner}))
        return [Running(name, status, "" if runner in dead else runner) for name, status, runner in found]

    async def claim(self, batch_id: str) -> Batch | None:
        rows = await self._tables.read("SELECT runner FROM batches WHERE id = $1", batch_id)
        was = str(rows[0][0]) if rows else ""
        if was not in ("", self.runner) and not await self._tables.dead([was]):
            return None
        update = (
            f"UPDATE batches SET runner = $2 WHERE id = $1 AND runner = $3 AND {_OPEN} "
            "RETURNING body, status, cancelling_s"
        )
        return next(map(_batch, await self._tables.write((update, (batch_id, self.runner, was)))), None)

    async def release(self, batch_id: str) -> None:
        await self._tables.write(
            ("UPDATE batches SET runner = '' WHERE id = $1 AND runner = $2", (batch_id, self.runner))
        )

    async def advance(self, batch: Batch, was: Status) -> bool:
        update = "UPDATE batches SET status = $4, body = $5 WHERE id = $1 AND runner = $2 AND status = $3 RETURNING id"
        return bool(await self._tables.write((update, (batch.id, self.runner, was, batch.status, _encode(batch)))))

    # Lines

    async def clear(self, batch_id: str) -> None:
        await self._tables.write(
            (f"DELETE FROM batch_lines WHERE batch_id = $1 AND {_MINE}", (batch_id, self.runner)),
            ("UPDATE batches SET size_bytes = 0 WHERE id = $1 AND runner = $2", (batch_id, self.runner)),
        )

    async def add(self, batch_id: str, lines: Sequence[Line]) -> None:
        insert = (
            "INSERT INTO batch_lines (batch_id, n, part, tokens, micros, state, data) "
            "VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT DO NOTHING"
        )
        size_bytes = sum(len(line.data) for line in lines)
        grow = "UPDATE batches SET size_bytes = size_bytes + $3 WHERE id = $1 AND runner = $2"
        await self._tables.write(
            *((insert, (batch_id, at.n, at.part, at.tokens, at.micros, at.data)) for at in lines),
            (grow, (batch_id, self.runner, size_bytes)),
        )

    async def lines(self, batch_id: str, state: LineState, after: int, limit: int) -> Sequence[Line]:
        query = (
            "SELECT n, part, tokens, micros, data FROM batch_lines "
            f"WHERE batch_id = $1 AND state = $2 AND n > $3 ORDER BY n LIMIT {limit}"
        )
        rows = await self._tables.read(query, batch_id, _STATES[state], after)
        return [_line(row) for row in rows]

    async def finish(self, batch_id: str, line: Line, state: LineState, result: bytes) -> bool:
        known = "SELECT 1 FROM batch_lines WHERE batch_id = $1 AND n = $3 AND state = 0"
        grow = f"UPDATE batches SET size_bytes = size_bytes + $4 WHERE id = $1 AND runner = $2 AND EXISTS ({known})"
        update = (
            f"UPDATE batch_lines SET state = $4, data = $5 WHERE batch_id = $1 AND n = $3 AND state = 0 AND {_MINE} "
            "RETURNING n"
        )
        at = (batch_id, self.runner, line.n)
        return bool(
            await self._tables.write(
                (grow, (*at, len(result) - len(line.data))), (update, (*at, _STATES[state], result))
            )
        )

    async def rest(self, batch_id: str, part: int) -> tuple[int, int]:
        query = (
            "SELECT coalesce(sum(tokens), 0), coalesce(sum(micros), 0) FROM batch_lines "
            "WHERE batch_id = $1 AND part = $2 AND state = 0"
        )
        rows = await self._tables.read(query, batch_id, part)
        return int(rows[0][0]), int(rows[0][1])

    async def counts(self, batch_id: str) -> Counts:
        query = "SELECT state, count(*) FROM batch_lines WHERE batch_id = $1 GROUP BY state"
        by = {int(row[0]): int(row[1]) for row in await self._tables.read(query, batch_id)}
        return Counts(sum(by.values()), by.get(_STATES["answered"], 0), by.get(_STATES["refused"], 0))

    async def close(self) -> None:
        await self._tables.close()

    async def _at(self, table: str, owner: str, page: Page) -> str | None:
        """Where in `table` a page is, None where there is no such place."""
        order, sign = ("DESC", "<") if page.newest_first else ("ASC", ">")
        if not page.after:
            return f"seq > 0 ORDER BY seq {order}"
        rows = await self._tables.read(f"SELECT seq FROM {table} WHERE id = $1 AND owner = $2", page.after, owner)
        return f"seq {sign} {int(rows[0][0])} ORDER BY seq {order}" if rows else None


def _file(row: Row) -> StoredFile:
    return msgspec.convert(dict(zip(StoredFile.__struct_fields__, row, strict=True)), StoredFile)


def _line(row: Row) -> Line:
    n, part, tokens, micros, data = row
    return Line(n=int(n), part=int(part), tokens=int(tokens), micros=int(micros), data=_bytes(data))


def _batch(row: Row) -> Batch:
    """The columns know of a cancel that the body does not."""
    batch = _decode(_bytes(row[0]))
    status = msgspec.convert(row[1], Status)
    return msgspec.structs.replace(batch, status=status, cancelling_s=int(row[2]) or None)


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
