import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.core.errors import BadRequest
from hoosh.recordings.record import Record
from hoosh.recordings.script import Chunk, Fault, Play, parse_play, perform

SSE = "data: one\n\ndata: two\n\n: ping\n\ndata: [DONE]\n\n"


def record(body: str = SSE, **more: object) -> Record:
    values: dict[str, object] = {
        "response_headers": {"Content-Type": "text/event-stream", "transfer-encoding": "chunked"},
        "stream": True,
        "status": 200,
        **more,
    }
    return Record(id="a", provider="p", url_path="/x", response_body=body, **values)  # type: ignore[arg-type]


def pieces(one: Record, play: Play) -> list[bytes]:
    return [data for _, data in perform(one, play).pieces]


@pytest.mark.parametrize("chunk", ["recorded", "event", "byte", "random", "whole"])
def test_every_chunking_gives_the_body(chunk: Chunk) -> None:
    for body in (SSE, "", "{}\n{}\n", "no end"):
        assert b"".join(pieces(record(body), Play(chunk=chunk))) == body.encode()


def test_what_each_chunking_is() -> None:
    assert pieces(record(), Play(chunk="event")) == [
        b"data: one\n\n",
        b"data: two\n\n",
        b": ping\n\n",
        b"data: [DONE]\n\n",
    ]
    assert pieces(record("{}\n{}\n"), Play(chunk="event")) == [b"{}\n", b"{}\n"]
    assert pieces(record("a\r\n\r\nb\r\n\r\n"), Play(chunk="event")) == [b"a\r\n\r\n", b"b\r\n\r\n"]
    assert pieces(record("abc"), Play(chunk="byte")) == [b"a", b"b", b"c"]
    assert pieces(record("abcdef", pieces=((0, 4), (5, 2))), Play()) == [b"abcd", b"ef"]


@pytest.mark.parametrize("told", [(), ((0, 4),), ((0, 7),), ((0, 6), (0, 0))])
def test_pieces_that_do_not_fit_are_not_believed(told: tuple[tuple[int, int], ...]) -> None:
    assert pieces(record("ab\ncd\n", pieces=told), Play()) == [b"ab\n", b"cd\n"]
    assert pieces(record("ab\ncd\n", pieces=told, stream=False), Play()) == [b"ab\ncd\n"]


def test_the_same_seed_cuts_the_same_and_another_does_not() -> None:
    one = record("x" * 2000)
    assert pieces(one, Play(chunk="random", seed=3)) == pieces(one, Play(chunk="random", seed=3))
    assert pieces(one, Play(chunk="random", seed=3)) != pieces(one, Play(chunk="random", seed=4))
    # What fails today must fail with every version of Python.
    assert [len(data) for data in pieces(one, Play(chunk="random", seed=3))][:4] == [54, 61, 9, 67]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    chunk=st.sampled_from(["recorded", "byte", "random", "whole", "event"]),
)
def test_no_byte_is_early_and_no_time_is_lost(sizes: list[int], chunk: Chunk) -> None:
    one = record("x" * sum(sizes), pieces=tuple((1_000_000, size) for size in sizes))
    script = perform(one, Play(chunk=chunk, pace="recorded"))
    assert sum(wait_s for wait_s, _ in script.pieces) == len(sizes)
    at = came_s = 0.0
    for wait_s, data in script.pieces:
        came_s += wait_s
        at += len(data)
        due = next(n for n in range(len(sizes) + 1) if sum(sizes[:n]) >= at)
        assert came_s >= due
    assert all(wait_s == 0 for wait_s, _ in perform(one, Play(chunk=chunk)).pieces)


def test_headers_are_the_records_but_for_the_framing() -> None:
    script = perform(
        record(response_headers={"X-Request-Id": "7", "Content-Length": "1", "bad name": "x", "split": "a\r\nb: c"}),
        Play(),
    )
    assert script.headers == ((b"x-request-id", b"7"), (b"split", b"a b: c"), (b"content-type", b"application/json"))


def test_a_reply_that_is_not_streamed_has_a_length() -> None:
    assert perform(record("{}", stream=False), Play()).length == 2
    assert perform(record("{}", stream=False), Play(chunk="byte")).length is None
    assert perform(record(), Play()).length is None


def test_a_reply_that_broke_off_breaks_off() -> None:
    for one in (record(end="truncated"), record(end="aborted"), record(cut=True)):
        script = perform(one, Play())
        assert script.stop == "cut"
        assert b"".join(data for _, data in script.pieces) == SSE.encode()


def test_no_reply_is_none() -> None:
    script = perform(record("", status=0, end="failed"), Play())
    assert (script.status, script.stop, script.pieces) == (0, "reset", ())


@pytest.mark.parametrize("kind", ["cut", "stall", "reset"])
def test_a_fault_in_the_middle_and_before_the_head(kind: str) -> None:
    script = perform(record(), parse_play(f"{kind}=15", Play()))
    assert (script.status, script.stop) == (200, kind)
    assert b"".join(data for _, data in script.pieces) == SSE.encode()[:15]
    script = perform(record(), parse_play(kind, Play()))
    assert (script.status, script.stop, script.pieces) == (0, kind, ())


def test_a_fault_beyond_the_end_still_keeps_the_end_back() -> None:
    script = perform(record(), parse_play("cut=99999", Play()))
    assert (script.stop, b"".join(data for _, data in script.pieces)) == ("cut", SSE.encode())


def test_a_status_takes_the_place_of_the_reply() -> None:
    script = perform(record(), parse_play("status=429,retry-after=7", Play()))
    assert (script.status, script.stop) == (429, "end")
    assert dict(script.headers)[b"retry-after"] == b"7"
    body = b"".join(data for _, data in script.pieces)
    assert script.length == len(body)
    assert json.loads(body)["error"]["type"] == "rate_limit_error"


def test_options_add_to_what_was_said_before() -> None:
    start = Play(chunk="byte", fault=Fault(kind="cut", at_bytes=1))
    assert parse_play("", start) == start
    play = parse_play("chunk=event,pace=recorded,seed=4,id=a-1,first=2,stall=0", start)
    assert play == Play(
        chunk="event", pace="recorded", seed=4, record_id="a-1", first=2, fault=Fault(kind="stall", at_bytes=0)
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "no such replay option: 'nonsense'; known: cut"),
        ("cut=x", "cut: expected a whole number"),
        ("cut=", "cut: expected a whole number"),
        ("cut=-1", "cut: expected a whole number"),
        ("cut=1,stall=2", "cut and stall: one fault at a time"),
        ("status=200", "status: expected an error"),
        ("status", "status: expected a whole number"),
        ("retry-after=1", "retry-after goes with status"),
        ("chunk=word", "chunk: expected one of recorded, event"),
        ("pace=fast", "pace: expected one of instant, recorded"),
    ],
)
def test_a_wrong_option_is_named(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why) as raised:
        parse_play(text, Play())
    assert raised.value.param == text.rsplit(",", maxsplit=1)[-1].split("=", maxsplit=1)[0]
