"""Replies in the Responses dialect: what they mean, however they are cut into pieces."""

import itertools
import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.asked import ChatRequest, ForeignTool, Tool
from hoosh.core.errors import BadUpstream, ContextTooLong, Throttled, Truncated, UpstreamError
from hoosh.core.events import (
    Citation,
    Event,
    Finish,
    Logprobs,
    Media,
    Metered,
    Opened,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects import JSON, Translating, Ways
from hoosh.dialects.openai_responses import DIALECT
from hoosh.dialects.openai_responses.thoughts import Carried, carry

STREAM = ChatRequest(model="m", messages=(), stream=True)
WHOLE = ChatRequest(model="m", messages=())
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 14,
}
USED = Usage(input=9, cached=4, cache_write=2, output=5, reasoning=3)
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hi \u2028\n", "annotations": []}]}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}


def response(*output: JSON, **fields: object) -> JSON:
    return {"id": "resp_1", "object": "response", "model": "m-1", "status": "completed", "output": output, **fields}


def event(kind: str, **fields: object) -> bytes:
    data = json.dumps({"type": f"response.{kind}", **fields})
    return f"event: response.{kind}\ndata: {data}\n\n".encode()


CREATED = event("created", response=response(status="in_progress"))


def read(asked: ChatRequest, pieces: Iterable[bytes]) -> list[Event]:
    decoder = Translating(DIALECT.splitter(asked, b""), DIALECT.reader(asked, Ways()))
    events: list[Event] = []
    for piece in pieces:
        events += decoder.feed(piece)
    return events + decoder.eof()


def streamed(*events: bytes, asked: ChatRequest = STREAM) -> list[Event]:
    return read(asked, [CREATED, *events])


def whole(reply: JSON) -> list[Event]:
    return read(WHOLE, [json.dumps(reply).encode()])


def done(*output: JSON, kind: str = "completed", **fields: object) -> bytes:
    return event(kind, response=response(*output, usage=USAGE, **fields))


TURN = (
    event("output_item.added", output_index=0, item={"type": "reasoning", "summary": []}),
    event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Hm."),
    event("reasoning_summary_text.done", output_index=0, summary_index=0, text="Hm."),
    event(
        "output_item.done",
        output_index=0,
        item={"type": "reasoning", "summary": [{"text": "Hm."}], "encrypted_content": "E"},
    ),
    event("output_item.added", output_index=1, item={"type": "message", "content": []}),
    event("output_text.delta", output_index=1, content_index=0, delta="Hi \u2028\n"),
    event("output_text.done", output_index=1, content_index=0, text="Hi \u2028\n"),
    event("output_item.done", output_index=1, item=MESSAGE),
    event("output_item.added", output_index=2, item={**CALL, "arguments": ""}),
    event("function_call_arguments.delta", output_index=2, delta='{"a":'),
    event("function_call_arguments.delta", output_index=2, delta="1}"),
    event("function_call_arguments.done", output_index=2, arguments='{"a":1}'),
    event("output_item.done", output_index=2, item=CALL),
    done(MESSAGE, CALL),
)
MEANT = [
    Opened("resp_1", "m-1"),
    Reasoning(),
    Reasoning("Hm."),
    Reasoning(redacted="E"),
    Text("Hi \u2028\n"),
    ToolDelta(0, "c1", "f"),
    ToolDelta(0, arguments='{"a":'),
    ToolDelta(0, arguments="1}"),
    Finish("tool_calls"),
    Metered(USED),
]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=20))
def test_a_turn_means_the_same_in_any_pieces(cuts: list[int]) -> None:
    data = CREATED + b"".join(TURN)
    edges = [0, *sorted(cuts), len(data)]
    assert read(STREAM, [data[start:end] for start, end in itertools.pairwise(edges)]) == MEANT


def test_a_whole_turn() -> None:
    thought = {"type": "reasoning", "summary": [{"text": "Hm."}], "encrypted_content": "E"}
    events = whole(response(thought, MESSAGE, CALL, usage=USAGE))
    assert events == [
        Opened("resp_1", "m-1"),
        Reasoning("Hm."),
        Reasoning(redacted="E"),
        Text("Hi \u2028\n"),
        ToolDelta(0, "c1", "f", '{"a":1}'),
        Finish("tool_calls"),
        Metered(USED),
    ]


def test_what_is_only_told_at_the_end_is_told() -> None:
    assert streamed(done(MESSAGE, CALL)) == [
        Opened("resp_1", "m-1"),
        Text("Hi \u2028\n"),
        ToolDelta(0, "c1", "f", '{"a":1}'),
        Finish("tool_calls"),
        Metered(USED),
    ]
    item = event("output_item.done", output_index=0, item=MESSAGE)
    assert Text("Hi \u2028\n") in streamed(item, done(MESSAGE))
    assert len([said for said in streamed(item, done(MESSAGE)) if isinstance(said, Text)]) == 1


def test_a_models_own_thoughts() -> None:
    """DeepSeek and OpenRouter tell them; where there is a summary, too, it is the one that counts."""
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    told = event("reasoning_text.delta", output_index=0, content_index=0, delta="Hm.")
    assert [said for said in streamed(told, done(thought)) if isinstance(said, Reasoning)] == [Reasoning("Hm.")]
    assert [said for said in whole(response(thought)) if isinstance(said, Reasoning)] == [Reasoning("Hm.")]
    both = {**thought, "summary": [{"text": "Short."}]}
    assert [said for said in whole(response(both)) if isinstance(said, Reasoning)] == [Reasoning("Short.")]


