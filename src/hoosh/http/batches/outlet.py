"""The files that a batch leaves: what was answered, and what was not."""

import msgspec

from hoosh.core.batch import BATCH_OUTPUT, PIECE_BYTES, Batch, LineState, StoredFile
from hoosh.http.batches.lines import asked_of, unasked
from hoosh.http.batches.work import Lost, Work

LINES_AT_ONCE = 50


async def close_waiting(batch: Batch, work: Work, code: str, message: str) -> bool:
    """What was not asked is not going to be; whether there was any. Raises: Lost, StoreFailed."""
    found = False
    while lines := await work.batches.lines(batch.id, "waiting", -1, LINES_AT_ONCE):
        found = True
        for line in lines:
            told = unasked(line_id(batch, line.n), asked_of(line.data), code, message)
            if not await work.batches.finish(batch.id, line, "unasked", told):
                raise Lost
    return found


async def write_files(batch: Batch, work: Work) -> Batch:
    """The batch with the files that its lines give; none where there are no lines for it."""
    name = batch.id.removeprefix("batch_")
    output = await _write(batch, work, f"file-{name}-output", ("answered",))
    errors = await _write(batch, work, f"file-{name}-error", ("refused", "unasked"))
    return msgspec.structs.replace(batch, output_file_id=output, error_file_id=errors)


def line_id(batch: Batch, n: int) -> str:
    return f"batch_req_{batch.id.removeprefix('batch_')}{n:x}"


async def _write(batch: Batch, work: Work, file_id: str, states: tuple[LineState, ...]) -> str | None:
    """Written anew where a process died over it."""
    now_s, files = work.clock.unix_s(), work.files
    await files.drop_file(file_id)
    file = StoredFile(
        id=file_id,
        owner=batch.owner,
        name=f"{file_id.removeprefix('file-')}.jsonl",
        purpose=BATCH_OUTPUT,
        size_bytes=0,
        created_s=now_s,
        expires_s=now_s + work.rules.keep_s,
    )
    n, size_bytes, gathered = 0, 0, bytearray()
    for state in states:
        after = -1
        while lines := await work.batches.lines(batch.id, state, after, LINES_AT_ONCE):
            if not size_bytes:
                await files.begin_file(file, None)
            for line in lines:
                gathered += line.data + b"\n"
                size_bytes += len(line.data) + 1
            after = lines[-1].n
            if len(gathered) >= PIECE_BYTES:
                await files.add_piece(file_id, n, bytes(gathered))
                gathered.clear()
                n += 1
    if not size_bytes:
        return None
    if gathered:
        await files.add_piece(file_id, n, bytes(gathered))
    await files.end_file(file_id, size_bytes)
    return file_id
