"""Ollama as clients speak it: what is read of their requests, and what Ollama's own types make of the replies."""

import json
from collections.abc import Sequence
from typing import Any

import ollama
import pytest

from hoosh.core.asked import (
    ChatRequest,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
)
from hoosh.core.errors import BadRequest, BadUpstream, Idle
from hoosh.core.events import (
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
from hoosh.core.features import lost
from hoosh.dialects import PassingOn, Served, Translating, Ways
from hoosh.dialects.ollama.chat import DIALECT
from hoosh.dialects.ollama.client import CHAT, GENERATE, OllamaChatClient
from hoosh.dialects.ollama.generate import DIALECT as GENERATING
from hoosh.dialects.openai_chat import LOSSES as OPENAI_LOSSES

SERVED = Served(
    id="call1", created_s=0, provider="mine", model="vendor-m", first_event_ns=4_000, elapsed_ns=lambda: 10_000
)
USED = Usage(input=9, output=7, reasoning=3)
HI: list[Any] = [{"role": "user", "content": "Hi"}]
ANSWER: Sequence[Event] = (
    Opened("x", "vendor-1"),
    Reasoning("hm", "signature"),
    Text("Hel"),
    Text("lo\u2028\u0085\r\n"),
    ToolDelta(0, "c1", "f"),
    ToolDelta(1, "c2", "g", '{"b":'),
    ToolDelta(0, arguments='{\r\n"a":\n'),
    ToolDelta(0, arguments="1}"),
    ToolDelta(1, arguments="2}"),
    Finish("tool_calls"),
    Metered(USED),
)


def chat(**body: Any) -> ChatRequest:
    return CHAT.parse(json.dumps({"model": "m", "messages": HI, **body}).encode())


def test_a_stream_is_what_is_asked_unless_told_otherwise() -> None:
    assert chat().stream
    assert chat(stream=None).stream
    assert not chat(stream=False).stream
    assert GENERATE.parse(b'{"model":"m","prompt":"x"}').stream


def test_settings() -> None:
    request = chat(
        options={"num_predict": 5, "temperature": 0, "stop": "END", "num_ctx": 4096, "mirostat": 1},
        format={"type": "object"},
        keep_alive="5m",
        logprobs=True,
        top_logprobs=2,
    )
    assert (request.max_output_tokens, request.sampling.temperature, request.sampling.stop) == (5, 0.0, ("END",))
    assert (request.sampling.logprobs, request.sampling.top_logprobs) == (True, 2)
    assert request.response_format == ResponseFormat("json_schema", schema=b'{"type": "object"}')
    assert [name for name, _ in request.extra] == ["keep_alive", "options.num_ctx", "options.mirostat"]
    assert "extra.options.num_ctx" in lost(request, OPENAI_LOSSES, "openai_chat")
    assert chat(options={"num_predict": -1}).max_output_tokens is None
    assert chat(format="json").response_format == ResponseFormat("json_object")
    assert chat(format="").response_format is None


@pytest.mark.parametrize(
    ("think", "effort"), [(None, None), (True, "medium"), (False, "none"), ("low", "low"), ("high", "high")]
)
def test_thinking(think: object, effort: str | None) -> None:
    assert chat(think=think).effort == effort


def test_a_conversation_with_tools() -> None:
    messages = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Q", "images": ["/9j/AA", "data:image/webp;base64,AA=="]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"function": {"name": n, "arguments": {"k": 1.50}}} for n in "fgf"],
        },
        {"role": "tool", "tool_name": "g", "content": "G"},
        {"role": "tool", "name": "f", "content": "F1"},
        {"role": "tool", "content": "F2"},
    ]
    request = chat(messages=messages, tools=[{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}])
    assert request.tools == (Tool("f", schema=b'{"a": 1}'),)
    assert request.messages == (
        Message("system", (TextPart("S"),)),
        Message(
            "user",
            (
                TextPart("Q"),
                ImagePart(data="/9j/AA", media_type="image/jpeg"),
                ImagePart(data="AA==", media_type="image/webp"),
            ),
        ),
        Message(
            "assistant",
            (ReasoningPart("hm"), *(ToolCall(f"call_{k + 1}", name, '{"k": 1.5}') for k, name in enumerate("fgf"))),
        ),
        Message("tool", (ToolResult("call_2", (TextPart("G"),), "g"),)),
        Message("tool", (ToolResult("call_1", (TextPart("F1"),), "f"),)),
        Message("tool", (ToolResult("call_3", (TextPart("F2"),), "f"),)),
    )


