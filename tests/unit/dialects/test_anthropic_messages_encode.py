"""Events as a Messages reply: the blocks that they make, in a stream and whole."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codecs.sse import SSEDecoder
from hoosh.core.asked import ChatRequest, CountRequest
from hoosh.core.errors import (
    BadRequest,
    BadUpstream,
    BudgetExceeded,
    Forbidden,
    HooshError,
    Idle,
    MethodNotAllowed,
    NoProvider,
    OutOfCredit,
    Overloaded,
    Throttled,
    TooLarge,
    Unauthorized,
    UnknownModel,
)
from hoosh.core.events import (
    Citation,
    Counted,
    Event,
    Finish,
    Logprobs,
    Media,
    Metered,
    Opened,
    Raw,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects import JSON, Served
from hoosh.dialects.anthropic_messages import COUNT, DIALECT
from hoosh.dialects.anthropic_messages.listing import entry, page

STREAM = ChatRequest(model="m", messages=(), stream=True)
WHOLE = ChatRequest(model="m", messages=())
COUNTED = CountRequest(chat=WHOLE)
SERVED = Served(id="1", created_s=5, provider="mine", model="m", input_tokens=17)
USED = Usage(input=10, cached=3, cache_write=2, output=4, reasoning=1)
TOLD = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 2,
    "cache_read_input_tokens": 3,
    "output_tokens": 4,
    "output_tokens_details": {"thinking_tokens": 1},
}


def streamed(*events: Event) -> list[JSON]:
    encoder = DIALECT.encoder(STREAM, SERVED)
    body = encoder.feed(events) + encoder.finish(USED)
    frames = SSEDecoder().feed(body)
    assert b"".join(frame.raw for frame in frames) == body
    read = [json.loads(frame.data) for frame in frames]
    assert [frame.event.decode() for frame in frames] == [event["type"] for event in read]
    return read


def whole(*events: Event) -> JSON:
    encoder = DIALECT.encoder(WHOLE, SERVED)
    assert encoder.feed(events) == b""
    value: JSON = json.loads(encoder.finish(USED))
    return value


def collected(*events: Event) -> list[JSON]:
    """The blocks that a client makes of a stream, which must be well formed: one after the other, none left open."""
    blocks: list[JSON] = []
    is_open = False
    for event in streamed(*events):
        match event["type"]:
            case "content_block_start":
                assert not is_open
                assert event["index"] == len(blocks)
                is_open = True
                blocks.append(dict(event["content_block"]))
            case "content_block_delta":
                assert is_open
                assert event["index"] == len(blocks) - 1
                _add(blocks[-1], event["delta"])
            case "content_block_stop":
                assert is_open
                assert event["index"] == len(blocks) - 1
                is_open = False
    assert not is_open
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block.pop("json", "") or "{}")
    return blocks


def _add(block: JSON, delta: JSON) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            block["json"] = block.get("json", "") + delta["partial_json"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])


def test_a_stream_to_the_letter() -> None:
    encoder = DIALECT.encoder(STREAM, SERVED)
    begun = encoder.feed([Opened("v", "vendor-1"), Text("Hi")])
    assert begun.decode().split("\n\n") == [
        'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
        '"role":"assistant","model":"vendor-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":'
        '{"input_tokens":17,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}',
        'event: ping\ndata: {"type":"ping"}',
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"Hi"}}',
        "",
    ]
    assert encoder.feed([Finish("stop")]).startswith(b"event: content_block_stop\n")
    ended = encoder.finish(Usage(input=3, output=2)).decode()
    assert ended.split("\n\n") == [
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2}}',
        'event: message_stop\ndata: {"type":"message_stop"}',
        "",
    ]


def test_a_whole_reply_to_the_letter() -> None:
    assert whole(Opened("v", "vendor-1"), Text("H"), Text("i"), Finish("stop"), Metered(USED)) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "vendor-1",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": TOLD,
    }


def test_usage_that_is_known_in_the_beginning_is_told_there() -> None:
    start = streamed(Metered(Usage(input=9, cached=4)), Text("x"))[0]
    assert start["message"]["usage"]["cache_read_input_tokens"] == 4
    assert streamed(Text("x"))[-2]["usage"] == TOLD


def test_tokens_that_are_counted_as_read_and_as_written_are_told_once() -> None:
    encoder = DIALECT.encoder(WHOLE, SERVED)
    told = json.loads(encoder.finish(Usage(input=10, cached=9, cache_write=9, output=1)))["usage"]
    counts = [told[f"{name}input_tokens"] for name in ("", "cache_creation_", "cache_read_")]
    assert counts == [0, 1, 9]


ANSWER: Sequence[Event] = (
    Reasoning("hm"),
    Reasoning("m", "sig"),
    Reasoning("more", "sig2"),
    Reasoning(redacted="eHg="),
    Text("So "),
    Text("it is."),
    Citation("https://e.com", "E", "quoted"),
    ToolDelta(0, "call_a", "f"),
    ToolDelta(0, arguments='{"a":'),
    ToolDelta(0, arguments="1}"),
    ToolDelta(1, "", "g", "{}"),
    Finish("tool_calls"),
)
BLOCKS = [
    {"type": "thinking", "thinking": "hmm", "signature": "sig"},
    {"type": "thinking", "thinking": "more", "signature": "sig2"},
    {"type": "redacted_thinking", "data": "eHg="},
    {
        "type": "text",
        "text": "So it is.",
        "citations": [
            {
                "type": "web_search_result_location",
                "url": "https://e.com",
                "title": "E",
                "cited_text": "quoted",
                "encrypted_index": "",
            }
        ],
    },
    {"type": "tool_use", "id": "call_a", "name": "f", "input": {"a": 1}},
    {"type": "tool_use", "id": "toolu_1_1", "name": "g", "input": {}},
]


def test_every_kind_of_block() -> None:
    assert collected(*ANSWER) == BLOCKS
    assert whole(*ANSWER)["content"] == BLOCKS
    assert streamed(*ANSWER)[-2]["delta"]["stop_reason"] == "tool_use"


MIXED: Sequence[ToolDelta] = (
    ToolDelta(0, "a", "f", '{"x":'),
    ToolDelta(1, "b", "g", '{"y":'),
    ToolDelta(0, arguments="1}"),
    ToolDelta(2, "c", "h"),
    ToolDelta(1, arguments="2}"),
    ToolDelta(2, arguments="{}"),
)


@pytest.mark.parametrize("ends", [True, False])
def test_calls_whose_pieces_are_mixed_follow_each_other(ends: bool) -> None:
    events: list[Event] = [*MIXED, Text("after"), *([Finish("tool_calls")] if ends else [])]
    calls = [(block["id"], block["input"]) for block in collected(*events) if block["type"] == "tool_use"]
    assert calls == [("a", {"x": 1}), ("b", {"y": 2}), ("c", {})]
    assert collected(*events)[-1]["text"] == "after"
    assert whole(*events)["content"] == collected(*events)


@given(st.permutations([(0, '{"a"'), (0, ":1}"), (1, '{"b"'), (1, ":2}"), (2, '{"c"'), (2, ":3}")]))
def test_any_mix_of_calls_gives_each_its_own(order: list[tuple[int, str]]) -> None:
    """Each call begins in its order, and its pieces come in theirs."""
    pieces = {k: sorted((text for call, text in order if call == k), reverse=True) for k in range(3)}
    events: list[Event] = []
    begun = 0
    for call, _ in order:
        while begun <= call:
            events.append(ToolDelta(begun, f"id{begun}", "f"))
            begun += 1
        events.append(ToolDelta(call, arguments=pieces[call].pop(0)))
    inputs = [block["input"] for block in collected(*events, Finish("tool_calls"))]
    assert inputs == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_what_comes_is_said_at_once() -> None:
    encoder = DIALECT.encoder(STREAM, SERVED)
    assert all(encoder.feed([event]) for event in ANSWER if not isinstance(event, Finish))


@given(st.lists(st.integers(1, 4)))
def test_the_same_is_said_in_any_portions(sizes: list[int]) -> None:
    encoder = DIALECT.encoder(STREAM, SERVED)
    events, said = [*MIXED, *ANSWER[:7]], b""
    for size in [*sizes, len(events)]:
        said += encoder.feed(events[:size])
        events = events[size:]
    whole_encoder = DIALECT.encoder(STREAM, SERVED)
    at_once = whole_encoder.feed([*MIXED, *ANSWER[:7]]) + whole_encoder.finish(USED)
    assert said + encoder.finish(USED) == at_once


def test_arguments_that_broke_off() -> None:
    assert whole(ToolDelta(0, "a", "f", '{"x": "un'))["content"][0]["input"] == {"INVALID_JSON": '{"x": "un'}
    assert whole(ToolDelta(0, "a", "f"))["content"][0]["input"] == {}


def test_the_proof_of_a_call_goes_before_it() -> None:
    blocks = collected(ToolDelta(0, "a", "f", "{}", "proof"), Finish("tool_calls"))
    assert blocks == [
        {"type": "redacted_thinking", "data": "call-signature:proof"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
    ]
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": blocks}]}
    (message,) = DIALECT.parse(json.dumps(body).encode()).messages
    assert getattr(message.parts[0], "signature", "") == "proof"


@pytest.mark.parametrize(
    ("events", "reason", "stop"),
    [
        ([Finish("stop")], "end_turn", None),
        ([Finish("stop", stop="END")], "stop_sequence", "END"),
        ([Finish("length")], "max_tokens", None),
        ([Finish("tool_calls")], "tool_use", None),
        ([Finish("content_filter")], "refusal", None),
        ([ToolDelta(0, "a", "f", "{}"), Finish("stop")], "tool_use", None),
        ([Refusal("I must not."), Finish("stop")], "refusal", None),
        ([], "end_turn", None),
    ],
)
def test_why_it_ended(events: list[Event], reason: str, stop: str | None) -> None:
    wanted = {"stop_reason": reason, "stop_sequence": stop}
    assert streamed(*events)[-2]["delta"] == wanted
    reply = whole(*events)
    assert {name: reply[name] for name in wanted} == wanted


def test_what_the_dialect_has_no_word_for_is_not_said() -> None:
    events: list[Event] = [Logprobs(b"[]"), Media("image/png", "AA=="), Text("other", 1), Text(""), Text("x")]
    assert collected(*events) == [{"type": "text", "text": "x"}]


def test_words_of_a_refusal_are_text() -> None:
    assert collected(Refusal("I must "), Refusal("not.")) == [{"type": "text", "text": "I must not."}]


@given(st.text())
def test_no_text_makes_an_event_of_its_own(said: str) -> None:
    events = (Reasoning(said + "\n\ndata: x"), Text(said + "\r\nevent: error\u2028\u0085"), ToolDelta(0, said, said))
    assert len(streamed(*events)) == len(streamed(Reasoning("a"), Text("b"), ToolDelta(0, "c", "d")))
    assert collected(*events)[1]["text"] == said + "\r\nevent: error\u2028\u0085"


FRAMES = [
    b'event: message_start\ndata: {"type":"message_start"}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]


def test_bytes_of_the_dialect_go_out_as_they_came() -> None:
    encoder = DIALECT.encoder(STREAM, SERVED)
    assert encoder.feed([Raw(FRAMES[0], (Opened("x"), Text("a"))), Raw(FRAMES[1])]) == b"".join(FRAMES)
    assert encoder.finish(USED) == b""
    encoder = DIALECT.encoder(WHOLE, SERVED)
    encoder.feed([Raw(b' {"type": "message"}', (Text("a"),))])
    assert encoder.finish(USED) == b' {"type": "message"}'


def test_a_stream_that_lacks_its_end_gets_one() -> None:
    encoder = DIALECT.encoder(STREAM, SERVED)
    encoder.feed([Raw(FRAMES[0], (Text("a"), Finish("stop")))])
    assert encoder.finish(USED) == FRAMES[1]


def test_a_whole_reply_where_a_stream_was_asked_for_and_the_other_way_round() -> None:
    events = streamed(Raw(b'{"type":"message"}', (Text("a"), Finish("stop"), Metered(USED))))
    assert [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"] == ["a"]
    assert events[-1] == {"type": "message_stop"}
    assert whole(Raw(FRAMES[0], (Text("a"), Finish("stop"))))["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "invalid_request_error"),
        (Unauthorized("x"), "authentication_error"),
        (OutOfCredit("x", upstream_status=402), "billing_error"),
        (Forbidden("x"), "permission_error"),
        (UnknownModel("x"), "not_found_error"),
        (MethodNotAllowed("x"), "invalid_request_error"),
        (TooLarge("x"), "request_too_large"),
        (Throttled("x"), "rate_limit_error"),
        (BudgetExceeded("x"), "rate_limit_error"),
        (Overloaded("x"), "overloaded_error"),
        (NoProvider("x"), "overloaded_error"),
        (Idle("x"), "timeout_error"),
        (BadUpstream("x"), "api_error"),
        (HooshError("x"), "api_error"),
    ],
)
def test_errors_in_anthropics_form(error: HooshError, kind: str) -> None:
    for dialect in (DIALECT, COUNT):
        wanted: Any = {"type": "error", "error": {"type": kind, "message": "x"}, "request_id": "r1"}
        assert json.loads(dialect.fault(error, "r1")) == wanted
        (frame,) = SSEDecoder().feed(dialect.fault_frame(error, "r1"))
        assert (frame.event, json.loads(frame.data)) == (b"error", wanted)


def test_a_count() -> None:
    encoder = COUNT.encoder(COUNTED, SERVED)
    assert encoder.feed([Counted(12)]) + encoder.finish(Usage()) == b'{"input_tokens":12}'
    encoder = COUNT.encoder(COUNTED, SERVED)
    encoder.feed([Raw(b'{"input_tokens": 12}', (Counted(12),))])
    assert encoder.finish(Usage()) == b'{"input_tokens": 12}'


def test_a_page_of_models() -> None:
    assert page(["a", "b"])["data"] == [entry("a"), entry("b")]
    assert page(["a", "b"])["last_id"] == "b"
    assert page([]) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
