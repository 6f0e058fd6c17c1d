"""The endpoints of batches. They only write down what is wanted; `runner` does it."""

import secrets
from collections.abc import Callable
from typing import Annotated

import msgspec

from hoosh.core.batch import OPEN, Batch, Counts, LineProblem
from hoosh.core.errors import BadRequest, NotFound
from hoosh.http.batches.lines import ENDPOINTS
from hoosh.http.exchange import Exchange
from hoosh.http.files import unknown_file
from hoosh.http.paging import further, listed, page_asked
from hoosh.http.request import WISHES, Limits, check_json
from hoosh.policy.key_terms import seconds
from hoosh.ports import Batches as Store
from hoosh.ports import Clock, Files

LIMITS = Limits(body_limit_bytes=64 << 10)
MAX_PAGE, USUAL_PAGE = 100, 20
SHORTEST_S, LONGEST_S = 60, 14 * 86_400
Word = Annotated[str, msgspec.Meta(max_length=512)]


class UnknownBatch(NotFound):
    kind = "invalid_request_error"


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    input_file_id: Word
    endpoint: Word
    completion_window: Word = "24h"
    metadata: Annotated[dict[Word, Word], msgspec.Meta(max_length=16)] | None = None


_wanted = msgspec.json.Decoder(_Wanted)


class Batches:
    """`wake` tells who runs batches that there is something to do."""

    def __init__(self, store: Store, files: Files, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._wake = wake

    async def create(self, exchange: Exchange) -> None:
        check_json(exchange.headers)
        wanted = _read(await exchange.body(LIMITS))
        owner, now_s = exchange.principal.key_id, self._clock.unix_s()
        file = await self._files.file(owner, wanted.input_file_id.replace("\0", ""), now_s)
        if file is None:
            raise unknown_file(wanted.input_file_id, "input_file_id")
        if file.purpose != "batch":
            raise BadRequest(f'input_file_id: a file of purpose "{file.purpose}"', param="input_file_id")
        window_s = seconds(wanted.completion_window, "completion_window")
        if not SHORTEST_S <= window_s <= LONGEST_S:
            raise BadRequest('completion_window: expected from "1m" to "14d"', param="completion_window")
        batch = Batch(
            id=f"batch_{secrets.token_hex(16)}",
            owner=owner,
            endpoint=wanted.endpoint,
            input_file_id=file.id,
            window=wanted.completion_window,
            created_s=now_s,
            expires_s=now_s + window_s,
            metadata=wanted.metadata,
            headers={
                name.decode(): exchange.headers[name].decode("latin-1") for name in WISHES & exchange.headers.keys()
            },
        )
        await self._store.put(batch)
        self._wake()
        await exchange.answer(shown(batch, Counts()))

    async def index(self, exchange: Exchange) -> None:
        page = page_asked(exchange.query, MAX_PAGE, USUAL_PAGE)
        found = await self._store.batches(exchange.principal.key_id, further(page))
        rows = None if found is None else [shown(batch, await self._counts(batch)) for batch in found]
        await exchange.answer(listed(rows, page))

    async def show(self, exchange: Exchange) -> None:
        batch = await self._find(exchange, exchange.tail)
        await exchange.answer(shown(batch, await self._counts(batch)))

    async def cancel(self, exchange: Exchange) -> None:
        identity, _, action = exchange.tail.partition("/")
        if action != "cancel":
            raise NotFound(f"no such path: /v1/batches/{exchange.tail[:256]}")
        batch = await self._find(exchange, identity)
        if not await self._store.cancel(batch.owner, batch.id, self._clock.unix_s()):
            batch = await self._find(exchange, identity)
            if batch.status != "cancelling":
                raise BadRequest(f"a batch that is {batch.status} cannot be cancelled", param="batch_id")
        self._wake()
        batch = await self._find(exchange, identity)
        await exchange.answer(shown(batch, await self._counts(batch)))

    async def _find(self, exchange: Exchange, identity: str) -> Batch:
        batch = await self._store.batch(exchange.principal.key_id, identity[:128].replace("\0", ""))
        if batch is None:
            raise UnknownBatch(f"No such Batch object: {identity[:128]}", param="batch_id")
        return batch

    async def _counts(self, batch: Batch) -> Counts:
        if batch.status in OPEN:
            return await self._store.counts(batch.id)
        return Counts(batch.total, batch.completed, batch.failed)


def shown(batch: Batch, counts: Counts) -> dict[str, object]:
    errors = {"object": "list", "data": [_problem(problem) for problem in batch.problems]}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": errors if batch.problems else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.window,
        "status": batch.status,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_s,
        "in_progress_at": batch.in_progress_s,
        "expires_at": batch.expires_s,
        "finalizing_at": batch.finalizing_s,
        "completed_at": batch.completed_s,
        "failed_at": batch.failed_s,
        "expired_at": batch.expired_s,
        "cancelling_at": batch.cancelling_s,
        "cancelled_at": batch.cancelled_s,
        "request_counts": {"total": counts.total, "completed": counts.completed, "failed": counts.failed},
        "metadata": batch.metadata,
    }


def _problem(problem: LineProblem) -> dict[str, object]:
    return {"code": problem.code, "line": problem.line, "message": problem.message, "param": problem.param}


def _read(body: bytes) -> _Wanted:
    """Raises BadRequest."""
    try:
        wanted = _wanted.decode(body)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        name = place.split("`")[0].split("[")[0] or (text.split("`")[1] if "`" in text else "")
        raise BadRequest(f"{name}: {text}" if name else text, param=name or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}", param="body") from None
    if wanted.endpoint not in ENDPOINTS:
        raise BadRequest(f"endpoint: expected one of {', '.join(ENDPOINTS)}", param="endpoint")
    return wanted