def test_generate() -> None:
    body = {"model": "m", "prompt": "P", "system": "S", "images": ["/9j/AA"], "suffix": "X", "raw": True}
    request = GENERATE.parse(json.dumps(body).encode())
    assert request.messages == (
        Message("system", (TextPart("S"),)),
        Message("user", (TextPart("P"), ImagePart(data="/9j/AA", media_type="image/jpeg"))),
    )
    assert [name for name, _ in request.extra] == ["suffix", "raw"]
    assert request.dialect == "ollama_generate"


def test_nothing_to_answer_is_no_message() -> None:
    assert chat(messages=[]).messages == ()
    assert GENERATE.parse(b'{"model":"m"}').messages == ()
    assert GENERATE.parse(b'{"model":"m","prompt":"","system":"S"}').messages == ()


@pytest.mark.parametrize(
    ("keep_alive", "reason"),
    [(None, "load"), (0, "unload"), (0.0, "unload"), ("0", "unload"), ("0s", "unload"), ("5m", "load"), (-1, "load")],
)
def test_loading_and_unloading(keep_alive: object, reason: str) -> None:
    said = json.loads(CHAT.loaded(chat(messages=[], keep_alive=keep_alive), 0))
    assert (said["done"], said["done_reason"], said["message"]["content"]) == (True, reason, "")
    assert json.loads(GENERATE.loaded(GENERATE.parse(b'{"model":"m"}'), 0))["response"] == ""


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"model":"m",', "body"),
        (b'{"messages":[]}', "model"),
        (b'{"model":"a\\u0000","messages":[]}', "model"),
        (b'{"model":"m","messages":"hi"}', "messages"),
        (b'{"model":"m","messages":[{"content":"x"}]}', "messages[0].role"),
        (b'{"model":"m","messages":[{"role":"bot","content":"x"}]}', "messages[0].role"),
        (b'{"model":"m","messages":[{"role":"user","content":5}]}', "messages[0].content"),
        (b'{"model":"m","messages":[],"options":{"top_k":"x"}}', "options.top_k"),
        (b'{"model":"m","messages":[],"options":5}', "options"),
        (b'{"model":"m","messages":[],"format":"yaml"}', "format"),
        (b'{"model":"m","messages":[],"think":"much"}', "think"),
        (b'{"model":"m","messages":[],"tools":[{"function":{}}]}', "tools[0].function.name"),
        (
            b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}',
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_a_bad_body_names_its_field(body: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        CHAT.parse(body)
    assert caught.value.param == param
    assert json.loads(CHAT.fault(caught.value, "r1")) == {"error": caught.value.message}


def said(dialect: OllamaChatClient, events: Sequence[Event], *, stream: bool) -> bytes:
    request = ChatRequest(model="m", messages=(), stream=stream)
    encoder = dialect.encoder(request, SERVED)
    return b"".join(encoder.feed([event]) for event in events) + encoder.finish(USED)


def test_a_whole_reply() -> None:
    reply = ollama.ChatResponse.model_validate_json(said(CHAT, ANSWER, stream=False))
    assert (reply.model, reply.message.content, reply.message.thinking) == ("m", "Hello\u2028\u0085\r\n", "hm")
    calls = [(call.function.name, call.function.arguments) for call in reply.message.tool_calls or ()]
    assert calls == [("f", {"a": 1}), ("g", {"b": 2})]
    assert (reply.done, reply.done_reason) == (True, "stop")
    assert (reply.prompt_eval_count, reply.eval_count) == (9, 7)
    assert (reply.total_duration, reply.eval_duration) == (10_000, 10_000)


def test_a_stream_is_lines() -> None:
    """Read with Python's own idea of a line, as the official client does."""
    replies = [
        ollama.ChatResponse.model_validate_json(line) for line in said(CHAT, ANSWER, stream=True).decode().splitlines()
    ]
    assert "".join(reply.message.content or "" for reply in replies) == "Hello\u2028\u0085\r\n"
    assert "".join(reply.message.thinking or "" for reply in replies) == "hm"
    assert [len(reply.message.tool_calls or ()) for reply in replies] == [0, 0, 0, 2, 0]
    assert [reply.done for reply in replies] == [False] * 4 + [True]
    last = replies[-1]
    assert (last.prompt_eval_duration, last.eval_duration, last.total_duration) == (4_000, 6_000, 10_000)
    assert last.created_at == "1970-01-01T00:00:00Z"


def test_generate_says_the_same_in_its_own_place() -> None:
    events: list[Event] = [Reasoning("hm"), Text("a"), Text("b"), Finish("length")]
    whole = ollama.GenerateResponse.model_validate_json(said(GENERATE, events, stream=False))
    assert (whole.response, whole.thinking, whole.done_reason) == ("ab", "hm", "length")
    lines = said(GENERATE, events, stream=True).splitlines()
    assert "".join(ollama.GenerateResponse.model_validate_json(line).response or "" for line in lines) == "ab"
    assert b'"message"' not in b"".join(lines)


def test_refusals_pictures_and_logprobs() -> None:
    events: list[Event] = [
        Refusal("no"),
        Media("image/png", "AA=="),
        Logprobs(b'[{"token":"a","logprob":-0.5}]'),
        Text("other", 1),
        Finish("content_filter"),
    ]
    reply = json.loads(said(CHAT, events, stream=False))
    assert (reply["message"]["content"], reply["message"]["images"]) == ("no", ["AA=="])
    assert (reply["logprobs"], reply["done_reason"]) == ([{"token": "a", "logprob": -0.5}], "content_filter")


def test_a_call_that_is_no_object_is_an_error_and_a_cut_one_is_left_out() -> None:
    with pytest.raises(BadUpstream, match="no JSON object"):
        said(CHAT, [ToolDelta(0, "c", "f", '{"a":'), Finish("tool_calls")], stream=True)
    reply = json.loads(said(CHAT, [Text("x"), ToolDelta(0, "c", "f", '{"a":'), Finish("length")], stream=False))
    assert (reply["message"], reply["done_reason"]) == ({"role": "assistant", "content": "x"}, "length")


def test_an_error_inside_a_stream_is_a_line_of_its_own() -> None:
    (line,) = CHAT.fault_frame(Idle("si\u2028lent\n"), "r1").decode().splitlines()
    assert json.loads(line) == {"error": "si\u2028lent\n"}


OLLAMA = (
    b'{"model":"m","created_at":"2026-11-24T10:00:00Z","message":{"role":"assistant","content":"a"},"done":false}\n'
    b'{"model":"m","message":{"role":"assistant","content":"b\xe2\x80\xa8"},"done":true,"done_reason":"stop","eval_count":2}\n'
)
GENERATED = (
    b'{"model":"m","created_at":"2026-11-24T10:00:00Z","response":"a","thinking":"t","done":false}\n'
    b'{"model":"m","response":"b","done":true,"done_reason":"length","context":[1],"eval_count":2}\n'
)


@pytest.mark.parametrize(
    ("client", "provider", "data"),
    [(CHAT, DIALECT, OLLAMA), (GENERATE, GENERATING, GENERATED)],
    ids=["chat", "generate"],
)
def test_ollamas_own_reply_passes_through_however_it_is_split(
    client: OllamaChatClient, provider: Any, data: bytes
) -> None:
    request = ChatRequest(model="m", messages=(), stream=True)
    for cut in range(len(data)):
        decoder = PassingOn(provider.splitter(request, b""), provider.reader(request, Ways()))
        encoder = client.encoder(request, SERVED)
        events = [decoder.feed(data[:cut]), decoder.feed(data[cut:]), decoder.eof()]
        assert b"".join(map(encoder.feed, events)) + encoder.finish(USED) == data


def test_a_generated_reply_is_understood() -> None:
    request = ChatRequest(model="m", messages=(), stream=True)
    decoder = Translating(GENERATING.splitter(request, b""), GENERATING.reader(request, Ways()))
    events = decoder.feed(GENERATED) + decoder.eof()
    assert [event for event in events if not isinstance(event, Opened | Metered)] == [
        Reasoning("t"),
        Text("a"),
        Text("b"),
        Finish("length"),
    ]
    broken = Translating(GENERATING.splitter(request, b""), GENERATING.reader(request, Ways()))
    with pytest.raises(BadUpstream):
        broken.feed(b'{"error":"model runner has stopped"}\n')


def test_a_generate_request_goes_up_as_it_is() -> None:
    body = b'{"model":"m", "prompt":"x", "suffix":"y"}'
    wire = GENERATING.pass_on(GENERATE.parse(body), body, "m", Ways())
    assert (wire.path, wire.body) == ("/api/generate", body)
