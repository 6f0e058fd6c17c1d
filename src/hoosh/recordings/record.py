"""One exchange with a provider: one line of JSON in a recording.

Bodies stand as what they are (JSON, text) where they can, so that a recording can be read, searched and edited, and
as base64 where they cannot. A line needs only `id`, `provider`, `url_path` and `status`; keys not named here are
ignored, so that recordings of other tools which use these names can be played too.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Literal

import msgspec

from hoosh.core.errors import ConfigError

# How the exchange went: `truncated` ended before its time, `failed` gave no reply at all; those two are the provider's
# doing and are played as they were. `aborted`: the gateway left, because its client did or it had read enough.
End = Literal["complete", "truncated", "failed", "aborted"]


NULL = msgspec.Raw(b"null")  # a union with Raw cannot be decoded


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`url_path` is the whole path with its query, `base_url` the part of the URL that the configuration names,
    `status` 0 where no reply began.

    `pieces` are the parts of the reply's body as they came: microseconds since the part before, size in bytes.
    `cut`: the reply's body was longer than what is kept of it. `error` says why an exchange ended as it did.
    """

    id: str
    provider: str
    url_path: str
    status: int
    method: str = "POST"
    time_ms: int = 0
    base_url: str = ""
    host: str = ""
    request_headers: dict[str, str] = {}
    request_body: msgspec.Raw = NULL
    request_body_base64: str | None = None
    request_unknown: bool = False
    response_headers: dict[str, str] = {}
    response_body: str | None = None
    response_body_base64: str | None = None
    stream: bool = False
    pieces: tuple[tuple[int, int], ...] = ()
    end: End = "complete"
    cut: bool = False
    error: str = ""

    @property
    def request(self) -> bytes:
        if self.request_body_base64 is not None:
            return base64.b64decode(self.request_body_base64)
        body = bytes(self.request_body)
        return b"" if body == b"null" else body

    @property
    def response(self) -> bytes:
        if self.response_body_base64 is not None:
            return base64.b64decode(self.response_body_base64)
        return (self.response_body or "").encode()

    @property
    def is_whole(self) -> bool:
        """All that the provider had to say is in it."""
        return self.end != "aborted" and not self.cut


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def to_line(record: Record) -> bytes:
    return _encode(record) + b"\n"


def from_line(line: bytes) -> Record:
    """Raises: ValueError, with a text that says what is wrong."""
    try:
        record = _decode(line)
        _ = record.request, record.response  # base64 is checked here and not in the middle of a reply
    except (msgspec.DecodeError, binascii.Error, RecursionError) as error:
        raise ValueError(str(error)) from None
    has_none = record.status == 0 and record.end in ("failed", "aborted")
    if not has_none and not 200 <= record.status < 600:
        raise ValueError(f"status {record.status} is none of a whole reply")
    return record


def read_lines(name: str, lines: Iterable[bytes]) -> list[Record]:
    """The records of the file `name`; blank lines are passed over. Raises: ConfigError, with file and line."""
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(from_line(line))
        except ValueError as error:
            raise ConfigError(f"{name}:{number}: not a recorded exchange: {error}") from None
    if not records:
        raise ConfigError(f"{name}: no exchange is recorded here")
    return records


def json_or_none(data: bytes) -> msgspec.Raw | None:
    """The same bytes, if they are one JSON value; without their line breaks, which would end a record's line."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return msgspec.Raw(msgspec.json.format(data, indent=-1) if b"\n" in data else data)


def text_or_none(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()
