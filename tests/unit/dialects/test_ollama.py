import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_corpus as wire
from hoosh.core.asked import (
    ChatRequest,
    Effort,
    ForeignPart,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.errors import (
    BadRequest,
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
from hoosh.core.events import Event, Finish, FinishReason, Metered, Opened, Raw, Reasoning, Text, ToolDelta, Usage
from hoosh.dialects import JSON, PassingOn, Translating, Ways
from hoosh.dialects.ollama.chat import DIALECT
from hoosh.providers.ollama import PROVIDER
from wire_corpus import How

WAYS = Ways()
HI = Message("user", (TextPart("hi"),))
WEATHER = Tool("weather", "Tells it.", b'{"type":"object","properties":{"city":{"type":"string"}}}')


def rendered(*messages: Message, model: str = "llama3.2", **fields: Any) -> JSON:
    asked = ChatRequest(model="m", messages=messages or (HI,), **fields)
    body: JSON = json.loads(DIALECT.render(asked, model, WAYS).body)
    return body


def refused(*messages: Message) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        rendered(*messages)
    return caught.value


def test_stream_is_always_said() -> None:
    request = DIALECT.render(ChatRequest(model="m", messages=(HI,)), "llama3.2", WAYS)
    assert request.body == b'{"model":"llama3.2","messages":[{"role":"user","content":"hi"}],"stream":false}'
    assert (request.method, request.path) == (b"POST", "/api/chat")
    assert request.headers == ((b"content-type", b"application/json"),)
    assert rendered(stream=True)["stream"] is True


def test_every_setting_has_its_word() -> None:
    body = rendered(
        sampling=Sampling(
            temperature=0.0,
            top_p=0.9,
            top_k=40,
            min_p=0.1,
            presence_penalty=0.5,
            frequency_penalty=-0.5,
            seed=7,
            stop=("END",),
            logprobs=True,
        ),
        max_output_tokens=64,
    )
    assert body["options"] == {
        "num_predict": 64,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "seed": 7,
        "stop": ["END"],
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
    }


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (None, None),
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), "json"),
        (ResponseFormat("json_schema", "a"), "json"),
        (ResponseFormat("json_schema", "a", b'{"type":"object"}'), {"type": "object"}),
    ],
)
def test_formats(wanted: ResponseFormat | None, said: object) -> None:
    assert rendered(response_format=wanted).get("format") == said


@pytest.mark.parametrize(
    ("model", "effort", "think"),
    [
        ("qwen3", None, None),
        ("qwen3", "none", False),
        ("qwen3", "minimal", True),
        ("qwen3", "high", True),
        ("gpt-oss:20b", "none", "low"),
        ("gpt-oss:20b", "medium", "medium"),
        ("gpt-oss:20b", "xhigh", "high"),
    ],
)
def test_effort_is_a_switch_but_for_gpt_oss(model: str, effort: Effort | None, think: object) -> None:
    assert rendered(model=model, effort=effort).get("think") == think


