"""What the official SDK makes of the bytes: its own stream parser and its own types, without a network."""

from collections.abc import Iterator, Sequence

import httpx2
import pytest
from openai import APIError, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import Idle
from hoosh.core.events import Event, Finish, Metered, Opened, Raw, Reasoning, Refusal, Text, ToolDelta, Usage
from hoosh.dialects import PassingOn, Served
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers.registry import find

STREAM = ChatRequest(model="m", messages=(), stream=True, include_usage=True)
WHOLE = ChatRequest(model="m", messages=())
SERVED = Served(id="1", created_s=5, provider="mine", model="m", cost=lambda usage, audio_ms: 7)
USED = Usage(input=3, cached=1, output=2, reasoning=1)
ANSWER: Sequence[Event] = (
    Opened("v", "vendor-1"),
    Reasoning("think", "sig"),
    Text("Hel"),
    Text("lo \u2028"),
    ToolDelta(0, "c1", "f"),
    ToolDelta(0, arguments='{"a":'),
    ToolDelta(0, arguments="1}"),
    ToolDelta(1, "c2", "g", "{}"),
    Text("other", 1),
    Refusal("no", 1),
    Finish("tool_calls"),
    Finish("stop", 1),
    Metered(USED),
)


@pytest.fixture
def client() -> Iterator[OpenAI]:
    with OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1") as made:
        yield made


def chunks(client: OpenAI, body: bytes) -> list[ChatCompletionChunk]:
    """As the SDK's user sees them; each is also held against the whole schema, which the SDK does not do by itself."""
    response = httpx2.Response(
        200,
        headers={"content-type": "text/event-stream"},
        content=body,
        request=httpx2.Request("POST", "http://127.0.0.1:9/v1/chat/completions"),
    )
    with Stream(cast_to=ChatCompletionChunk, response=response, client=client) as stream:
        read = list(stream)
    return [ChatCompletionChunk.model_validate(chunk.to_dict()) for chunk in read]


def test_a_stream(client: OpenAI) -> None:
    encoder = DIALECT.encoder(STREAM, SERVED)
    read = chunks(client, encoder.feed(ANSWER) + encoder.finish(USED))
    first = [choice for chunk in read for choice in chunk.choices if choice.index == 0]
    assert "".join(choice.delta.content or "" for choice in first) == "Hello \u2028"
    assert [choice.delta.role for choice in first if choice.delta.role] == ["assistant"]
    assert [choice.finish_reason for choice in first if choice.finish_reason] == ["tool_calls"]
    calls = [call for choice in first for call in choice.delta.tool_calls or ()]
    assert [(call.index, call.id, call.type) for call in calls if call.id] == [
        (0, "c1", "function"),
        (1, "c2", "function"),
    ]
    arguments = [call.function.arguments or "" for call in calls if call.index == 0 and call.function]
    assert "".join(arguments) == '{"a":1}'
    assert [chunk.usage.total_tokens for chunk in read if chunk.usage] == [5]
    assert read[-1].choices == []
    assert {chunk.model for chunk in read} == {"vendor-1"}


def test_a_whole_reply() -> None:
    encoder = DIALECT.encoder(WHOLE, SERVED)
    encoder.feed(ANSWER)
    reply = ChatCompletion.model_validate_json(encoder.finish(USED))
    message = reply.choices[0].message
    assert (message.content, reply.choices[0].finish_reason) == ("Hello \u2028", "tool_calls")
    assert [(call.id, call.type) for call in message.tool_calls or ()] == [("c1", "function"), ("c2", "function")]
    assert (reply.choices[1].message.content, reply.choices[1].message.refusal) == ("other", "no")
    assert reply.usage is not None
    assert (reply.usage.total_tokens, reply.usage.model_extra) == (5, {"provider": "mine", "cost_micro_usd": 7})


def test_an_error_inside_a_stream(client: OpenAI) -> None:
    encoder = DIALECT.encoder(STREAM, SERVED)
    body = encoder.feed([Text("Hel")]) + DIALECT.fault_frame(Idle("silent"), "r1")
    with pytest.raises(APIError) as caught:
        chunks(client, body)
    assert (caught.value.message, caught.value.code, caught.value.type) == ("silent", "timeout", "timeout_error")


MISTRAL = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"magistral","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true},'
    b'{"type":"text","text":"a"}],"tool_calls":null},"finish_reason":null}]}\n\n'
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"magistral","choices":[{"index":0,"delta":'
    b'{"content":"b","tool_calls":[{"id":"pcZFHqej8","function":{"name":"f","arguments":"{}"}},'
    b'{"id":"pcZFHqej9","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\ndata: [DONE]\n\n'
)
GROQ = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"llama","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","index":0,"function":{"name":"f",'
    b'"arguments":"null"}}]},"finish_reason":null}]}\n\n'
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"llama","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"tool_calls"}],"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}}\n\n'
    b"data: [DONE]\n\n"
)


@pytest.mark.parametrize(
    ("provider", "body", "text", "names"), [("mistral", MISTRAL, "ab", ["f", "g"]), ("groq", GROQ, "", ["f"])]
)
def test_what_is_mended_is_what_the_sdk_reads(
    client: OpenAI, provider: str, body: bytes, text: str, names: list[str]
) -> None:
    kind = find(provider)
    assert kind is not None
    decoder = PassingOn(DIALECT.splitter(STREAM, b""), DIALECT.reader(STREAM, kind.ways))
    encoder = DIALECT.encoder(STREAM, SERVED)
    events = decoder.feed(body) + decoder.eof()
    assert all(isinstance(event, Raw) for event in events)
    read = chunks(client, encoder.feed(events) + encoder.finish(USED))
    deltas = [choice.delta for chunk in read for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == text
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [
        (call.index, call.type, call.function.name, call.function.arguments) for call in calls if call.function
    ] == [(index, "function", name, "{}") for index, name in enumerate(names)]
    assert [(chunk.choices, chunk.usage.total_tokens) for chunk in read if chunk.usage] == [([], 5)]
