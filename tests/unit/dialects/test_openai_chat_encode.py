"""Replies of Chat Completions as a client gets them: streamed and whole, written from events or passed on."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream
from hoosh.core.events import (
    Citation,
    Event,
    Finish,
    Logprobs,
    Meaning,
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
from hoosh.dialects import Served
from hoosh.dialects.openai_chat import DIALECT

STREAM = ChatRequest(model="m", messages=(), stream=True)
ASKED_USAGE = ChatRequest(model="m", messages=(), stream=True, include_usage=True)
WHOLE = ChatRequest(model="m", messages=())
SERVED = Served(id="1", created_s=5, provider="mine", model="m", cost=lambda usage, audio_ms: 7)
USED = Usage(input=3, cached=1, output=2, reasoning=1)
GUESSED = Usage(input=3, output=2, source="estimated")
HEAD = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":'
TOLD = (
    '{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1},'
    '"completion_tokens_details":{"reasoning_tokens":1},"provider":"mine","cost_micro_usd":7}'
)


def streamed(*events: Event, asked: ChatRequest = STREAM, used: Usage = USED, served: Served = SERVED) -> list[str]:
    encoder = DIALECT.encoder(asked, served)
    assert encoder.content_type == b"text/event-stream; charset=utf-8"
    body = b"".join(encoder.feed([event]) for event in events) + encoder.finish(used)
    assert body == DIALECT.encoder(asked, served).feed(events) + body[len(body) - len(encoder.finish(used)) :]
    assert body.endswith(b"data: [DONE]\n\n")
    return body.decode().split("\n\n")[:-2]


def choices(*events: Event) -> list[Any]:
    chunks = [json.loads(line.removeprefix("data: ")) for line in streamed(*events)]
    return [choice for chunk in chunks for choice in chunk["choices"]]


def test_a_stream() -> None:
    assert streamed(Opened("ignored", ""), Text("Hel"), Text("lo"), Finish("stop"), Metered(USED)) == [
        f'data: {HEAD}[{{"index":0,"delta":{{"role":"assistant","content":"Hel"}},"finish_reason":null}}]}}',
        f'data: {HEAD}[{{"index":0,"delta":{{"content":"lo"}},"finish_reason":null}}]}}',
        f'data: {HEAD}[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}',
    ]


def test_nothing_to_say_yet() -> None:
    assert DIALECT.encoder(STREAM, SERVED).feed([]) == b""
    assert DIALECT.encoder(STREAM, SERVED).feed([Opened("c", "x")]) == b""


def test_the_provider_may_name_the_model() -> None:
    (line,) = streamed(Opened("c", "vendor-1"), Text("a"))
    assert json.loads(line[6:])["model"] == "vendor-1"


def test_the_first_delta_of_each_choice_has_a_role() -> None:
    assert choices(Text("a", 1), Finish("stop", 1), Finish("length"), Text("b", 1)) == [
        {"index": 1, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None},
        {"index": 1, "delta": {}, "finish_reason": "stop"},
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "length"},
        {"index": 1, "delta": {"content": "b"}, "finish_reason": None},
    ]


@pytest.mark.parametrize(
    ("event", "delta"),
    [
        (Refusal("no"), {"refusal": "no"}),
        (Reasoning("t"), {"reasoning_content": "t"}),
        (
            Reasoning("t", "s"),
            {
                "reasoning_content": "t",
                "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s"}],
            },
        ),
        (Reasoning(redacted="r"), {"reasoning_details": [{"type": "reasoning.encrypted", "data": "r"}]}),
        (
            ToolDelta(0, "c1", "f"),
            {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}, "id": "c1", "type": "function"}]},
        ),
        (ToolDelta(1, arguments="{"), {"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]}),
        (
            ToolDelta(0, "c1", "f", "{}", "s"),
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "function": {"name": "f", "arguments": "{}"},
                        "id": "c1",
                        "type": "function",
                        "extra_content": {"google": {"thought_signature": "s"}},
                    }
                ]
            },
        ),
    ],
)
def test_deltas(event: Event, delta: object) -> None:
    assert choices(Text(""), event)[1]["delta"] == delta


def test_usage_is_told_only_if_asked_for_and_then_last() -> None:
    events = (Text("a"), Metered(USED), Finish("stop"))
    plain = streamed(*events)
    assert streamed(*events, asked=ASKED_USAGE) == [*plain, f'data: {HEAD}[],"usage":{TOLD}}}']


def test_usage_that_the_provider_did_not_tell_is_marked() -> None:
    *_, last = streamed(Text("a"), Finish("stop"), asked=ASKED_USAGE, used=GUESSED)
    assert json.loads(last[6:])["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "estimated": True,
        "provider": "mine",
        "cost_micro_usd": 7,
    }


def test_an_unknown_cost_is_not_told() -> None:
    served = Served(id="c", created_s=5, provider="mine", model="m")
    *_, last = streamed(Finish("stop"), asked=ASKED_USAGE, served=served)
    assert "cost_micro_usd" not in last


def raw(text: str, *events: Meaning) -> Raw:
    return Raw(f"data: {text}\n\n".encode(), events)


METERED = Metered(USED)
LAST_WORDS = raw('{"choices":[{"x": 1.0}],"usage":{"prompt_tokens":3, "cost":0.10}, "z":1e5}', Finish("stop"), METERED)
ALONE = raw('{"id":"v","choices": [ ],"usage":{"prompt_tokens":3, "cost":0.10},"timings":{}}', METERED)


def test_frames_of_the_same_dialect_go_out_as_they_came() -> None:
    frames = [Raw(b": wait\r\n\r\ndata: {}\r\n\r\n"), raw('{"choices":[]}'), raw('{"x": 1.0}', Text("a"))]
    assert DIALECT.encoder(STREAM, SERVED).feed(frames) == b"".join(frame.data for frame in frames)


def test_usage_beside_the_last_words_where_nobody_asked() -> None:
    assert streamed(LAST_WORDS) == [
        'data: {"choices":[{"x": 1.0}],"usage":{"prompt_tokens":3,"cost":0.10,"provider":"mine","cost_micro_usd":7},"z":1e5}'
    ]


def test_usage_beside_the_last_words_moves_to_a_chunk_of_its_own() -> None:
    assert streamed(LAST_WORDS, asked=ASKED_USAGE) == [
        'data: {"choices":[{"x": 1.0}],"usage":null,"z":1e5}',
        'data: {"choices":[],"usage":{"prompt_tokens":3,"cost":0.10,"provider":"mine","cost_micro_usd":7},"z":1e5}',
    ]


def test_of_usage_told_again_and_again_the_last_counts() -> None:
    first = raw('{"choices":[{"a":1}],"usage":{"prompt_tokens":1}}', Text("a"), METERED)
    *chunks, last = streamed(first, LAST_WORDS, ALONE, asked=ASKED_USAGE)
    assert [json.loads(chunk[6:])["usage"] for chunk in chunks] == [None, None]
    assert last == (
        'data: {"id":"v","choices":[],"usage":{"prompt_tokens":3,"cost":0.10,"provider":"mine","cost_micro_usd":7},'
        '"timings":{}}'
    )


def test_usage_in_a_frame_with_comments_and_crlf() -> None:
    frame = Raw(b": wait\r\n\r\ndata: " + ALONE.data[6:-2] + b"\r\n\r\n", (METERED,))
    assert streamed(frame, asked=ASKED_USAGE) == streamed(ALONE, asked=ASKED_USAGE)


def test_usage_in_a_chunk_without_choices() -> None:
    (line,) = streamed(raw('{"usage":{"prompt_tokens":3}}', METERED), asked=ASKED_USAGE)
    assert json.loads(line[6:])["choices"] == []


def whole(*events: Event, used: Usage = USED) -> Any:
    encoder = DIALECT.encoder(WHOLE, SERVED)
    assert encoder.content_type == b"application/json"
    assert encoder.feed(events) == b""
    return json.loads(encoder.finish(used))


def test_a_whole_reply() -> None:
    assert whole(Opened("v", "vendor-1"), Text("Hel"), Text("lo"), METERED, Finish("length")) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "vendor-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": json.loads(TOLD),
    }


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([Finish("stop")], {"role": "assistant", "content": ""}),
        ([Refusal("n"), Refusal("o")], {"role": "assistant", "content": None, "refusal": "no"}),
        ([Reasoning("t"), Reasoning("u"), Text("a")], {"role": "assistant", "content": "a", "reasoning_content": "tu"}),
        (
            [Reasoning("t", "s"), Reasoning("", "", "r"), Text("a")],
            {
                "role": "assistant",
                "content": "a",
                "reasoning_content": "t",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "t", "signature": "s"},
                    {"type": "reasoning.encrypted", "data": "r"},
                ],
            },
        ),
        ([Reasoning("", "s"), Text("a")], {"role": "assistant", "content": "a", "reasoning_details": [
            {"type": "reasoning.text", "text": "", "signature": "s"}]}),
        (
            [ToolDelta(1, "c2", "g", "{}", "s"), ToolDelta(0, "c1", "f"), ToolDelta(0, arguments="{}")],
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {
                        "id": "c2",
                        "type": "function",
                        "function": {"name": "g", "arguments": "{}"},
                        "extra_content": {"google": {"thought_signature": "s"}},
                    },
                ],
            },
        ),
    ],
)  # fmt: skip
def test_messages(events: Sequence[Event], message: object) -> None:
    assert whole(*events)["choices"][0]["message"] == message


def test_choices_are_in_order() -> None:
    reply = whole(Text("b", 1), Text("a"), Finish("stop"), Finish("length", 1))
    assert [(choice["index"], choice["finish_reason"]) for choice in reply["choices"]] == [(0, "stop"), (1, "length")]


def passed_on(text: str, used: Usage) -> bytes:
    encoder = DIALECT.encoder(WHOLE, SERVED)
    assert encoder.feed([Raw(text.encode(), (Text("a"),))]) == b""
    return encoder.finish(used)


def test_a_whole_reply_passes_on_with_two_more_fields() -> None:
    assert passed_on('\n {"id":"v","x": 1.0,"usage":{"prompt_tokens":3, "cost":0.10},"z":[1, 2]}', USED) == (
        b'{"id":"v","x":1.0,"usage":{"prompt_tokens":3,"cost":0.10,"provider":"mine","cost_micro_usd":7},"z":[1, 2]}'
    )


@pytest.mark.parametrize("usage", ["", ',"usage":null', ',"usage":{"prompt_tokens":0}'])
def test_a_whole_reply_without_usage_gets_it(usage: str) -> None:
    reply = json.loads(passed_on(f'{{"id":"v"{usage}}}', GUESSED))
    assert (reply["usage"]["total_tokens"], reply["usage"]["estimated"]) == (5, True)


def test_an_error_body() -> None:
    error = BadUpstream("it broke", param="model")
    wanted = (
        b'{"error":{"message":"it broke","type":"api_error","param":"model","code":"upstream_error","request_id":"r1"}}'
    )
    assert DIALECT.fault(error, "r1") == wanted
    assert DIALECT.fault_frame(error, "r1") == b"data: " + wanted + b"\n\n"


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
CITED = {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 1, "end_index": 2}}


def test_sources_pictures_and_probabilities_have_their_place() -> None:
    events: list[Meaning] = [
        Text("a"),
        Logprobs(b'[{"token":"a","logprob":-1}]'),
        Citation("u", "t", start=1, end=2),
        Media("image/png", "AA"),
        Media(url="https://e.com/b.png"),
        Logprobs(b'[{"token":"b","logprob":-2}]'),
        Finish("stop"),
    ]
    deltas = choices(*events)
    assert deltas[1]["logprobs"]["content"] == [{"token": "a", "logprob": -1}]
    assert deltas[2]["delta"] == {"annotations": [CITED]}
    assert deltas[3]["delta"] == {"images": [PICTURE]}
    encoder = DIALECT.encoder(WHOLE, SERVED)
    encoder.feed(events)
    (choice,) = json.loads(encoder.finish(USED))["choices"]
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == ["a", "b"]
    assert choice["message"]["annotations"] == [CITED]
    assert choice["message"]["images"] == [
        PICTURE,
        {"type": "image_url", "image_url": {"url": "https://e.com/b.png"}},
    ]


def test_sound_is_said_in_openais_form() -> None:
    (piece, _) = choices(Media("audio/wav", "AA"), Finish("stop"))
    assert piece["delta"]["audio"] == {"data": "AA"}
    encoder = DIALECT.encoder(WHOLE, SERVED)
    encoder.feed([Media("audio/wav", "AA"), Finish("stop")])
    message = json.loads(encoder.finish(USED))["choices"][0]["message"]
    assert message["audio"]["data"] == "AA"
    assert "images" not in message


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("asked", [STREAM, ASKED_USAGE])
def test_a_passed_chunk_with_usage_may_end_its_lines_in_any_way(end: bytes, asked: ChatRequest) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":3}}' + end
    encoder = DIALECT.encoder(asked, SERVED)
    sent = encoder.feed([Raw(chunk, (Text("a"), Metered(USED)))]) + encoder.finish(USED)
    assert sent.count(b'"prompt_tokens":3') == 1
    assert b'"content":"a"' in sent
