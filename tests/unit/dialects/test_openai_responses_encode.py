"""What clients of the Responses API are told: held against the official SDK's own parser and types."""

import json
from collections.abc import Iterator, Sequence

import httpx2
import pytest
from openai import APIError, OpenAI, Stream, omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from hoosh.core.asked import ChatRequest, ForeignTool, ReasoningPart, Tool, ToolCall
from hoosh.core.errors import ContextTooLong, HooshError, Idle
from hoosh.core.events import (
    Citation,
    Event,
    Finish,
    Logprobs,
    Media,
    Opened,
    Raw,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects import JSON, Served
from hoosh.dialects.openai_responses import DIALECT, Followed

SERVED = Served(id="1", created_s=5, provider="mine", model="m", cost=lambda usage, audio_ms: 7)
USED = Usage(input=3, cached=1, output=2, reasoning=1)
NASTY = 'a\n\ndata: {"type":"response.completed"}\r\n\u2028\x85"\\'
ANSWER: Sequence[Event] = (
    Opened("v", "vendor-1"),
    Reasoning("think "),
    Reasoning("twice", "sig"),
    Text("Hel"),
    Text("lo"),
    Citation("https://e.com", "E", start=0, end=2),
    Logprobs(b'[{"token":"lo","logprob":-1.0,"bytes":null,"top_logprobs":[]}]'),
    Refusal("no"),
    ToolDelta(0, "c1", "f"),
    ToolDelta(1, "c2", "g", "{}"),
    ToolDelta(0, arguments='{"a":1}'),
    Text("another answer", 1),
    Finish("tool_calls"),
)
_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def asked(*, stream: object = True, **fields: object) -> tuple[ChatRequest, bytes]:
    body = json.dumps({"model": "m", "input": "hi", "stream": stream, **fields}).encode()
    return DIALECT.parse(body), body


def stream(events: Sequence[Event], **fields: object) -> list[JSON]:
    """Each event is held against its type in the SDK, and the order against the SDK's own bookkeeping."""
    request, body = asked(**fields)
    encoder = Followed(body).encoder(request, SERVED)
    sent = b"".join(encoder.feed([event]) for event in events) + encoder.finish(USED)
    told = frames(sent)
    for event in told:
        _EVENT.validate_python(event)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=[], text_format=omit)
    for event in told:
        state.handle_event(_EVENT.validate_python(event))
    return told


def frames(sent: bytes) -> list[JSON]:
    found = []
    for block in sent.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


def whole(events: Sequence[Event], **fields: object) -> JSON:
    request, body = asked(stream=False, **fields)
    encoder = Followed(body).encoder(request, SERVED)
    assert encoder.feed(events) == b""
    reply: JSON = json.loads(encoder.finish(USED))
    Response.model_validate(reply, strict=True)
    return reply


def kinds(told: list[JSON]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in told]


def test_the_order_of_events() -> None:
    assert kinds(stream([Text("Hi"), Text("!"), Finish("stop")])) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_bytes_come_as_soon_as_there_are_words() -> None:
    request, body = asked()
    encoder = Followed(body).encoder(request, SERVED)
    assert b'"delta":"Hi"' in encoder.feed([Text("Hi")])
    assert b'"delta":"!"' in encoder.feed([Text("!")])


def test_a_whole_turn() -> None:
    told = stream(ANSWER)
    last = told[-1]["response"]
    assert told[-1]["type"] == "response.completed"
    assert last == {**whole(ANSWER), "output": last["output"]}
    assert last["output"] == whole(ANSWER)["output"]
    assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call", "function_call"]
    thought, message, first, second = last["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "think twice"}]
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["Hello", "no"]
    assert message["content"][0]["annotations"][0]["url"] == "https://e.com"
    assert message["content"][0]["logprobs"][0]["token"] == "lo"
    assert (first["call_id"], first["name"], first["arguments"]) == ("c1", "f", '{"a":1}')
    assert (second["call_id"], second["arguments"]) == ("c2", "{}")
    assert len({item["id"] for item in last["output"]}) == 4
    assert (last["id"], last["model"], last["created_at"], last["status"]) == ("resp_1", "vendor-1", 5, "completed")
    assert last["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 5,
        "provider": "mine",
        "cost_micro_usd": 7,
    }


def test_what_a_stream_told_piece_by_piece_is_what_its_last_event_holds() -> None:
    told = stream(ANSWER)
    text = "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta")
    done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert text == "Hello"
    assert done == told[-1]["response"]["output"]
    by_item: dict[str, str] = {}
    for event in told:
        if event["type"] == "response.function_call_arguments.delta":
            by_item[event["item_id"]] = by_item.get(event["item_id"], "") + event["delta"]
    assert list(by_item.values()) == ["{}", '{"a":1}']


