"""Newline-delimited JSON."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.codecs import Frame, FrameTooLarge
from hoosh.codecs.ndjson import NDJSONDecoder


def frames(*pieces: bytes, max_frame: int = 1 << 20) -> list[Frame]:
    decoder = NDJSONDecoder(max_frame)
    return [frame for piece in pieces for frame in decoder.feed(piece)] + decoder.eof()


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n \n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":"\r"}\n', [b'{"a":"\r"}']),
        ('{"a":"\u2028"}\n'.encode(), ['{"a":"\u2028"}'.encode()]),
        (b"", []),
    ],
)
def test_what_a_stream_holds(stream: bytes, wanted: list[bytes]) -> None:
    assert [frame.data for frame in frames(stream)] == wanted
    assert [frame.data for frame in frames(*(stream[i : i + 1] for i in range(len(stream))))] == wanted


def test_raw_is_the_line_with_its_end() -> None:
    assert [frame.raw for frame in frames(b'{"a":1}\r\n{"b":2}')] == [b'{"a":1}\r\n', b'{"b":2}']


def test_the_limit_holds_however_a_line_comes() -> None:
    line = b'{"a":123456}\n'
    for split in range(len(line) + 1):
        assert len(frames(line[:split], line[split:], max_frame=len(line))) == 1
        with pytest.raises(FrameTooLarge, match="more than 12 bytes"):
            frames(line[:split], line[split:], max_frame=len(line) - 1)


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"{}", b'{"a":1}', b"", b" ", b"x\r"])), st.lists(st.integers(0, 60)))
def test_any_split_gives_the_same_lines(lines: list[bytes], cuts: list[int]) -> None:
    stream = b"\n".join(lines)
    at = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    read = frames(*(stream[a:b] for a, b in itertools.pairwise(at)))
    assert [frame.data for frame in read] == [line.rstrip(b"\r") for line in lines if line.strip()]
