"""Events or one body, by what comes first."""

import pytest

from hoosh.codecs import Frame
from hoosh.codecs.sniff import EventsOrWhole


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b": wait\n\ndata: a\n\n", [b"a"]),
        (b"event: error\ndata: a\n\n", [b"a"]),
        (b"id: 1\nretry: 5\ndata: a\n\n", [b"a"]),
        (b"retry: 5\n\ndata: a\n\n", [b"a"]),
        (b"\n\r\n data: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b'\xef\xbb\xbf{"a":1}', [b'{"a":1}']),
        (b'\n\n  \n{"a":\n\n1}\n', [b'{"a":\n\n1}\n']),
        (b"[1]", [b"[1]"]),
        (b"<html>", [b"<html>"]),
        (b'data: {"a":1}\n\ndata: {"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'data: {"a":1}\n\ndata: {"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'data: {"a":1}\n\ndata: {"b":{"c":2}', [b'{"a":1}']),
        (b'data: {"a":1}\n\ndata: 7', [b'{"a":1}']),
        (b"   \n", []),
        (b"\xef\xbb", []),
        (b"", []),
    ],
)
def test_what_comes_first_tells(stream: bytes, wanted: list[bytes]) -> None:
    for pieces in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
        splitter = EventsOrWhole()
        read = [frame for piece in pieces for frame in splitter.feed(piece)] + splitter.eof()
        assert [frame.data for frame in read] == wanted


def test_events_come_when_they_are_complete() -> None:
    splitter = EventsOrWhole()
    assert splitter.feed(b"data: a\n\n") == [Frame(b"a", b"data: a\n\n")]
    assert splitter.feed(b"data: b\n\n") == [Frame(b"b", b"data: b\n\n")]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_last_event_gets_its_blank_line(end: bytes) -> None:
    splitter = EventsOrWhole()
    splitter.feed(b'event: x\ndata: {"a":1}' + end)
    assert splitter.eof() == [Frame(b'{"a":1}', b'event: x\ndata: {"a":1}\n\n', b"x")]
