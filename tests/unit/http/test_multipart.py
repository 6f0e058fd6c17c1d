"""Forms with one file, as OpenAI's SDK, curl and browsers write them, and as nobody should."""

from collections.abc import Mapping

import pytest

from hoosh.client.multipart import Form as Written
from hoosh.core.errors import BadRequest, UnsupportedMedia
from hoosh.http.multipart import MAX_PARTS, read_form

KIND = b"multipart/form-data; boundary=b"


def form(*parts: tuple[bytes, bytes], end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + end


def file(name: bytes = b"a.jsonl") -> bytes:
    return b'content-disposition: form-data; name="file"; filename="%b"' % name


@pytest.mark.parametrize("data", [b"", b"x", b"\r\n", b"--b", b"\r\n--", b"a\r\n\r\nb", b"\0\xff" * 9000])
@pytest.mark.parametrize("fields", [{}, {"purpose": "batch", "expires_after[seconds]": "3600"}])
def test_what_our_own_client_writes_is_read_back(data: bytes, fields: Mapping[str, str]) -> None:
    written = Written(data, "file", "سلام.jsonl", fields)
    with written.opened() as (source, _):
        body = written.head + source.read() + written.tail
    found = read_form(written.content_type.encode(), body)
    assert (dict(found.fields), found.name, bytes(found.file)) == (fields, "سلام.jsonl", data)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"../../etc/passwd", "../../etc/passwd"),
        (b"a%22b", 'a"b'),
        (b"a%0D%0Ab", "a\ufffd\ufffdb"),
        (b"a\tb\0", "a\ufffdb\ufffd"),
        (b"x" * 300, "x" * 255),
        (b"", "file"),
    ],
)
def test_a_name_is_only_shown(said: bytes, shown: str) -> None:
    assert read_form(KIND, form((file(said), b"{}"))).name == shown


@pytest.mark.parametrize(
    "kind", [KIND, b'Multipart/Form-Data; charset=utf-8; boundary="b"', b"multipart/form-data;boundary=b"]
)
def test_ways_to_say_the_boundary(kind: bytes) -> None:
    body = b"preamble\r\n" + form((b"CONTENT-DISPOSITION: form-data; name=purpose", b"batch"), (file(), b"1"))
    found = read_form(kind, body)
    assert (found.fields, bytes(found.file)) == ({"purpose": "batch"}, b"1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b--",
        b"--b\r\n",
        form(),
        form((file(), b"1"), end=b""),
        form((b"content-type: text/plain", b"1")),
        form((b'content-disposition: form-data; name="file"', b"no name of a file")),
        form((file(), b"1"), (file(), b"2")),
        form((b'content-disposition: form-data; name="x"', b"1" * 5000), (file(), b"1")),
        form(*[(b'content-disposition: form-data; name="x"', b"1")] * MAX_PARTS, (file(), b"1")),
        form((file(b"x" * 9000), b"1")),
        form((file(), b"1")).replace(b"\r\n\r\n", b"\r\n"),
        form((file(), b"1")).replace(b"--b", b"--c"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_form(KIND, body)


@pytest.mark.parametrize("kind", [b"", b"application/json", b"multipart/mixed; boundary=b", b"\xff"])
def test_another_type_is_refused(kind: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        read_form(kind, form((file(), b"1")))


def test_every_cut_of_a_form_is_refused_or_read() -> None:
    body = form((b'content-disposition: form-data; name="purpose"', b"batch"), (file(), b"{}"))
    whole = body.index(b"--b--") + len(b"--b--")
    for end in range(whole):
        with pytest.raises(BadRequest):
            read_form(KIND, body[:end])
    assert bytes(read_form(KIND, body[:whole]).file) == b"{}"