def test_thoughts_are_told_as_a_summary_to_who_asked_for_one() -> None:
    told = stream([Reasoning("Hm."), Text("Hi"), Finish("stop")], reasoning={"summary": "auto"})
    assert kinds(told)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert told[-1]["response"]["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    raw = stream([Reasoning("Hm."), Text("Hi"), Finish("stop")])
    assert "reasoning_text.delta" in kinds(raw)


def test_thoughts_and_proofs_come_back_on_the_next_turn() -> None:
    events: list[Event] = [
        Reasoning("Hm.", "sig"),
        Reasoning(redacted="hidden"),
        ToolDelta(0, "c1", "f", "{}", signature="of the call"),
        Finish("tool_calls"),
    ]
    output = stream(events)[-1]["response"]["output"]
    (turn,) = DIALECT.parse(json.dumps({"model": "m", "input": output}).encode()).messages
    assert turn.parts == (
        ReasoningPart("Hm.", "sig"),
        ReasoningPart(redacted="hidden"),
        ToolCall("c1", "f", "{}", "of the call"),
    )
    plain: list[Event] = [Reasoning("Hm."), Text("Hi"), Finish("stop")]
    output = stream(plain, include=["reasoning.encrypted_content"])[-1]["response"]["output"]
    output[0].pop("content")  # Codex leaves it out
    (turn,) = DIALECT.parse(json.dumps({"model": "m", "input": output}).encode()).messages
    assert turn.parts[0] == ReasoningPart("Hm.")


def test_calls_are_told_as_calls_of_the_clients_own_tools() -> None:
    tools = [
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "mcp__x__", "description": "X.", "tools": [{"type": "function", "name": "f"}]},
    ]
    events: list[Event] = [
        ToolDelta(0, "c1", "patch", '{"input":'),
        ToolDelta(0, arguments='"*** Begin"}'),
        ToolDelta(1, "c2", "mcp__x__f", "{}"),
        Finish("tool_calls"),
    ]
    told = stream(events, tools=tools)
    custom, spaced = told[-1]["response"]["output"]
    assert (custom["type"], custom["name"], custom["input"]) == ("custom_tool_call", "patch", "*** Begin")
    assert (spaced["type"], spaced["name"], spaced["namespace"]) == ("function_call", "f", "mcp__x__")
    assert "custom_tool_call_input.done" in kinds(told)
    assert told[-1]["response"]["tools"] == tools


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_how_it_ends(reason: str, status: str, why: object) -> None:
    events: list[Event] = [Text("Hi"), Finish(reason)]  # type: ignore[arg-type]
    told = stream(events)
    assert told[-1]["type"] == f"response.{status}"
    assert (told[-1]["response"]["status"], told[-1]["response"]["incomplete_details"]) == (status, why)
    assert told[-1]["response"]["output"][0]["status"] == status
    assert whole(events)["status"] == status


def test_an_answer_without_a_word_is_an_empty_message() -> None:
    assert stream([Reasoning(), Finish("stop")])[-1]["response"]["output"][0]["content"][0]["text"] == ""


def test_pictures() -> None:
    told = stream([Media("image/png", "AA=="), Media(url="https://e.com/a.png"), Finish("stop")])
    picture, message = told[-1]["response"]["output"]
    assert (picture["type"], picture["result"]) == ("image_generation_call", "AA==")
    assert message["content"][0]["text"] == "![](https://e.com/a.png)"


def test_a_response_repeats_its_request() -> None:
    said = {"instructions": "Be brief.", "temperature": 0.5, "metadata": {"k": "v"}, "store": False}
    reply = whole([Text("Hi"), Finish("stop")], **said)
    assert {name: reply[name] for name in said} == said


