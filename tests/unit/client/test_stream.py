"""Pieces of a streamed answer, whatever the split of its bytes and the habits of its server."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.client.errors import APIStreamError
from hoosh.client.stream import PieceReader
from hoosh.client.types import Piece, ToolCall


def chunk(**delta: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta}]}, ensure_ascii=False).encode()


DONE = b"data: [DONE]\n\n"
LIVELY = b"".join(
    (
        b": ping\n\n",
        chunk(content="سلام\u2028\r"),
        chunk(content=None, reasoning="so"),
        b'data:{"choices":[{"index":0,"delta":null}]}\r\n\r\n',
        b'data: {"choices":[{"index":1,"delta":{"content":"other"}}]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n',
        DONE,
    )
)


def read(*pieces: bytes) -> tuple[PieceReader, list[Piece]]:
    reader = PieceReader("r")
    return reader, [piece for data in pieces for piece in reader.feed(data)]


@given(st.sets(st.integers(1, len(LIVELY) - 1), max_size=12))
def test_any_split_gives_the_same_pieces(cuts: set[int]) -> None:
    at = [0, *sorted(cuts), len(LIVELY)]
    reader, pieces = read(*(LIVELY[a:b] for a, b in pairwise(at)))
    assert pieces == read(LIVELY)[1]
    assert reader.done
    assert reader.error is None
    assert reader.gathered.text == "سلام\u2028\r"
    assert reader.gathered.reasoning == "so"
    assert reader.gathered.usage is not None
    assert reader.gathered.usage.total_tokens == 3
    assert [piece.text for piece in pieces if piece.index == 1] == ["other"]


def test_calls_whose_later_parts_say_null() -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    later = {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": "{}"}}
    again = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": " "}}
    reader, pieces = read(*(chunk(tool_calls=[call]) for call in (first, later, again)))
    assert reader.gathered.tool_calls == (ToolCall("a", "f", "{} "),)
    assert pieces[1].tool_calls == (ToolCall("", "", "{}"),)
    function = {"name": "f", "arguments": "{} "}
    assert reader.gathered.turn["tool_calls"] == [{"id": "a", "type": "function", "function": function}]


def test_calls_without_an_index_are_calls_of_their_own() -> None:
    calls = [{"id": name, "function": {"name": "f", "arguments": "{}"}} for name in "ab"]
    reader, _ = read(*(chunk(tool_calls=[call]) for call in calls))
    assert [call.id for call in reader.gathered.tool_calls] == ["a", "b"]


def test_content_in_parts() -> None:
    reader, pieces = read(
        chunk(content=[{"type": "text", "text": "a"}]), chunk(content=[{"type": "text", "text": "b"}])
    )
    assert [piece.text for piece in pieces] == ["a", "b"]
    assert reader.gathered.text == "ab"


def test_details_of_reasoning_grow_and_keep_their_signature() -> None:
    first = {"index": 0, "type": "reasoning.text", "text": "so ", "format": "x"}
    last = {"index": 0, "type": "reasoning.text", "text": "it is", "signature": "s"}
    reader, _ = read(chunk(reasoning_details=[first]), chunk(reasoning_details=[last]))
    whole = {"index": 0, "type": "reasoning.text", "text": "so it is", "format": "x", "signature": "s"}
    assert reader.gathered.turn["reasoning_details"] == [whole]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (b'data: {"error":{"message":"gone","code":7}}\n\n', "gone"),
        (b'data: {"error":"gone"}\n\n', "gone"),
        (b'event: error\ndata: {"detail":"x"}\n\n', "without a message"),
        (b"data: <html>\n\n", "not what it should be"),
        (b"data: \xff\n\n", "not what it should be"),
        (b'data: {"choices":7}\n\n', "not what it should be"),
        (b'data: {"choices":[{"delta":{"tool_calls":[7]}}]}\n\n', "not what it should be"),
    ],
)
def test_an_error_ends_it_and_what_came_before_is_good(told: bytes, message: str) -> None:
    reader, pieces = read(chunk(content="a") + told + chunk(content="b") + DONE)
    assert [piece.text for piece in pieces] == ["a"]
    assert isinstance(reader.error, APIStreamError)
    assert message in reader.error.message
    assert reader.error.request_id == "r"
    assert not reader.done
    assert reader.gathered.text == "a"


def test_nothing_comes_after_the_terminator() -> None:
    reader, pieces = read(chunk(content="a") + DONE + chunk(content="b"), chunk(content="c"))
    assert [piece.text for piece in pieces] == ["a"]
    assert reader.done
