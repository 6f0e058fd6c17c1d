"""What compatible servers send in place of OpenAI's own, as clients of OpenAI's own see it: literal payloads."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream, UpstreamError
from hoosh.core.events import Event, Finish, Metered, Raw, Reasoning, Refusal, Text, ToolDelta, Usage
from hoosh.dialects import JSON, PassingOn, Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.dialects.openai_chat.amend import Found, complete, put_right

STREAM = ChatRequest(model="m", messages=(), stream=True)
WHOLE = ChatRequest(model="m", messages=())


def passed(payloads: list[JSON], asked: ChatRequest = STREAM) -> tuple[list[JSON], list[Event]]:
    """What a client of the same dialect is sent, and what it means."""
    decoder = PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, Ways()))
    form = b"data: %b\n\n" if asked.stream else b"%b"
    events = [event for payload in payloads for event in decoder.feed(form % json.dumps(payload).encode())]
    events += decoder.eof()
    raws = [event for event in events if isinstance(event, Raw)]
    sent = [json.loads(raw.data.removeprefix(b"data: ")) for raw in raws]
    return sent, [meaning for event in events for meaning in (event.events if isinstance(event, Raw) else (event,))]


def streamed(delta: JSON, finish: object = "stop") -> tuple[JSON, list[Event]]:
    (sent,), events = passed([{"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}])
    return sent["choices"][0]["delta"], events


def answered(message: JSON) -> tuple[JSON, list[Event]]:
    (sent,), events = passed([{"choices": [{"message": message, "finish_reason": "stop"}]}], WHOLE)
    return sent["choices"][0]["message"], events


THOUGHTS = [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]


@pytest.mark.parametrize(
    ("given", "meant", "events"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "output_text", "text": "b"}, 7]}, {"content": "ab"}, [Text("ab")]),
        (
            {"content": [{"type": "thinking", "thinking": THOUGHTS, "closed": True}, {"type": "text", "text": "a"}]},
            {"content": "a", "reasoning_content": "hm"},
            [Reasoning("hm"), Text("a")],
        ),
        ({"content": [{"type": "thinking", "thinking": "hm"}]}, {"content": "", "reasoning_content": "hm"}, [Reasoning("hm")]),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, {"content": "", "refusal": "no"}, [Refusal("no")]),
        ({"content": {"type": "text", "text": "a"}}, {"content": "a"}, [Text("a")]),
        ({"content": []}, {"content": ""}, []),
        ({"reasoning": {"content": "hm"}, "content": "a"}, {"reasoning": "hm", "content": "a"}, [Reasoning("hm"), Text("a")]),
        ({"reasoning_content": [{"text": "h"}, {"text": "m"}]}, {"reasoning_content": "hm"}, [Reasoning("hm")]),
        (
            {"reasoning_details": [{"type": "reasoning.text", "text": ["hm"], "signature": "s"}, 7]},
            {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]},
            [Reasoning("hm", "s")],
        ),
    ],
)  # fmt: skip
def test_words_in_other_forms(given: JSON, meant: JSON, events: list[Event]) -> None:
    for ask in (streamed, answered):
        sent, found = ask(copy.deepcopy(given))
        assert (sent, found) == (meant, [*events, Finish("stop")])


FULL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


@pytest.mark.parametrize(
    "given",
    [
        FULL,
        {**FULL, "index": "0"},
        {**FULL, "index": 0.0},
        {**FULL, "index": None},
        {**FULL, "type": None},
        {name: FULL[name] for name in ("id", "function")},
        {**FULL, "function": {"name": "f", "arguments": {"a": 1}}},
        {"id": "c", "name": "f", "arguments": {"a": 1}},
        {"id": "c", "name": "f", "arguments": '{"a":1}'},
        {**FULL, "index": 7},
    ],
)
def test_calls_in_other_forms(given: JSON) -> None:
    delta, events = streamed({"tool_calls": [copy.deepcopy(given)]}, "tool_calls")
    assert [{name: call[name] for name in FULL} for call in delta["tool_calls"]] == [FULL]
    assert events == [ToolDelta(0, "c", "f", '{"a":1}'), Finish("tool_calls")]
    message, events = answered({"tool_calls": [copy.deepcopy(given)]})
    assert {**{name: message["tool_calls"][0][name] for name in FULL if name != "index"}, "index": 0} == FULL
    assert events == [ToolDelta(0, "c", "f", '{"a":1}'), Finish("stop")]


def test_calls_that_are_all_numbered_0_are_told_apart() -> None:
    calls = [{**FULL, "id": name} for name in "ab"]
    sent, _ = passed([{"choices": [{"delta": {"tool_calls": [call]}}]} for call in calls] + [END])
    assert [chunk["choices"][0]["delta"]["tool_calls"][0]["index"] for chunk in sent[:2]] == [0, 1]


END: JSON = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


@pytest.mark.parametrize("said", [None, "", 7])
def test_calls_without_an_id_get_one_and_only_one(said: object) -> None:
    piece = {"index": 0, "function": {"arguments": "}"}}
    first = {**FULL, "id": said, "function": {"name": "f", "arguments": "{"}}
    chunks = [{"id": "chatcmpl-1", "choices": [{"delta": {"tool_calls": [call]}}]} for call in (first, piece)]
    sent, _ = passed([*chunks, END])
    ids = [chunk["choices"][0]["delta"]["tool_calls"][0].get("id") for chunk in sent[:2]]
    assert ids == ["7" if said == 7 else "call_chatcmpl-1_0_0", None]


def test_a_call_without_arguments_ends_as_an_empty_object() -> None:
    bare = {**FULL, "function": {"name": "f", "arguments": ""}}
    message, _ = answered({"tool_calls": [bare, {**FULL, "id": "d"}]})
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ["{}", '{"a":1}']
    sent, _ = passed([{"choices": [{"delta": {"tool_calls": [bare]}}]}, END])
    assert sent[1]["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "function": {"arguments": "{}"}}]
    delta, _ = streamed({"tool_calls": [bare]})
    assert [call["function"]["arguments"] for call in delta["tool_calls"]] == ["{}"]


def test_ids_models_and_reasons_that_are_numbers() -> None:
    (sent,), events = passed(
        [
            {
                "id": 7,
                "model": 3.5,
                "created": "x",
                "choices": {"index": 0, "delta": {"content": "a"}, "finish_reason": 1},
            }
        ]
    )
    assert (sent["id"], sent["model"], sent["created"]) == ("7", "3.5", "x")
    assert events[1:] == [Text("a"), Finish("stop")]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 3.0, "completion_tokens": "2"},
        {"input_tokens": 3, "output_tokens": 2},
        {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None, "completion_tokens_details": {}},
    ],
)
def test_counts_in_other_forms_and_places(usage: JSON) -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
    for payload in ({"choices": [choice], "usage": usage}, {"choices": [{**choice, "usage": usage}]}):
        _, events = passed([payload])
        assert events == [Text("a"), Finish("stop"), Metered(Usage(input=3, output=2))]


def told(usage: JSON) -> JSON:
    """The usage object that a client of the same dialect is sent."""
    (sent,), _ = passed([{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": usage}], WHOLE)
    shown: JSON = sent["usage"]
    return shown


@pytest.mark.parametrize(
    ("prompt", "completion", "reasoning", "total", "counted"),
    [
        (12, 2, 320, 334, 322),
        (12, 322, 320, 334, 322),  # it is in it already
        (12, 2, 0, 14, 2),
        (12, 2, None, 14, 2),
        (12, 2, 320, None, 322),  # it cannot be in it
    ],
)
def test_reasoning_is_counted_as_output(
    prompt: int, completion: int, reasoning: int | None, total: int | None, counted: int
) -> None:
    """xAI leaves it out of `completion_tokens`, though `total_tokens` has it."""
    details = {"reasoning_tokens": reasoning, "audio_tokens": 0}
    usage: JSON = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    usage["cost_in_usd_ticks"] = 7
    usage["completion_tokens_details"] = details
    assert told(usage) == {**usage, "completion_tokens": counted}


def test_cached_tokens_by_another_name() -> None:
    usage: JSON = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_cache_hit_tokens": 3}
    assert told(usage) == {**usage, "prompt_tokens_details": {"cached_tokens": 3}}
    usage["prompt_tokens_details"] = {"cached_tokens": 3, "audio_tokens": 0}
    assert told(usage) == usage


def test_usage_within_a_choice_is_told_where_clients_look() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop", "usage": usage}
    (sent,), _ = passed([{"choices": [choice]}])
    assert sent["usage"] == usage


@pytest.mark.parametrize("error", [{"code": 502, "message": "the vendor failed"}, "the vendor failed"])
def test_an_error_within_a_choice(error: object) -> None:
    choice: JSON = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": error}
    with pytest.raises(BadUpstream, match=r"^the vendor failed$"):
        passed([{"choices": [choice]}])
    nothings: tuple[object, ...] = (None, {}, "")
    for nothing in nothings:
        assert passed([{"choices": [{**choice, "error": nothing}]}])[1] == [Finish("stop")]


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"message":{},"finish_reason":"stop"}],"usage":{"\xff":1}}',
        b'{"choices":[{"message":{"annotations":["\xff"]},"finish_reason":"stop"}]}',
        b'{"choices":[{"message":{},"error":"\xff"}]}',
        b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"f"}}]}}],"x":"\xff"}',
        b'{"choices":[{"message":{"content":[]}}],"x":"\xff"}',
        b'{"choices":[],"x":"\xff"}',
        b'{"choices":[],"x":' + b"[" * 10**5,
    ],
)
def test_bytes_that_are_no_text_wherever_they_stand(body: bytes) -> None:
    decoder = PassingOn(DIALECT.splitter(WHOLE, b""), DIALECT.reader(WHOLE, Ways()))
    decoder.feed(body)
    with pytest.raises(BadUpstream, match="not JSON"):
        decoder.eof()


def test_events_where_a_whole_reply_was_asked_for() -> None:
    body = (
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    )
    decoder = PassingOn(DIALECT.splitter(WHOLE, b""), DIALECT.reader(WHOLE, Ways()))
    assert decoder.feed(body) + decoder.eof() == [Text("a"), Finish("stop")]


NAMES = [
    "id",
    "model",
    "choices",
    "index",
    "delta",
    "message",
    "content",
    "text",
    "type",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "finish_reason",
    "usage",
    "reasoning",
    "reasoning_details",
    "refusal",
    "error",
]
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.floats(allow_nan=False) | st.sampled_from(["a", "text", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=16,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["id", "choices", "usage", "error", "model"]), JSONS), st.booleans())
def test_any_payload_is_put_right_or_refused(payload: dict[str, Any], stream: bool) -> None:
    asked = STREAM if stream else WHOLE
    with contextlib.suppress(UpstreamError):
        passed([payload], asked)
    put_right(payload)
    again = copy.deepcopy(payload)
    put_right(again)
    assert again == payload
    complete(payload, {0: Found()}, stream=stream)