def test_nothing_that_is_said_ends_an_event() -> None:
    events: list[Event] = [
        Reasoning(NASTY),
        Text(NASTY),
        ToolDelta(0, NASTY, NASTY, json.dumps({"a": NASTY})),
        Finish("stop"),
    ]
    told = stream([Opened(NASTY, NASTY), *events])
    assert told[-1]["response"]["output"][1]["content"][0]["text"] == NASTY
    assert told[-1]["response"]["output"][2]["name"] == NASTY


@pytest.fixture
def client() -> Iterator[OpenAI]:
    with OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1") as made:
        yield made


def test_an_error_in_the_middle_is_told_to_every_client(client: OpenAI) -> None:
    request, body = asked()
    dialect = Followed(body)
    sent = dialect.encoder(request, SERVED).feed([Text("Hel")]) + dialect.fault_frame(Idle("silent"), "r")
    told = frames(sent)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert kinds(told)[-2:] == ["error", "failed"]
    failed = told[-1]["response"]
    assert (failed["status"], failed["error"]) == ("failed", {"code": "server_error", "message": "silent"})
    assert failed["output"][0]["content"][0]["text"] == "Hel"
    response = httpx2.Response(200, content=sent, request=httpx2.Request("POST", "http://127.0.0.1:9/v1/responses"))
    with (
        pytest.raises(APIError, match="silent"),
        Stream[ResponseStreamEvent](cast_to=ResponseStreamEvent, response=response, client=client) as read,  # type: ignore[arg-type]
    ):
        list(read)


@pytest.mark.parametrize(
    ("error", "code"), [(ContextTooLong("x"), "context_length_exceeded"), (HooshError("x"), "server_error")]
)
def test_what_clients_act_on_is_told(error: HooshError, code: str) -> None:
    request, body = asked()
    dialect = Followed(body)
    dialect.encoder(request, SERVED)
    assert frames(dialect.fault_frame(error, "r"))[-1]["response"]["error"]["code"] == code


def test_an_error_where_nobody_followed() -> None:
    (event,) = frames(DIALECT.fault_frame(Idle("silent"), "r"))
    assert (event["type"], event["message"], event["error"]["request_id"]) == ("error", "silent", "r")


def test_what_passes_by_is_known_when_it_is_over() -> None:
    request, body = asked()
    dialect = Followed(body)
    encoder = dialect.encoder(request, SERVED)
    raws = [
        Raw(b"data: {1}\n\n", (Opened("resp_v", "m-1"),)),
        Raw(b"data: {2}\n\n", (Text("Hi"),)),
        Raw(b': comment\n\nevent: x\ndata: {"response":{"id":"resp_v", "x":1.0}}\n\n', (Finish("stop"),)),
    ]
    assert encoder.feed(raws[:2]) == raws[0].data + raws[1].data
    assert dialect.encoding is not None
    assert dialect.encoding.done == b""
    cut = json.loads(dialect.encoding.partial("cancelled"))
    assert (cut["id"], cut["status"], cut["output"][0]["content"][0]["text"]) == ("resp_v", "cancelled", "Hi")
    assert encoder.feed(raws[2:]) == raws[2].data
    assert dialect.encoding.done == b'{"id":"resp_v", "x":1.0}'
    assert encoder.finish(USED) == b""


def test_a_whole_reply_passes_by() -> None:
    request, body = asked(stream=False)
    encoder = Followed(body).encoder(request, SERVED)
    encoder.feed([Raw(b'{"id": "v"}', (Opened("v"), Finish("stop")))])
    assert encoder.finish(USED) == b'{"id": "v"}'


def test_a_tool_of_another_dialects_is_no_name_of_ours() -> None:
    tool = Tool("f", native=ForeignTool("openai_responses", "custom", b'{"type":"custom","name":"f"}'))
    encoder = DIALECT.encoder(ChatRequest(model="m", messages=(), tools=(tool,)), SERVED)
    encoder.feed([ToolDelta(0, "c1", "f", "not an object"), Finish("tool_calls")])
    assert json.loads(encoder.finish(USED))["output"][0]["input"] == "not an object"
