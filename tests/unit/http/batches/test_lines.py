"""What a line of a batch's file says, what of it is wrong, and what becomes of it."""

import json
from typing import Any

import pytest

from hoosh.core.batch import LineProblem
from hoosh.http.batches.lines import Asked, answered, asked_of, kept, read_line, unasked

URL = "/v1/chat/completions"
GOOD = {"custom_id": "a", "method": "POST", "url": URL, "body": {"model": "m", "n": 1.0}}


def read(line: bytes, seen: set[str] | None = None) -> Asked | LineProblem:
    return read_line(line, 3, URL, set() if seen is None else seen)


def changed(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**GOOD, **changes}.items() if value is not ...}).encode()


def test_a_good_line_is_kept_to_the_letter() -> None:
    seen: set[str] = set()
    found = read(changed(extra=1), seen)
    assert found == Asked("a", b'{"model": "m", "n": 1.0}')
    assert seen == {"a"}
    assert isinstance(found, Asked)
    assert asked_of(kept(found)) == found


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"", "invalid_json_line", None),
        (b"{", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b"\xff", "invalid_json_line", None),
        (changed() + b"x", "invalid_json_line", None),
        (changed(custom_id=...), "invalid_custom_id", "custom_id"),
        (changed(custom_id=""), "invalid_custom_id", "custom_id"),
        (changed(custom_id=7), "invalid_custom_id", "custom_id"),
        (changed(custom_id="x" * 513), "invalid_custom_id", "custom_id"),
        (changed(custom_id="known"), "duplicate_custom_id", "custom_id"),
        (changed(method=...), "invalid_method", "method"),
        (changed(method="post"), "invalid_method", "method"),
        (changed(url=...), "invalid_url", "url"),
        (changed(url="/v1/embeddings"), "invalid_url", "url"),
        (changed(body=...), "invalid_body", "body"),
        (changed(body="{}"), "invalid_body", "body"),
        (changed(body=None), "invalid_body", "body"),
        (changed(body={"stream": True}), "invalid_body", "body.stream"),
        (changed(body={"stream": 1}), "invalid_body", "body.stream"),
        (changed(body={"background": True}), "invalid_body", "body.background"),
    ],
)
def test_what_is_wrong_is_named(line: bytes, code: str, param: str | None) -> None:
    found = read(line, {"known"})
    assert isinstance(found, LineProblem)
    assert (found.code, found.param, found.line) == (code, param, 3)
    assert found.message


@pytest.mark.parametrize("value", [False, None])
def test_what_is_not_wanted_may_be_said(value: bool | None) -> None:
    assert isinstance(read(changed(body={"stream": value, "background": value})), Asked)


def test_an_answer_is_one_line_and_not_changed() -> None:
    body = b'{\n  "a": 1.0,\n  "b": 12345678901234567890123\n}'
    line = answered("i", Asked("c", b"{}"), 200, "r", body)
    assert b"\n" not in line
    assert b'{"a":1.0,"b":12345678901234567890123}' in line
    told = json.loads(line)
    assert (told["id"], told["custom_id"], told["error"]) == ("i", "c", None)
    assert (told["response"]["status_code"], told["response"]["request_id"]) == (200, "r")


def test_an_answer_that_is_no_json_is_a_text() -> None:
    line = answered("i", Asked("c", b"{}"), 500, "r", b"<html>\n\xff")
    assert json.loads(line)["response"]["body"] == "<html>\n\ufffd"


def test_what_was_not_asked_says_why() -> None:
    told = json.loads(unasked("i", Asked("c", b"{}"), "batch_expired", "too late"))
    assert told["error"] == {"code": "batch_expired", "message": "too late"}
    assert (told["custom_id"], told["response"]) == ("c", None)