def test_two_calls_and_one_without_arguments() -> None:
    bare = {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""}
    calls = [said for said in whole(response(CALL, bare)) if isinstance(said, ToolDelta)]
    assert calls == [ToolDelta(0, "c1", "f", '{"a":1}'), ToolDelta(1, "c2", "g"), ToolDelta(1, arguments="{}")]


def test_calls_of_custom_tools_and_in_namespaces_are_those_of_the_functions_that_stand_for_them() -> None:
    space = b'{"type":"namespace","name":"mcp__x__","tools":[{"type":"function","name":"f"}]}'
    native = ForeignTool("openai_responses", "namespace", space)
    asked = ChatRequest(model="m", messages=(), stream=True, tools=(Tool("mcp__x__f", native=native),))
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"}
    events = streamed(done({**CALL, "namespace": "mcp__x__"}, custom), asked=asked)
    assert [said for said in events if isinstance(said, ToolDelta)] == [
        ToolDelta(0, "c1", "mcp__x__f", '{"a":1}'),
        ToolDelta(1, "c2", "patch", '{"input":"*** Begin"}'),
    ]


def test_refusals_sources_probabilities_and_pictures() -> None:
    cited = {"type": "url_citation", "url": "https://e.com", "title": "E", "start_index": 1, "end_index": 3}
    part = {"type": "output_text", "text": "x", "annotations": [cited], "logprobs": [{"token": "x", "logprob": -1}]}
    refusal = {"type": "refusal", "refusal": "No."}
    picture = {"type": "image_generation_call", "result": "AA=="}
    told: list[Event] = [
        Text("x"),
        Logprobs(b'[{"token": "x", "logprob": -1}]'),
        Citation("https://e.com", "E", start=1, end=3),
    ]
    wanted: list[Event] = [*told, Refusal("No."), Media("image/png", "AA==")]
    message = {"type": "message", "content": [part, refusal]}
    assert whole(response(message, picture))[1:-1] == wanted
    pieces = (
        event("output_text.delta", output_index=0, content_index=0, delta="x", logprobs=part["logprobs"]),
        event("output_text.annotation.added", output_index=0, content_index=0, annotation=cited),
        event("refusal.delta", output_index=0, content_index=1, delta="No."),
        done(message, picture),
    )
    assert streamed(*pieces)[1:-2] == wanted


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete"}, "length"),
    ],
)
def test_why_it_ended(fields: dict[str, object], reason: str) -> None:
    assert whole(response(MESSAGE, **fields))[-1] == Finish(reason)  # type: ignore[arg-type]
    kind = "incomplete" if fields else "completed"
    assert Finish(reason) in streamed(done(MESSAGE, kind=kind, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 2, len(TURN) - 1])
def test_a_stream_without_its_end_is_no_answer(size: int) -> None:
    with pytest.raises(Truncated):
        streamed(*TURN[:size])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (
            event("failed", response=response(status="failed", error={"code": "server_error", "message": "x"})),
            BadUpstream,
        ),
        (event("failed", response=response(status="failed")), BadUpstream),
        (
            b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"x","param":null}\n\n',
            Throttled,
        ),
        (
            b'data: {"type":"error","error":{"code":"context_length_exceeded","message":"x","type":"invalid_request_error"}}\n\n',
            ContextTooLong,
        ),
        (b'data: {"error":{"message":"x"}}\n\n', BadUpstream),
        (b"data: {\n\n", BadUpstream),
        (b'data: {"choices":[]}\n\n', BadUpstream),
        (b"data: []\n\n", BadUpstream),
    ],
)
def test_errors_in_a_stream(data: bytes, kind: type[UpstreamError]) -> None:
    with pytest.raises(kind):
        streamed(data, done(MESSAGE))


@pytest.mark.parametrize("data", [b"{}", b"[]", b"no", b'{"error":{"message":"x"}}', b'{"choices":[]}'])
def test_what_is_no_whole_reply(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        read(WHOLE, [data])


def test_a_whole_reply_to_a_client_that_streams_is_told_as_events() -> None:
    reader = DIALECT.reader(STREAM, Ways())
    (frame,) = [
        *(splitter := DIALECT.splitter(STREAM, b"")).feed(json.dumps(response(MESSAGE)).encode()),
        *splitter.eof(),
    ]
    raw, events = reader.read(frame)
    assert raw == b""
    assert Text("Hi \u2028\n") in events


def test_items_of_a_shape_that_nobody_knows_say_nothing() -> None:
    odd = {"type": "tool_search_call", "arguments": {"a": 1}, "content": "text", "summary": 5}
    assert whole(response(odd, MESSAGE))[1:] == [Text("Hi \u2028\n"), Finish("stop")]
    assert Text("Hi \u2028\n") in streamed(event("output_item.done", output_index=0, item=odd), done(odd, MESSAGE))


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": -1, "output_tokens": 5}, {"input_tokens": "many"}])
def test_a_count_that_is_none(usage: object) -> None:
    assert not [said for said in whole(response(MESSAGE, usage=usage)) if isinstance(said, Metered)]


def test_proofs_that_another_gateway_of_this_kind_carried_are_unpacked() -> None:
    thought = {"type": "reasoning", "summary": [{"text": "Hm."}], "encrypted_content": carry(Carried("Hm.", "sig"))}
    proof = {"type": "reasoning", "encrypted_content": carry(Carried(signature="of the call", call_id="c1"))}
    assert whole(response(thought, proof, CALL))[1:-1] == [
        Reasoning("Hm."),
        Reasoning(signature="sig"),
        ToolDelta(0, "c1", "f", '{"a":1}', "of the call"),
    ]
