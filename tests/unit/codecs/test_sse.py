"""Event streams: literal cases of the standard, and any stream against a naive reading of it."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.codecs import Frame, FrameTooLarge
from hoosh.codecs.sse import SSEDecoder


def frames(*pieces: bytes, max_frame: int = 1 << 20) -> list[Frame]:
    decoder = SSEDecoder(max_frame)
    return [frame for piece in pieces for frame in decoder.feed(piece)] + decoder.eof()


def data(*pieces: bytes) -> list[bytes]:
    return [frame.data for frame in frames(*pieces)]


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data: a\n\ndata: b\n\ndata: [DONE]\n\n", [b"a", b"b", b"[DONE]"]),
        (b"data: a\r\n\r\n", [b"a"]),
        (b"data: a\r\r", [b"a"]),
        (b"data: a\r\n\n", [b"a"]),
        (b"data: a\rdata: b\n\n", [b"a\nb"]),
        (b"data: a\r\n\rdata: b\n\r\n", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"data:\n\n", [b""]),
        (b"data: \n\n", [b""]),
        (b": a comment\n\ndata: a\n\n", [b"a"]),
        (b":\ndata: a\n:\n\n", [b"a"]),
        (b"id: 7\nretry: 9\nnonsense\ndata: a\n\n", [b"a"]),
        (b"event: ping\n\ndata: a\n\n", [b"a"]),
        (b"\n\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        (b"data: cut", []),
        (b"data: cut\n", []),
        (b"", []),
        ("data: \u2028\u0085\x0c\x0b\x1c\n\n".encode(), ["\u2028\u0085\x0c\x0b\x1c".encode()]),
    ],
)
def test_what_a_stream_holds(stream: bytes, wanted: list[bytes]) -> None:
    assert data(stream) == wanted
    assert data(*(stream[i : i + 1] for i in range(len(stream)))) == wanted


def test_the_event_name_belongs_to_one_frame() -> None:
    read = frames(b"event: error\ndata: a\n\ndata: b\n\nevent: x\n\ndata: c\n\n")
    assert [(frame.event, frame.data) for frame in read] == [(b"error", b"a"), (b"", b"b"), (b"", b"c")]


def test_raw_is_every_byte_of_the_stream() -> None:
    stream = b": wait\n\nevent: x\r\ndata: a\r\n\r\n\ndata: b\n\n: more\ndata: c\n\n"
    read = frames(stream)
    assert b"".join(frame.raw for frame in read) == stream
    assert [frame.raw for frame in read] == [
        b": wait\n\nevent: x\r\ndata: a\r\n\r\n",
        b"\ndata: b\n\n",
        b": more\ndata: c\n\n",
    ]


def test_a_lone_cr_at_the_end_of_a_piece_may_be_half_of_a_crlf() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n\r") == []
    assert decoder.feed(b"\ndata: b\n\n") == [Frame(b"a", b"data: a\r\n\r\n"), Frame(b"b", b"data: b\n\n")]


@pytest.mark.parametrize("comment", [b"", b": c\n"])
def test_a_frame_may_be_as_large_as_the_limit(comment: bytes) -> None:
    whole = comment + b"data: 0123456789\n\n"
    for split in range(len(whole) + 1):
        assert len(frames(whole[:split], whole[split:], max_frame=len(whole))) == 1


@pytest.mark.parametrize("comment", [b"", b": c\n"])
def test_a_frame_beyond_the_limit_is_refused_however_it_comes(comment: bytes) -> None:
    whole = comment + b"data: 0123456789\n\n"
    for split in range(len(whole) + 1):
        with pytest.raises(FrameTooLarge, match="more than"):
            frames(whole[:split], whole[split:], max_frame=len(whole) - 1)


def test_a_frame_that_never_ends_is_refused() -> None:
    decoder = SSEDecoder(100)
    for _ in range(100):
        decoder.feed(b"x")
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"x")


def naive(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The standard's algorithm, all at once: lines first, then fields."""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    read: list[tuple[bytes, bytes]] = []
    said: list[bytes] = []
    event = b""
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if said:
                read.append((event, b"\n".join(said)))
            said, event = [], b""
        elif name == b"data":
            said.append(value)
        elif name == b"event":
            event = value
    return read


LINES = st.lists(
    st.tuples(
        st.sampled_from([b"data:", b"data: ", b"data", b"event: e", b": c", b"id: 1", b"", b"", b"x", b"\xef\xbb\xbf"]),
        st.binary(max_size=4).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b"")),
        st.sampled_from([b"\n", b"\r", b"\r\n"]),
    ),
    max_size=14,
).map(lambda lines: b"".join(name + (value if name else b"") + end for name, value, end in lines))


@settings(deadline=None)
@given(LINES, st.lists(st.integers(0, 80), max_size=6))
def test_any_split_reads_as_the_standard_does(stream: bytes, cuts: list[int]) -> None:
    at = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    read = frames(*(stream[a:b] for a, b in itertools.pairwise(at)))
    assert [(frame.event, frame.data) for frame in read] == naive(stream)
    assert stream.startswith(b"".join(frame.raw for frame in read))
    assert read == frames(stream)
