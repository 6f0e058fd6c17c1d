"""`/v1/files`: what clients leave here for batches, and what batches leave for them.

A file's name on the client's side is kept to be shown; here it goes by an id that is made here.
"""

import secrets
from urllib.parse import urlsplit

import msgspec

from hoosh.core.batch import PIECE_BYTES, StoredFile
from hoosh.core.errors import BadRequest, Forbidden, HooshError, NotFound, Overloaded, TooLarge
from hoosh.http.batches.lines import NotAnObject, fields_of
from hoosh.http.exchange import Exchange
from hoosh.http.multipart import Form, read_form
from hoosh.http.paging import further, listed, page_asked
from hoosh.http.request import Limits
from hoosh.ports import Clock
from hoosh.ports import Files as Store

PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
MAX_PAGE = 10_000
# Each is in memory while it comes.
UPLOADS = 4
# The form around the file.
FORM_BYTES = 64 << 10
# OpenAI's own bounds of `expires_after` (its API reference, 2026-11).
SOONEST_S, LATEST_S = 3600, 2_592_000


class UnknownFile(NotFound):
    kind = "invalid_request_error"


class NoRoom(HooshError):
    status = 507
    kind = "invalid_request_error"
    code = "storage_full"


class FileRules(msgspec.Struct, frozen=True, kw_only=True):
    """`most_bytes` is what all files and batches may take, `line_bytes` the longest line of a batch."""

    file_bytes: int
    line_bytes: int
    most_bytes: int
    keep_s: int


class Files:
    """The endpoints."""

    def __init__(self, store: Store, rules: FileRules, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._uploads = 0

    async def create(self, exchange: Exchange) -> None:
        check_same_site(exchange)
        if self._uploads >= UPLOADS:
            raise Overloaded(f"{UPLOADS} files are being taken in already", retry_after_s=1.0)
        self._uploads += 1
        try:
            body = await exchange.body(Limits(body_limit_bytes=self._rules.file_bytes + FORM_BYTES))
            form = read_form(exchange.headers.get(b"content-type", b""), body)
            await exchange.answer(shown(await self._keep(exchange.principal.key_id, form)))
        finally:
            self._uploads -= 1

    async def index(self, exchange: Exchange) -> None:
        page = page_asked(exchange.query, MAX_PAGE, MAX_PAGE)
        found = await self._store.files(exchange.principal.key_id, further(page), self._clock.unix_s())
        await exchange.answer(listed(None if found is None else [shown(file) for file in found], page))

    async def show(self, exchange: Exchange) -> None:
        identity, _, part = exchange.tail.partition("/")
        if part not in ("", "content"):
            raise NotFound(f"no such path: /v1/files/{exchange.tail[:256]}")
        file = await self._find(exchange, identity)
        if part:
            await self._send(exchange, file)
        else:
            await exchange.answer(shown(file))

    async def delete(self, exchange: Exchange) -> None:
        file = await self._find(exchange, exchange.tail)
        await self._store.drop_file(file.id)
        await exchange.answer({"id": file.id, "object": "file", "deleted": True})

    async def _keep(self, owner: str, form: Form) -> StoredFile:
        purpose, data = form.fields.get("purpose", ""), form.file
        if purpose not in PURPOSES:
            raise BadRequest(f"purpose: expected one of {', '.join(PURPOSES)}", param="purpose")
        if len(data) > self._rules.file_bytes:
            raise TooLarge(f"file: larger than {self._rules.file_bytes} bytes", param="file")
        now_s = self._clock.unix_s()
        file = StoredFile(
            id=f"file-{secrets.token_hex(16)}",
            owner=owner,
            name=form.name,
            purpose=purpose,
            size_bytes=len(data),
            created_s=now_s,
            expires_s=now_s + min(self._rules.keep_s, _expiry_s(form) or self._rules.keep_s),
        )
        if not await self._store.begin_file(file, self._rules.most_bytes):
            raise NoRoom(f"all files and batches may take {self._rules.most_bytes} bytes; delete some")
        checker = JSONLines(self._rules.line_bytes) if purpose == "batch" else None
        try:
            for n, at in enumerate(range(0, len(data), PIECE_BYTES)):
                piece = bytes(data[at : at + PIECE_BYTES])
                if checker is not None:
                    checker.feed(piece)
                await self._store.add_piece(file.id, n, piece)
            if checker is not None:
                checker.end()
            await self._store.end_file(file.id, file.size_bytes)
        except BaseException:
            await self._store.drop_file(file.id)
            raise
        return file

    async def _send(self, exchange: Exchange, file: StoredFile) -> None:
        """A piece of it in memory at a time."""
        wire, headers = exchange.wire, exchange.headed(b"application/octet-stream")
        piece = await self._store.piece(file.id, 0)
        if len(piece) == file.size_bytes:
            wire.whole(200, headers, piece)
            return
        wire.begin(200, headers, piece)
        n = 1
        while piece := await self._store.piece(file.id, n):
            wire.write(piece)
            if wire.is_slow:
                await wire.drained()
            n += 1
        wire.end(b"")

    async def _find(self, exchange: Exchange, identity: str) -> StoredFile:
        owner = exchange.principal.key_id
        file = await self._store.file(owner, identity[:128].replace("\0", ""), self._clock.unix_s())
        if file is None:
            raise unknown_file(identity)
        return file


class JSONLines:
    """Whether each line is a JSON object, seen in pieces. Raises BadRequest that names the line."""

    def __init__(self, line_bytes: int) -> None:
        self._line_bytes = line_bytes
        self._rest = b""
        self._line = 0

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._check(line)
        if len(self._rest) > self._line_bytes:
            raise BadRequest(f"file: line {self._line + 1} is longer than {self._line_bytes} bytes", param="file")

    def end(self) -> None:
        self._check(self._rest)

    def _check(self, line: bytes) -> None:
        self._line += 1
        if len(line) > self._line_bytes:
            raise BadRequest(f"file: line {self._line} is longer than {self._line_bytes} bytes", param="file")
        if line.strip():
            try:
                fields_of(line)
            except NotAnObject:
                raise BadRequest(f"file: line {self._line} is not a JSON object", param="file") from None


def unknown_file(identity: str, param: str = "id") -> UnknownFile:
    return UnknownFile(f"No such File object: {identity[:128]}", param=param)


def check_same_site(exchange: Exchange) -> None:
    """A page of elsewhere can post a form to this machine without asking anyone. Raises Forbidden."""
    origin = exchange.headers.get(b"origin")
    host = exchange.headers.get(b"host", b"").decode("latin-1")
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
        raise Forbidden("pages of another origin may not send files here")


def shown(file: StoredFile) -> dict[str, object]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": file.created_s,
        "expires_at": file.expires_s,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _expiry_s(form: Form) -> int | None:
    anchor = form.fields.get("expires_after[anchor]")
    seconds = form.fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise BadRequest('expires_after[anchor]: expected "created_at"', param="expires_after[anchor]")
    if seconds is None or not seconds.isdecimal() or len(seconds) > 9 or not SOONEST_S <= int(seconds) <= LATEST_S:
        told = f"expected a number from {SOONEST_S} to {LATEST_S}"
        raise BadRequest(f"expires_after[seconds]: {told}", param="expires_after[seconds]")
    return int(seconds)
