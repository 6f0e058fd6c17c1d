"""What a Messages reply means: literal bytes in, events and errors out."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import (
    BadUpstream,
    ContextTooLong,
    CredentialRefused,
    ModelGone,
    OutOfCredit,
    Overloaded,
    Refused,
    Throttled,
    Truncated,
    UpstreamError,
)
from hoosh.core.events import Event, Finish, Metered, Opened, Raw, Reasoning, Refusal, Text, ToolDelta, Usage
from hoosh.core.wire import WireRequest
from hoosh.dialects import PassingOn, Translating, Ways
from hoosh.dialects.anthropic_messages import DIALECT

START = b'{"type":"message_start","message":{"id":"msg_1","model":"claude-x","content":[],"usage":null}}'
OPENED = Opened("msg_1", "claude-x")
STOP = b'{"type":"message_stop"}'


def sse(*payloads: bytes) -> bytes:
    return b"".join(b"event: x\ndata: %b\n\n" % payload for payload in payloads)


def ending(reason: bytes) -> bytes:
    return b'{"type":"message_delta","delta":{"stop_reason":"%b"}}' % reason


def begin(index: int, block: bytes) -> bytes:
    return b'{"type":"content_block_start","index":%d,"content_block":%b}' % (index, block)


def piece(index: int, delta: bytes) -> bytes:
    return b'{"type":"content_block_delta","index":%d,"delta":%b}' % (index, delta)


def close(index: int) -> bytes:
    return b'{"type":"content_block_stop","index":%d}' % index


def decoder(*, stream: bool, content_type: bytes = b"") -> Translating:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    return Translating(DIALECT.splitter(asked, content_type), DIALECT.reader(asked, Ways()))


def streamed(*payloads: bytes) -> list[Event]:
    translating = decoder(stream=True, content_type=b"text/event-stream; charset=utf-8")
    return translating.feed(sse(START, *payloads)) + translating.eof()


def whole(body: bytes) -> list[Event]:
    translating = decoder(stream=False, content_type=b"application/json")
    return translating.feed(body) + translating.eof()


def test_a_stream_of_text() -> None:
    events = streamed(
        b'{"type": "ping"}',
        begin(0, b'{"type":"text","text":""}'),
        piece(0, '{"type":"text_delta","text":"Hé"}'.encode()),
        piece(0, b'{"type":"text_delta","text":"llo"}'),
        close(0),
        ending(b"end_turn"),
        STOP,
    )
    assert events == [OPENED, Text("Hé"), Text("llo"), Finish("stop")]


def test_several_text_blocks_follow_one_another_and_a_block_may_begin_with_text() -> None:
    events = streamed(
        begin(0, b'{"type":"text","text":"a"}'),
        piece(0, b'{"type":"text_delta","text":"b"}'),
        begin(1, b'{"type":"text","text":"c"}'),
        ending(b"end_turn"),
    )
    assert events == [OPENED, Text("a"), Text("b"), Text("c"), Finish("stop")]


def test_thinking_keeps_its_signature_and_what_is_redacted() -> None:
    events = streamed(
        begin(0, b'{"type":"thinking","thinking":"","signature":""}'),
        piece(0, b'{"type":"thinking_delta","thinking":"hm"}'),
        piece(0, b'{"type":"signature_delta","signature":"c2ln"}'),
        close(0),
        begin(1, b'{"type":"redacted_thinking","data":"eHg="}'),
        close(1),
        ending(b"end_turn"),
    )
    assert events == [OPENED, Reasoning("hm"), Reasoning(signature="c2ln"), Reasoning(redacted="eHg="), Finish("stop")]


def test_calls_are_counted_by_client_tools_and_a_call_without_arguments_ends_as_an_empty_object() -> None:
    events = streamed(
        begin(0, b'{"type":"text","text":"ok"}'),
        begin(1, b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}'),
        piece(1, b'{"type":"input_json_delta","partial_json":"{\\"q\\":1}"}'),
        close(1),
        begin(2, b'{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"text":7}],"text":[]}'),
        close(2),
        begin(3, b'{"type":"tool_use","id":"toolu_1","name":"f","input":{}}'),
        piece(3, b'{"type":"input_json_delta","partial_json":""}'),
        piece(3, b'{"type":"input_json_delta","partial_json":"{\\"a\\""}'),
        piece(3, b'{"type":"input_json_delta","partial_json":":1}"}'),
        close(3),
        begin(4, b'{"type":"tool_use","id":"toolu_2","name":"g","input":{}}'),
        piece(4, b'{"type":"input_json_delta","partial_json":""}'),
        close(4),
        ending(b"tool_use"),
        STOP,
    )
    assert events == [
        OPENED,
        Text("ok"),
        ToolDelta(0, "toolu_1", "f"),
        ToolDelta(0, arguments='{"a"'),
        ToolDelta(0, arguments=":1}"),
        ToolDelta(1, "toolu_2", "g"),
        ToolDelta(1, arguments="{}"),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize(
    ("given_input", "arguments"), [(b'"input":{"a":1}', '{"a":1}'), (b'"input":null', "{}"), (b'"z":0', "{}")]
)
def test_arguments_that_never_stream_are_said_at_the_end_even_of_a_block_that_is_never_closed(
    given_input: bytes, arguments: str
) -> None:
    events = streamed(begin(0, b'{"type":"tool_use","id":"toolu_1","name":"f",%b}' % given_input), ending(b"tool_use"))
    assert events == [
        OPENED,
        ToolDelta(0, "toolu_1", "f"),
        ToolDelta(0, arguments=arguments),
        Finish("tool_calls"),
    ]


def test_what_is_not_known_passes_and_means_nothing() -> None:
    events = streamed(
        b'{"type":"something_new","index":1,"delta":3}',
        begin(0, b'{"type":"new_block","text":{"odd":1}}'),
        piece(0, b'{"type":"new_delta","text":["odd"]}'),
        piece(0, b'{"type":"citations_delta","citation":{"text":1}}'),
        close(0),
        b'{"type":"message_delta","delta":{},"usage":null}',
        ending(b"end_turn"),
    )
    assert events == [OPENED, Finish("stop")]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        (b"end_turn", "stop"),
        (b"stop_sequence", "stop"),
        (b"pause_turn", "stop"),
        (b"max_tokens", "length"),
        (b"model_context_window_exceeded", "length"),
        (b"tool_use", "tool_calls"),
        (b"refusal", "content_filter"),
        (b"a_new_reason", "stop"),
    ],
)
def test_why_it_ended(reason: bytes, finish: str) -> None:
    assert [event.reason for event in streamed(ending(reason), STOP) if isinstance(event, Finish)] == [finish]


def test_a_refusal_without_any_block_tells_why() -> None:
    events = streamed(
        b'{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"explanation":"No."}}}', STOP
    )
    assert events == [OPENED, Refusal("No."), Finish("content_filter")]


def test_counts_are_cumulative_and_input_holds_all_that_was_read() -> None:
    translating = decoder(stream=True)
    translating.feed(
        sse(
            b'{"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":10,'
            b'"cache_creation_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":13,'
            b'"ephemeral_1h_input_tokens":7},"cache_read_input_tokens":30,"output_tokens":1}}}'
        )
    )
    events = translating.feed(
        sse(
            b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":null,'
            b'"cache_read_input_tokens":31,"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}}}'
        )
    )
    used = Usage(input=61, cached=31, cache_write=20, cache_write_1h=7, output=9, reasoning=4)
    assert events == [Metered(used), Finish("stop")]


def test_a_message_ends_once() -> None:
    assert streamed(ending(b"end_turn"), ending(b"max_tokens"), STOP) == [OPENED, Finish("stop")]


def test_the_blank_line_after_the_last_event_may_lack() -> None:
    translating = decoder(stream=True)
    events = translating.feed(sse(START, ending(b"end_turn")) + b"event: message_stop\ndata: " + STOP + b"\n")
    assert events + translating.eof() == [OPENED, Finish("stop")]


def test_a_whole_message() -> None:
    body = (
        b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":['
        b'{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"redacted_thinking","data":"eHg="},'
        b'{"type":"text","text":"hi"},{"type":"mcp_tool_use","id":5,"input":[]},'
        b'{"type":"tool_use","id":"toolu_1","name":"f","input":{"a": 1}}],'
        b'"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":4}}'
    )
    assert whole(body) == [
        OPENED,
        Reasoning("hm", "c2ln"),
        Reasoning(redacted="eHg="),
        Text("hi"),
        ToolDelta(0, "toolu_1", "f"),
        ToolDelta(0, arguments='{"a": 1}'),
        Metered(Usage(input=3, output=4)),
        Finish("tool_calls"),
    ]


def test_a_whole_message_where_a_stream_was_asked_for() -> None:
    translating = decoder(stream=True, content_type=b"application/json; charset=utf-8")
    body = b'{"type":"message","id":"i","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"}'
    assert translating.feed(body) + translating.eof() == [Opened("i", "m"), Text("hi"), Finish("stop")]


@pytest.mark.parametrize(
    "payloads",
    [
        (),
        (begin(0, b'{"type":"text","text":"a"}'), close(0)),
        (b'{"type":"message_delta","delta":{"stop_reason":null}}',),
    ],
)
def test_a_stream_that_does_not_say_why_it_ends_was_cut(payloads: Sequence[bytes]) -> None:
    with pytest.raises(Truncated):
        streamed(*payloads)


@pytest.mark.parametrize(
    "payload",
    [
        b"<html>",
        b"[1]",
        b"{}",
        b'{"choices":[]}',
        b'{"type":"content_block_delta"}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":1}}',
        b'{"type":"content_block_start","content_block":{"type":"tool_use","id":1}}',
        b'{"type":"content_block_start","content_block":{"no":"type"}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"\xff"}}',
        b'{"type":"error","error":null}',
        b'{"type":"message_start","message":' + b"[" * 100_000,
    ],
)
def test_bytes_that_are_not_the_dialect(payload: bytes) -> None:
    with pytest.raises(BadUpstream):
        streamed(payload)


def test_an_end_mark_of_another_dialect_costs_nothing() -> None:
    assert streamed(ending(b"end_turn"), b"[DONE]") == [OPENED, Finish("stop")]


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        (b"overloaded_error", Overloaded, 503),
        (b"rate_limit_error", Throttled, 429),
        (b"authentication_error", CredentialRefused, 401),
        (b"billing_error", OutOfCredit, 402),
        (b"permission_error", CredentialRefused, 403),
        (b"invalid_request_error", Refused, 400),
        (b"request_too_large", Refused, 413),
        (b"api_error", BadUpstream, 500),
        (b"timeout_error", BadUpstream, 504),
    ],
)
def test_an_error_inside_a_stream(kind: bytes, error: type[UpstreamError], status: int) -> None:
    with pytest.raises(UpstreamError) as caught:
        streamed(b'{"type":"error","error":{"type":"%b","message":"Why."}}' % kind)
    assert (type(caught.value), caught.value.status, caught.value.message) == (error, status, "Why.")


def envelope(kind: str, message: str) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}, "request_id": None})


@pytest.mark.parametrize(
    ("status", "body", "error", "told"),
    [
        (400, envelope("invalid_request_error", "temperature: range: 0..1"), Refused, 400),
        (
            400,
            envelope("invalid_request_error", "prompt is too long: 207791 tokens > 200000 maximum"),
            ContextTooLong,
            400,
        ),
        (
            400,
            envelope("invalid_request_error", "input length and `max_tokens` exceed context limit: 9"),
            ContextTooLong,
            400,
        ),
        (
            400,
            envelope("invalid_request_error", "Your credit balance is too low to access it."),
            OutOfCredit,
            402,
        ),
        (401, envelope("authentication_error", "invalid x-api-key"), CredentialRefused, 401),
        (402, envelope("billing_error", "pay"), OutOfCredit, 402),
        (403, b"", CredentialRefused, 403),
        (404, envelope("not_found_error", "model: claude-4-5-haiku"), ModelGone, 404),
        (404, envelope("not_found_error", "File not found: file_1"), Refused, 404),
        (404, b"404 page not found", BadUpstream, 502),
        (413, envelope("request_too_large", "Request exceeds the maximum size"), Refused, 413),
        (422, b'{"error":"no"}', Refused, 422),
        (429, envelope("rate_limit_error", "slow down"), Throttled, 429),
        (500, envelope("api_error", "Internal server error"), BadUpstream, 500),
        (502, b"<html><title>Bad gateway</title>", BadUpstream, 502),
        (503, b"no healthy upstream", Overloaded, 503),
        (529, envelope("overloaded_error", "Overloaded"), Overloaded, 503),
    ],
)
def test_a_refusal(status: int, body: bytes, error: type[UpstreamError], told: int) -> None:
    refused = DIALECT.refusal(status, {}, body)
    assert (type(refused), refused.status, refused.upstream_status) == (error, told, status)
    assert refused.retry_after_s is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (envelope("x", " why "), "why"),
        (b'{"error":"why"}', "why"),
        (b" why \n", "why"),
        (b"wh\xff", "wh\N{REPLACEMENT CHARACTER}"),
        (b"", "the provider answered with status 400"),
        (b"<html>", "the provider answered with status 400"),
        (b'{"detail":"x"}', "the provider answered with status 400"),
        (b'{"error":' + b"[" * 100_000, "the provider answered with status 400"),
        (b'{"error":{"type":"x"}}', "the provider answered with status 400"),
        (envelope("x", "w" * 9000), "w" * 500),
        (b"w" * 9000, "w" * 500),
    ],
)
def test_what_a_refusal_says(body: bytes, message: str) -> None:
    assert DIALECT.refusal(400, {b"content-type": b"text/event-stream"}, body).message == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"0.5"}, 0.5),
        ({b"retry-after-ms": b"250", b"retry-after": b"7"}, 0.25),
        ({b"retry-after-ms": b"soon", b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert DIALECT.refusal(429, headers, b"").retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "word", "error"),
    [
        (500, b"true", Overloaded),
        (409, b"true", Overloaded),
        (429, b"true", Throttled),
        (400, b"true", Refused),
        (500, b"false", BadUpstream),
        (529, b"false", BadUpstream),
        (429, b"false", OutOfCredit),
        (401, b"false", CredentialRefused),
    ],
)
def test_whether_to_try_again_is_the_providers_word(status: int, word: bytes, error: type[UpstreamError]) -> None:
    refused = DIALECT.refusal(status, {b"x-should-retry": word}, b'{"error":{"message":"no"}}')
    assert (type(refused), refused.message) == (error, "no")


def test_models() -> None:
    assert DIALECT.models_request() == WireRequest(
        path="/v1/models?limit=1000", method=b"GET", headers=((b"anthropic-version", b"2023-06-01"),)
    )
    assert DIALECT.models(b'{"data":[{"type":"model","id":"claude-a"},{"id":"claude-b"}]}') == ("claude-a", "claude-b")
    for body in (b"<html>", b'{"data":[{}]}', b'{"data":[{"id":"\xff"}]}', b"[" * 100_000):
        with pytest.raises(BadUpstream):
            DIALECT.models(body)


EXCHANGE = (
    sse(
        START,
        b'{"type": "ping"}',
        begin(0, b'{"type":"text","text":""}'),
        piece(0, '{"type":"text_delta","text":"né\u2028€🙂"}'.encode()),
        close(0),
        begin(1, b'{"type":"tool_use","id":"toolu_1","name":"f","input":{}}'),
        piece(1, b'{"type":"input_json_delta","partial_json":"{}"}'),
        close(1),
    )
    + b": a comment\r\nevent: message_delta\r\ndata: %b\r\n\r\n" % ending(b"tool_use")
    + sse(STOP)
)


@given(st.lists(st.integers(0, len(EXCHANGE)), max_size=12))
def test_any_split_of_the_bytes_means_the_same_and_passes_the_same_bytes_on(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(EXCHANGE)]
    asked = ChatRequest(model="m", messages=(), stream=True)
    translating = decoder(stream=True)
    passing = PassingOn(DIALECT.splitter(asked, b"text/event-stream"), DIALECT.reader(asked, Ways()))
    meant: list[Event] = []
    passed: list[Event] = []
    for left, right in pairwise(edges):
        meant += translating.feed(EXCHANGE[left:right])
        passed += passing.feed(EXCHANGE[left:right])
    assert meant + translating.eof() == [
        OPENED,
        Text("né\u2028€🙂"),
        ToolDelta(0, "toolu_1", "f"),
        ToolDelta(0, arguments="{}"),
        Finish("tool_calls"),
    ]
    passed += passing.eof()
    assert b"".join(event.data for event in passed if isinstance(event, Raw)) == EXCHANGE