def test_tools() -> None:
    weather = {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells it.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    now = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
    assert rendered(tools=(WEATHER, Tool("now"), Tool("now", "", b" {}")))["tools"] == [weather, now, now]
    assert rendered(tools=(WEATHER,), tool_choice=ToolChoice("required"))["tools"] == [weather]
    assert "tools" not in rendered(tools=(WEATHER,), tool_choice=ToolChoice("none"))


def test_a_loop_of_two_calls_at_once() -> None:
    body = rendered(
        Message("developer", (TextPart("Be brief."),)),
        HI,
        Message(
            "assistant",
            (
                ReasoningPart("hm", "S"),
                ReasoningPart("!"),
                ToolCall("c1", "weather", '{"n": 1e2}', "SIG"),
                ToolCall("", "now", "null"),
            ),
        ),
        Message("tool", (ToolResult("c1", (TextPart("3"), TextPart(" C"))),)),
        Message("tool", (ToolResult("", (ImagePart(data="QQ=="),), "now"),)),
        Message("user", (ToolResult("c9"), TextPart("and"))),
    )
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm!",
            "tool_calls": [
                {"id": "c1", "function": {"name": "weather", "arguments": {"n": 100.0}}},
                {"function": {"name": "now", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "3 C", "tool_name": "weather", "tool_call_id": "c1"},
        {"role": "tool", "content": "", "tool_name": "now", "images": ["QQ=="]},
        {"role": "tool", "content": "", "tool_call_id": "c9"},
        {"role": "user", "content": "and"},
    ]


@pytest.mark.parametrize("arguments", ['{"a":', "[]", '"{}"', '{"a":' * 5000])
def test_arguments_must_be_an_object(arguments: str) -> None:
    assert refused(HI, Message("assistant", (ToolCall("c", "f", arguments),))).param == "messages[1].tool_calls"


def test_images_are_bare() -> None:
    image = ImagePart(data="QUJD", media_type="image/png")
    assert rendered(Message("user", (TextPart("a"), image, ForeignPart("openai_chat", "file", b"{}"), TextPart("b"))))[
        "messages"
    ] == [{"role": "user", "content": "ab", "images": ["QUJD"]}]


def test_an_images_address_is_refused_with_the_reason() -> None:
    error = refused(HI, Message("user", (ImagePart(url="https://x/y.png"),)))
    assert (error.param, "inline images only" in error.message) == ("messages[1].content", True)


def test_a_clients_own_body_passes_untouched_but_for_the_model() -> None:
    asked = ChatRequest(model="a", messages=())
    body = b'{ "model": "a", "options": { "num_ctx": 8192.0 } }'
    assert DIALECT.pass_on(asked, body, "a", WAYS).body is body
    assert DIALECT.pass_on(asked, body, "b", WAYS).body == b'{"model":"b","options":{ "num_ctx": 8192.0 }}'


def test_quirks_change_what_is_rendered_and_what_is_passed_on() -> None:
    def quirk(body: JSON) -> None:
        body["keep_alive"] = -1

    asked = ChatRequest(model="a", messages=())
    ways = Ways(quirks=(quirk,))
    assert DIALECT.pass_on(asked, b'{"model":"a"}', "a", ways).body == b'{"model":"a","keep_alive":-1}'
    assert json.loads(DIALECT.render(asked, "a", ways).body)["keep_alive"] == -1


def events(body: bytes, *cuts: int, stream: bool = True, content_type: bytes = b"") -> list[Event]:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    decoder = Translating(DIALECT.splitter(asked, content_type), DIALECT.reader(asked, WAYS))
    found: list[Event] = []
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        found += decoder.feed(body[start:end])
    return found + decoder.eof()


STREAM = (
    b'{"model":"qwen3","created_at":"2025-08-08T10:00:04.5Z","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}\n'
    b'{"model":"qwen3","created_at":"2025-08-08T10:00:05Z","message":{"role":"assistant","content":"\xc3\xa9\xe2\x80\xa8"},"done":false}\n'
    b'{"model":"qwen3","message":{"role":"assistant","content":"","tool_calls":[{"function":{"index":0,"name":"weather",'
    b'"arguments":{"city": "Oslo"}}},{"id":"call_x","function":{"name":"now","arguments":"{\\"z\\":1}"}},'
    b'{"function":{"name":"then"}}]},"done":false}\r\n'
    b'{"model":"qwen3","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"total_duration":1,"prompt_eval_count":26,"eval_count":298}\n'
)
MEANT: list[Event] = [
    Opened(model="qwen3"),
    Reasoning("hm"),
    Text("é\u2028"),
    ToolDelta(0, "call_202508081000045_0", "weather", '{"city": "Oslo"}'),
    ToolDelta(1, "call_x", "now", '{"z":1}'),
    ToolDelta(2, "call_202508081000045_2", "then", "{}"),
    Metered(Usage(input=26, output=298)),
    Finish("tool_calls"),
]


def test_a_stream() -> None:
    assert events(STREAM) == MEANT
    assert events(STREAM.rstrip(), stream=False, content_type=b"application/x-ndjson") == MEANT
    assert events(STREAM + b'{"done":true}\n') == MEANT


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_split_means_the_same(cuts: list[int]) -> None:
    assert events(STREAM, *sorted(cuts)) == MEANT


def test_a_cut_anywhere_is_not_an_end() -> None:
    for size in range(len(STREAM) - 1):
        with pytest.raises(Truncated):
            events(STREAM[:size])


def test_a_reply_without_a_message() -> None:
    assert events(b'{"done":true,"done_reason":"load"}') == [Opened(), Finish("stop")]


def test_pass_through_keeps_every_byte() -> None:
    asked = ChatRequest(model="m", messages=(), stream=True)
    decoder = PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, WAYS))
    found = [*decoder.feed(STREAM), *decoder.eof()]
    assert b"".join(event.data for event in found if isinstance(event, Raw)) == STREAM


