"""A form with one file (RFC 7578), sent as it is read: the file is never in memory as a whole."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import PurePath
from typing import BinaryIO

Source = str | os.PathLike[str] | bytes | BinaryIO

_KINDS = {
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".webm": "audio/webm",
}
# What a browser does to a name that would end its quotes or its line: WHATWG HTML, "multipart/form-data".
_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class Form:
    """`source`: a path, the bytes themselves, or an open binary file, which is read from where it stands."""

    def __init__(self, source: Source, part: str, filename: str | None, fields: Mapping[str, object]) -> None:
        self._source = source
        self._start: int | None = None
        if not isinstance(source, str | bytes | os.PathLike):
            self._start = source.tell() if source.seekable() else None
        boundary = os.urandom(16).hex()
        name = filename or _name(source)
        lines = [
            f'--{boundary}\r\ncontent-disposition: form-data; name="{key.translate(_QUOTED)}"\r\n\r\n{text}\r\n'
            for key, value in fields.items()
            for key, text in _texts(key, value)
        ]
        kind = _KINDS.get(PurePath(name).suffix.lower(), "application/octet-stream")
        disposition = f'name="{part.translate(_QUOTED)}"; filename="{name.translate(_QUOTED)}"'
        lines.append(f"--{boundary}\r\ncontent-disposition: form-data; {disposition}\r\ncontent-type: {kind}\r\n\r\n")
        self.head = "".join(lines).encode()
        self.tail = f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent a second time."""
        return isinstance(self._source, str | bytes | os.PathLike) or self._start is not None

    def length(self, file_bytes: int | None) -> int | None:
        return None if file_bytes is None else len(self.head) + file_bytes + len(self.tail)

    @contextmanager
    def opened(self) -> Iterator[tuple[BinaryIO, int | None]]:
        """The file and how many bytes of it are to come, None where it cannot tell. A path's file is closed at the
        end, the caller's own is not. Raises: OSError.
        """
        source = self._source
        if isinstance(source, bytes):
            yield BytesIO(source), len(source)
        elif isinstance(source, str | os.PathLike):
            with open(source, "rb") as file:  # noqa: PTH123 - a PathLike need not be a Path
                yield file, os.fstat(file.fileno()).st_size
        elif self._start is None:
            yield source, None
        else:
            size = source.seek(0, os.SEEK_END) - self._start
            source.seek(self._start)
            yield source, max(size, 0)


def _texts(key: str, value: object) -> Iterator[tuple[str, str]]:
    """A list is the part repeated under the name with brackets, as OpenAI's API takes it."""
    if value is None:
        return
    if isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield f"{key}[]", _text(item)
    else:
        yield key, _text(value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(source: Source) -> str:
    if isinstance(source, bytes):
        return "audio"
    if isinstance(source, str | os.PathLike):
        return PurePath(source).name
    name = getattr(source, "name", "")
    return PurePath(name).name if isinstance(name, str) and name else "audio"
