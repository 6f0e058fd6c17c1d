"""A form of one file and a few fields (RFC 7578), read from a body that is all there."""

import re
from collections.abc import Iterator, Mapping
from email.message import Message

import msgspec

from hoosh.core.errors import BadRequest, UnsupportedMedia

MAX_PARTS = 32
MAX_HEAD_BYTES = 8192
MAX_FIELD_BYTES = 4096
MAX_NAME_CHARS = 255
# What a browser writes for characters that would end a quoted name (WHATWG HTML, "multipart/form-data", 2026-11).
_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}
_ESCAPED = re.compile("|".join(_ESCAPES))


class Form(msgspec.Struct, frozen=True):
    """`name` is what the client calls the file."""

    fields: Mapping[str, str]
    name: str
    file: memoryview


def read_form(content_type: bytes, body: bytes) -> Form:
    """`file` is the file's part. Raises: BadRequest, UnsupportedMedia."""
    fields: dict[str, str] = {}
    found: tuple[str, memoryview] | None = None
    for name, filename, data in _parts(_boundary(content_type), body):
        if name == "file":
            if found is not None or filename is None:
                raise BadRequest("file: expected one file", param="file")
            found = (_plain(filename), data)
        elif len(data) > MAX_FIELD_BYTES:
            raise BadRequest(f"{name[:64]}: longer than {MAX_FIELD_BYTES} bytes", param=name[:64])
        else:
            fields[name] = bytes(data).decode("utf-8", "replace")
    if found is None:
        raise BadRequest("file: required", param="file")
    return Form(fields, *found)


def _boundary(content_type: bytes) -> bytes:
    head = Message()
    head["content-type"] = content_type.decode("latin-1").replace("\r", " ").replace("\n", " ")
    boundary = head.get_boundary()
    if head.get_content_type() != "multipart/form-data":
        raise UnsupportedMedia("send the file as content-type: multipart/form-data")
    if not boundary or len(boundary) > 200:
        raise BadRequest("the content-type has no boundary", param="body")
    return boundary.encode("latin-1", "replace")


def _parts(boundary: bytes, body: bytes) -> Iterator[tuple[str, str | None, memoryview]]:
    """Each part's name, its file's name if it has one, and its content."""
    line, view = b"--" + boundary, memoryview(body)
    at = 0 if body.startswith(line) else body.find(b"\r\n" + line) + 2
    if at == 1:
        raise BadRequest("the body is no form: its boundary is not there", param="body")
    for _ in range(MAX_PARTS):
        at += len(line)
        if body.startswith(b"--", at):
            return
        at = body.find(b"\r\n", at) + 2  # behind a boundary there may be spaces
        end = body.find(b"\r\n" + line, at - 2 if at > 1 else 0)
        split = body.find(b"\r\n\r\n", at - 2, at + MAX_HEAD_BYTES)
        if at == 1 or end < 0 or split < 0 or split + 4 > end + 2:
            raise BadRequest("the body is no form, or breaks off", param="body")
        yield *_names(body[at:split]), view[split + 4 : max(split + 4, end)]
        at = end + 2
    raise BadRequest(f"the form has more than {MAX_PARTS} parts", param="body")


def _names(head: bytes) -> tuple[str, str | None]:
    for row in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = row.partition(":")
        if key.strip().lower() == "content-disposition":
            told = Message()
            told["content-disposition"] = value.replace("\n", " ")
            name = told.get_param("name", header="content-disposition")
            if isinstance(name, str):
                return name, told.get_filename()
    raise BadRequest("a part of the form has no name", param="body")


def _plain(filename: str) -> str:
    """Without what would end a line, and of sane length; it is shown and nothing else."""
    told = _ESCAPED.sub(lambda found: _ESCAPES[found[0]], filename)
    return "".join(char if char.isprintable() else "\ufffd" for char in told)[:MAX_NAME_CHARS] or "file"