def ended(**fields: Any) -> list[Event]:
    body = json.dumps({"model": "m", "message": {"content": "a"}, "done": True, **fields}, indent=1).encode()
    return events(body, stream=False, content_type=b"application/json; charset=utf-8")


@pytest.mark.parametrize(
    ("said", "meant"),
    [("stop", "stop"), ("length", "length"), ("load", "stop"), ("unload", "stop"), ("to_come", "stop"), (None, "stop")],
)
def test_why_it_ended(said: str | None, meant: FinishReason) -> None:
    assert ended(done_reason=said) == [Opened(model="m"), Text("a"), Finish(meant)]


def test_a_call_cut_by_the_limit_is_not_a_call_to_make() -> None:
    call = {"function": {"name": "f", "arguments": None}}
    found = ended(message={"tool_calls": [call, call]}, done_reason="length")
    assert found[1:] == [ToolDelta(0, "call_0", "f", "{}"), ToolDelta(1, "call_1", "f", "{}"), Finish("length")]


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_eval_count": 3, "eval_count": 4}, Usage(input=3, output=4)),
        ({"eval_count": 4}, Usage(output=4)),
        ({"prompt_eval_count": 3}, Usage(input=3, source="estimated")),
    ],
)
def test_a_cached_prompt_counts_nothing(counts: JSON, usage: Usage) -> None:
    assert Metered(usage) in ended(**counts)


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        (b'{"error":"an error was encountered while running the model"}', BadUpstream, "an error was encountered"),
        (b'{"error":"model \'x\' not found"}', ModelGone, "model 'x' not found"),
        (b'{"error":{"message":"no"}}', BadUpstream, "no"),
    ],
)
def test_an_error_inside_a_reply(line: bytes, kind: type[UpstreamError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        events(STREAM.split(b"\n")[0] + b"\n" + line + b"\n")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "body",
    [
        b"{\n",
        b"[]",
        b'{"message":1}',
        b"<html>\n",
        b'{"model":"\xff"}\n',
        b'{"message":{"tool_calls":[{"function":{"arguments":{"a":"\xff"}}}]}}',
        b'{"message":' * 100_000,
    ],
)
def test_what_is_not_the_dialect(body: bytes) -> None:
    with pytest.raises(BadUpstream, match="not in Ollama's format"):
        events(body)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, '"llama3" does not support tools', Refused),
        (400, "the input length exceeds the context length", ContextTooLong),
        (401, "unauthorized", CredentialRefused),
        (402, "", OutOfCredit),
        (403, "", CredentialRefused),
        (404, "model 'x' not found", ModelGone),
        (413, "", Refused),
        (429, "too many requests", Throttled),
        (500, "llama runner process has terminated", BadUpstream),
        (502, "", BadUpstream),
        (503, "server busy, please try again.  maximum pending requests exceeded", Overloaded),
    ],
)
def test_refusals(status: int, text: str, kind: type[UpstreamError]) -> None:
    refusal = DIALECT.refusal(status, {}, json.dumps({"error": text}).encode())
    assert (type(refusal), refusal.upstream_status, refusal.retry_after_s) == (kind, status, None)
    assert refusal.message == (text or f"the provider answered with status {status}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":" No. "}}', "No."),
        (b'{"error":1}', "the provider answered with status 418"),
        (b"", "the provider answered with status 418"),
        (b"[1]", "the provider answered with status 418"),
        (b"<html>", "the provider answered with status 418"),
        (b"404 page not found\n", "404 page not found"),
        (b"x" * 9000, "x" * 500),
        (b'{"error":"%b"}' % (b"x" * 9000), "x" * 500),
    ],
)
def test_what_a_refusal_says(body: bytes, message: str) -> None:
    assert DIALECT.refusal(418, {}, body).message == message


