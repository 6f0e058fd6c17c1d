import base64
import json

import pytest

import wire_corpus
from hoosh.core.errors import ConfigError
from hoosh.recordings.record import NULL, Record, from_line, json_or_none, read_lines, to_line

LINE = b'{"id":"a","provider":"openai","url_path":"/v1/chat/completions","status":200}'


def test_a_line_and_back() -> None:
    record = Record(
        id="a",
        provider="openai",
        url_path="/v1/x?alt=sse",
        status=200,
        request_body=json_or_none(b'{"n": 1.50}') or NULL,
        response_body="data: \u2028\n\n",
        pieces=((12, 3), (0, 8)),
        end="truncated",
        error="Truncated",
    )
    line = to_line(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    again = from_line(line)
    assert again == record
    assert again.request == b'{"n": 1.50}'
    assert again.response == "data: \u2028\n\n".encode()


def test_a_body_of_several_lines_stays_on_its_line() -> None:
    body = b'{\r\n  "a": [1.50,\n"x\\ny"]}\n'
    record = Record(id="a", provider="p", url_path="/", status=200, request_body=json_or_none(body) or NULL)
    assert to_line(record).count(b"\n") == 1
    assert from_line(to_line(record)).request == b'{"a":[1.50,"x\\ny"]}'


def test_bytes_that_are_no_text_come_back() -> None:
    odd = base64.b64encode(b"\xff\0\n").decode()
    record = from_line(LINE[:-1] + f',"request_body_base64":"{odd}","response_body_base64":"{odd}"}}'.encode())
    assert record.request == record.response == b"\xff\0\n"


def test_a_line_needs_little_and_may_say_more() -> None:
    record = from_line(LINE[:-1] + b',"scenario":"tools","request_body":null,"response_body":null}')
    assert (record.method, record.request, record.response, record.end) == ("POST", b"", b"", "complete")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"id":"a","provider":"p","url_path":"/"}', "missing required field `status`"),
        (LINE.replace(b"200", b"99"), "status 99"),
        (LINE[:-1] + b',"end":"perhaps"}', r"'perhaps' - at `\$\.end`"),
        (LINE[:-1] + b',"response_body_base64":"a"}', "base64|padding|data characters"),
        (LINE[:-1] + b',"pieces":[[1]]}', "pieces"),
        (b"\xff", "malformed"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(line: bytes, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as raised:
        read_lines("traffic.jsonl", [LINE + b"\n", b"\n", line + b"\n"])
    assert raised.value.message.startswith("traffic.jsonl:3: not a recorded exchange: ")


def test_a_file_without_any_exchange_is_no_recording() -> None:
    with pytest.raises(ConfigError, match=r"empty\.jsonl: no exchange"):
        read_lines("empty.jsonl", [b"\n"])


@pytest.mark.parametrize(
    ("end", "cut", "whole"), [("truncated", False, True), ("aborted", False, False), ("complete", True, False)]
)
def test_whole_is_what_the_provider_had_to_say(end: str, cut: bool, whole: bool) -> None:
    line = {**json.loads(LINE), "end": end, "cut": cut}
    assert from_line(json.dumps(line).encode()).is_whole is whole


def test_the_recorded_corpus_can_be_read() -> None:
    for record in wire_corpus.records():
        read = from_line(json.dumps(record).encode())
        assert read.response.decode() == (record["response_body"] or "")
        assert json.loads(read.request or b"null") == record.get("request_body")