@pytest.mark.parametrize(("header", "seconds"), [(b"5", 5.0), (b"nan", None), (b"Fri, 31 Dec 1999", None)])
def test_when_to_try_again(header: bytes, seconds: float | None) -> None:
    assert DIALECT.refusal(429, {b"retry-after": header}, b"").retry_after_s == seconds


def test_models() -> None:
    assert (DIALECT.models_request().method, DIALECT.models_request().path) == (b"GET", "/api/tags")
    assert DIALECT.models(b'{"models":[{"name":"a:latest","model":"a:1b"},{"name":"b"}]}') == ("a:1b", "b")
    with pytest.raises(BadUpstream):
        DIALECT.models(b"Ollama is running")


def test_ollama() -> None:
    assert PROVIDER.dialect.name == DIALECT.name
    assert PROVIDER.sign("k") == ((b"authorization", b"Bearer k"),)
    assert (PROVIDER.local, PROVIDER.needs_key) == (True, False)


@pytest.mark.parametrize("how", ["event", "random", "byte"])
def test_recorded_replies(how: How) -> None:
    recorded = wire.records("ollama", ["ollama_chat"])
    found = {
        record["id"]: lines
        for record in recorded
        if (lines := wire.differences(wire.expected(record) or {}, wire.run_reader(DIALECT, WAYS, record, how)))
    }
    # Made by hand for another program's tests: without counts, where hoosh estimates and norm.py counts nothing.
    uncounted = [f"usage.{name} 0 != None" for name in ("in", "out", "cached", "reasoning")]
    assert found == {"ollama-prismfx-f1ebb50c": uncounted}
    assert len(recorded) == 21


def said_plainly(body: Any) -> Any:
    """Without what norm.py has no words for: `think` and thoughts, the window, formats, and fields that say nothing."""
    if not isinstance(body, dict):
        return body
    options = {name: value for name, value in body.get("options", {}).items() if name != "num_ctx"}
    messages = [{k: v for k, v in message.items() if v and k != "thinking"} for message in body["messages"]]
    kept = {name: value for name, value in body.items() if name in ("model", "stream", "tools") and value != []}
    return kept | {"messages": messages} | ({"options": options} if options else {})


def plain(body: JSON) -> JSON:
    """The same request without what may differ, each with its reason."""
    plain_body: JSON = json.loads(json.dumps(said_plainly(body)))
    for message in plain_body["messages"]:
        for name in ("tool_name", "tool_call_id"):  # both came after tools did
            message.pop(name, None)
        for call in message.get("tool_calls", ()):
            call.pop("id", None)
            call.pop("type", None)  # not one of Ollama's fields
        message.setdefault("content", "")
    plain_body.setdefault("stream", True)  # hoosh says what is the default
    return plain_body


def test_recorded_requests() -> None:
    checked = {}
    for record in wire.records("ollama", ["ollama_chat"]):
        asked = {**record, "request_body": said_plainly(record["request_body"])}
        lines = wire.check_render(DIALECT, WAYS, asked, plain)
        if lines is not None:
            checked[record["id"]] = lines
    assert {name: lines for name, lines in checked.items() if lines} == {}
    assert len(checked) == 19
