"""Requests of Chat Completions: what is refused and in which words, what they mean, and how they pass on."""

import json
from typing import Any

import msgspec
import pytest

from hoosh.core.asked import (
    ChatRequest,
    FilePart,
    ForeignPart,
    ForeignTool,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai_chat import DIALECT

HELLO = '"model":"m","messages":[{"role":"user","content":"hi"}]'


def parse(text: str | bytes) -> ChatRequest:
    return DIALECT.parse(text.encode() if isinstance(text, str) else text)


def message(text: str) -> Message:
    return parse(f'{{"model":"m","messages":[{text}]}}').messages[0]


def refusal(text: str | bytes) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        parse(text)
    return caught.value.message, caught.value.param


@pytest.mark.parametrize(
    ("body", "text", "param"),
    [
        ('{"messages":[{"role":"user","content":"hi"}]}', "model field is required", "model"),
        ('{"model":"","messages":[{"role":"user","content":"hi"}]}', "model field is required", "model"),
        ('{"model":null,"messages":[{"role":"user","content":"hi"}]}', "model field is required", "model"),
        ('{"model":"a\\nb","messages":[{"role":"user","content":"hi"}]}', "invalid model name", "model"),
        ('{"model":"a\\\\b","messages":[{"role":"user","content":"hi"}]}', "invalid model name", "model"),
        ('{"model":"a\\"b","messages":[{"role":"user","content":"hi"}]}', "invalid model name", "model"),
        ('{"model":"m"}', "messages array is required", "messages"),
        ('{"model":"m","messages":null}', "messages array is required", "messages"),
        ('{"model":"m","messages":[]}', "messages array is empty", "messages"),
        (f'{{{HELLO},"temperature":2.5}}', "temperature must be between 0.0 and 2.0, got 2.5", "temperature"),
        (f'{{{HELLO},"temperature":-1}}', "temperature must be between 0.0 and 2.0, got -1.0", "temperature"),
        (f'{{{HELLO},"top_p":1.01}}', "top_p must be between 0.0 and 1.0, got 1.01", "top_p"),
        (f'{{{HELLO},"max_tokens":0}}', "max_tokens must be greater than 0", "max_tokens"),
        (
            f'{{{HELLO},"max_completion_tokens":-1}}',
            "max_completion_tokens must be greater than 0",
            "max_completion_tokens",
        ),
        (f'{{{HELLO},"n":0}}', "n must be greater than 0", "n"),
        ("", "the request body is empty", "body"),
        (" \n", "the request body is empty", "body"),
        ("[]", "body: expected object, got array", "body"),
        ("null", "body: expected object, got null", "body"),
        ('{"model":5}', "model: expected string, got integer", "model"),
        ('{"model":"m","messages":{}}', "messages: expected array, got object", "messages"),
        ('{"model":"m","messages":["hi"]}', "messages[0]: expected object, got string", "messages[0]"),
        (f'{{{HELLO},"temperature":"hot"}}', "temperature: expected number, got string", "temperature"),
        (f'{{{HELLO},"temperature":1e999}}', "temperature: number out of range", "temperature"),
        (f'{{{HELLO},"n":1.5}}', "n: expected integer, got number", "n"),
        (f'{{{HELLO},"seed":true}}', "seed: expected integer, got boolean", "seed"),
        (f'{{{HELLO},"seed":1{"0" * 5000}}}', "seed: integer value out of range", "seed"),
        (f'{{{HELLO},"stop":7}}', "stop: expected string or array, got integer", "stop"),
        (f'{{{HELLO},"stop":["a",7]}}', "stop[1]: expected string, got integer", "stop[1]"),
        (f'{{{HELLO},"stream":"yes"}}', "stream: expected boolean, got string", "stream"),
        (f'{{{HELLO},"tools":[{{"function":{{}}}}]}}', "tools[0].function.name is required", "tools[0].function.name"),
        (f'{{{HELLO},"tool_choice":7}}', "tool_choice: expected string or object, got integer", "tool_choice"),
        (
            f'{{{HELLO},"temperature":NaN}}',
            "the request body is not valid JSON: invalid character (byte 71)",
            "body",
        ),
        (
            f'{{{HELLO},"temperature":-Infinity}}',
            "the request body is not valid JSON: invalid character (byte 72)",
            "body",
        ),
        (f"{{{HELLO}}} x", "the request body is not valid JSON: trailing characters (byte 59)", "body"),
        (f"{{{HELLO}", "the request body is not valid JSON: it ends too early", "body"),
        ('{"model":"\\udc00"}', "the request body is not valid JSON: invalid utf-16 surrogate pair (byte 16)", "body"),
        (b'{"model":"\xff"}', "the request body is not valid UTF-8 (byte 10)", "body"),
    ],
)
def test_what_is_refused_and_in_which_words(body: str | bytes, text: str, param: str) -> None:
    assert refusal(body) == (text, param)


@pytest.mark.parametrize(
    ("said", "text", "param"),
    [
        ('{"content":"hi"}', "messages[0].role is required", "role"),
        ('{"role":5,"content":"hi"}', "messages[0].role: expected string, got integer", "role"),
        (
            '{"role":"wizard","content":"hi"}',
            'messages[0].role: unknown role "wizard", use one of system, developer, user, assistant, tool',
            "role",
        ),
        ('{"role":"user"}', "messages[0].content: expected string or array of parts, got null", "content"),
        ('{"role":"system","content":null}', "messages[0].content: expected string or array of parts, got null", "content"),
        ('{"role":"user","content":5}', "messages[0].content: expected string or array, got integer", "content"),
        ('{"role":"user","content":["hi"]}', "messages[0].content[0]: expected object, got string", "content[0]"),
        ('{"role":"user","content":[{"text":"x"}]}', "messages[0].content[0].type is required", "content[0].type"),
        (
            '{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":5}]}',
            "messages[0].content[1].text: expected string, got integer",
            "content[1].text",
        ),
        (
            '{"role":"user","content":[{"type":"image_url","image_url":{}}]}',
            "messages[0].content[0].image_url.url is required",
            "content[0].image_url.url",
        ),
        ('{"role":"tool","content":"x"}', "messages[0].tool_call_id is required", "tool_call_id"),
        (
            '{"role":"assistant","tool_calls":[{"id":"a"}]}',
            "messages[0].tool_calls[0].function is required",
            "tool_calls[0].function",
        ),
        (
            '{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]}',
            "messages[0].tool_calls[0].function.arguments: expected string, got object",
            "tool_calls[0].function.arguments",
        ),
    ],
)  # fmt: skip
def test_a_message_that_is_refused_is_named(said: str, text: str, param: str) -> None:
    assert refusal(f'{{"model":"m","messages":[{said}]}}') == (text, f"messages[0].{param}")


def test_too_many_messages() -> None:
    many = ",".join(['{"role":"user","content":""}'] * 10_001)
    assert refusal(f'{{"model":"m","messages":[{many}]}}') == ("Too many messages: 10001 (max 10000)", "messages")


def test_a_model_name_has_a_length() -> None:
    body = '{"model":"%s","messages":[{"role":"user","content":"hi"}]}'
    assert parse(body % ("m" * 256)).model == "m" * 256
    assert refusal(body % ("m" * 257)) == ("invalid model name", "model")


LISTS = "[" * 10**5 + "]" * 10**5
OBJECTS = '{"a":' * 10**5 + "1" + "}" * 10**5


@pytest.mark.parametrize(
    "body",
    [
        f'{{{HELLO},"x":{LISTS}}}',
        f'{{{HELLO},"x":{OBJECTS}}}',
        f'{{"model":"m","messages":[{{"role":"user","content":{LISTS}}}]}}',
        f'{{"model":"m","messages":[{{"role":"user","content":[{OBJECTS}]}}]}}',
        f'{{{HELLO},"tools":[{{"function":{{"name":"f","parameters":{OBJECTS}}}}}]}}',
    ],
    ids=range(5),
)
def test_nesting_has_an_end(body: str) -> None:
    assert refusal(body) == ("the request body is nested too deep", "body")


def test_nesting_that_only_a_quirk_meets() -> None:
    def reads(body: JSON) -> None:
        body["x"] = msgspec.json.decode(body["x"])
        raise RecursionError

    text = f'{{{HELLO},"x":[]}}'.encode()
    with pytest.raises(BadRequest, match="nested too deep"):
        DIALECT.pass_on(DIALECT.parse(text), text, "m", Ways(quirks=(reads,)))


def test_a_number_that_only_a_quirk_meets() -> None:
    def reads(body: JSON) -> None:
        msgspec.json.decode(body["x"])

    text = f'{{{HELLO},"x":{{"y":1e999}}}}'.encode()
    with pytest.raises(BadRequest, match="number out of range"):
        DIALECT.pass_on(DIALECT.parse(text), text, "m", Ways(quirks=(reads,)))


def test_a_name_said_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match="temperature: a field is there twice"):
        parse(f'{{{HELLO},"temperature":1,"temperature":2}}')


def test_large_integers_are_kept() -> None:
    assert parse(f'{{{HELLO},"seed":1{"0" * 30}}}').sampling.seed == 10**30


def test_what_the_canon_has_no_word_for_is_kept() -> None:
    asked = parse(f'{{"zeta":[1, 2],{HELLO},"logit_bias":{{"5":-100}},"pool":"team"}}')
    assert asked.extra == (("zeta", b"[1, 2]"), ("logit_bias", b'{"5":-100}'), ("pool", b'"team"'))


def test_a_call_without_content() -> None:
    said = message(
        '{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",'
        '"function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}},'
        '{"function":{"name":"g"}}]}'
    )
    assert said == Message("assistant", (ToolCall("c1", "f", "{}", "s"), ToolCall("", "g")))


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ('{"role":"user","content":"hi"}', (TextPart("hi"),)),
        ('{"role":"user","content":""}', ()),
        (
            '{"role":"user","content":[{"type":"text","text":"a"},{"type":"text"}]}',
            (TextPart("a"), TextPart("")),
        ),
        (
            '{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://e.com/a.png","detail":"low"}}]}',
            (ImagePart(url="https://e.com/a.png", detail="low"),),
        ),
        (
            '{"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,AA=="}]}',
            (ImagePart(data="AA==", media_type="image/png"),),
        ),
        (
            '{"role":"user","content":[{"type":"image_url","image_url":"data:image/svg+xml,%3Csvg/%3E"}]}',
            (ImagePart(url="data:image/svg+xml,%3Csvg/%3E"),),
        ),
        (
            '{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA","format":"mp3"}}]}',
            (FilePart(media_type="audio/mp3", data="AA"),),
        ),
        (
            '{"role":"user","content":[{"type":"file","file":{"filename":"a","file_data":"data:text/csv;base64,AA"}}]}',
            (FilePart(media_type="text/csv", data="AA", name="a"),),
        ),
        (
            '{"role":"user","content":[{"type":"file","file":{"file_data":"https://e.com/a"}}]}',
            (FilePart(url="https://e.com/a"),),
        ),
        ('{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}', (FilePart(file_id="f"),)),
        (
            '{"role":"user","content":[{"type":"video_url", "video_url":{"url":"u"}}]}',
            (ForeignPart("openai_chat", "video_url", b'{"type":"video_url", "video_url":{"url":"u"}}'),),
        ),
        (
            '{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}',
            (TextPart("a", b'{"type":"ephemeral"}'),),
        ),
        (
            '{"role":"user","content":[{"type":"image_url"}]}',
            (ForeignPart("openai_chat", "image_url", b'{"type":"image_url"}'),),
        ),
        (
            '{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"a"}],"name":"f"}',
            (ToolResult("c1", (TextPart("a"),), "f"),),
        ),
        ('{"role":"function","name":"f","content":"a"}', (ToolResult("f", (TextPart("a"),), "f"),)),
        ('{"role":"function","content":null}', (ToolResult(""),)),
        (
            '{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}',
            (ToolCall("f", "f", "{}"),),
        ),
        ('{"role":"assistant","content":"a","reasoning_content":"t"}', (ReasoningPart("t"), TextPart("a"))),
        (
            '{"role":"assistant","content":"a","reasoning_content":"t","reasoning_details":['
            '{"type":"reasoning.text","text":"t","signature":"s"},{"type":"reasoning.summary","summary":"u"},'
            '{"type":"reasoning.encrypted","data":"d"}]}',
            (ReasoningPart("t", "s"), ReasoningPart("u"), ReasoningPart("", "", "d"), TextPart("a")),
        ),
        ('{"role":"assistant"}', ()),
    ],
)
def test_what_a_message_means(said: str, parts: tuple[Part, ...]) -> None:
    assert message(said).parts == parts


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('"auto"', ToolChoice("auto")),
        ('"none"', ToolChoice("none")),
        ('"required"', ToolChoice("required")),
        ('"any"', ToolChoice("required")),
        ('"get_weather"', ToolChoice("named", "get_weather")),
        ('{"type":"function","function":{"name":"f"}}', ToolChoice("named", "f")),
        ('{"type":"custom"}', None),
        ("null", None),
    ],
)
def test_tool_choices(said: str, meant: ToolChoice | None) -> None:
    assert parse(f'{{{HELLO},"tool_choice":{said}}}').tool_choice == meant


def test_every_field_has_its_place() -> None:
    asked = parse(
        f'{{{HELLO},"tools":[{{"type":"function","function":{{"name":"f","description":"d","parameters":{{"a": 1}},'
        '"strict":true}},{"type":"function","function":{"name":"g","parameters":null}},{"type":"web_search"}],'
        '"parallel_tool_calls":false,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{},'
        '"strict":false}},"temperature":0,"top_p":0.5,"top_k":3,"min_p":0.1,"presence_penalty":1,'
        '"frequency_penalty":-1,"seed":7,"stop":"x","logprobs":true,"top_logprobs":2,"max_tokens":5,'
        '"max_completion_tokens":6,"n":2,"stream":true,"stream_options":{"include_usage":true},'
        '"reasoning_effort":"low","user":"u"}'
    )
    assert asked == ChatRequest(
        model="m",
        messages=(Message("user", (TextPart("hi"),)),),
        tools=(Tool("f", "d", b'{"a": 1}', strict=True), Tool("g")),
        foreign_tools=(ForeignTool("openai_chat", "web_search", b'{"type":"web_search"}'),),
        parallel_tools=False,
        response_format=ResponseFormat("json_schema", "n", b"{}", strict=False),
        sampling=Sampling(
            temperature=0,
            top_p=0.5,
            top_k=3,
            min_p=0.1,
            presence_penalty=1,
            frequency_penalty=-1,
            seed=7,
            stop=("x",),
            logprobs=True,
            top_logprobs=2,
        ),
        max_output_tokens=6,
        n=2,
        stream=True,
        include_usage=True,
        effort="low",
        user="u",
        dialect="openai_chat",
    )


def test_words_that_the_canon_does_not_know_are_left_to_the_provider() -> None:
    asked = parse(f'{{{HELLO},"reasoning_effort":"colossal","response_format":{{"type":"grammar"}}}}')
    assert (asked.effort, asked.response_format) == (None, None)


def sent(text: str, model: str = "m", ways: Ways | None = None) -> bytes:
    body = text.encode()
    request = DIALECT.pass_on(DIALECT.parse(body), body, model, ways or Ways())
    assert (request.method, request.path) == (b"POST", "/chat/completions")
    assert request.headers == ((b"content-type", b"application/json"),)
    return request.body


@pytest.mark.parametrize(
    "text",
    [
        f'{{ {HELLO} , "x" : [1.0, 1e5, "\\u00e9"] }}\n',
        f'{{{HELLO},"stream":true,"stream_options":{{"include_usage":true}}}}',
        f'{{{HELLO},"stream":false,"stream_options":null}}',
    ],
)
def test_a_body_that_needs_nothing_passes_byte_for_byte(text: str) -> None:
    assert sent(text) == text.encode()


def test_only_the_model_changes_and_values_keep_their_bytes() -> None:
    text = f'{{"a": [1.0, 1e5, "\\u00e9"],{HELLO},"pool":"team","z":{{"k" :1}}}}'
    assert sent(text, "vendor-model") == (
        b'{"a":[1.0, 1e5, "\\u00e9"],"model":"vendor-model","messages":[{"role":"user","content":"hi"}],"z":{"k" :1}}'
    )


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ("", {"include_usage": True}),
        (',"stream_options":null', {"include_usage": True}),
        (',"stream_options":{"include_usage":false}', {"include_usage": True}),
        (',"stream_options":{"include_obfuscation":false}', {"include_obfuscation": False, "include_usage": True}),
    ],
)
def test_a_stream_is_asked_for_its_usage(options: str, wanted: JSON) -> None:
    text = f'{{{HELLO},"stream":true{options}}}'
    assert json.loads(sent(text))["stream_options"] == wanted
    assert "stream_options" not in json.loads(sent(text, ways=Ways(stream_usage=False)))


def test_a_provider_that_knows_no_stream_options_is_not_told_of_them() -> None:
    text = f'{{{HELLO},"stream":true,"stream_options":{{"include_usage":true}}}}'
    assert "stream_options" not in json.loads(sent(text, ways=Ways(stream_usage=False)))


def test_quirks_come_last_and_leave_the_rest_as_it_was() -> None:
    def quirk(body: JSON) -> None:
        assert body["model"] == "other"
        body["user"] = "x"

    assert sent(f'{{{HELLO},"z":1.0}}', "other", Ways(quirks=(quirk,))) == (
        b'{"model":"other","messages":[{"role":"user","content":"hi"}],"z":1.0,"user":"x"}'
    )


def rendered(asked: ChatRequest, ways: Ways | None = None) -> Any:
    return json.loads(DIALECT.render(asked, "vendor-model", ways or Ways()).body)


def test_rendering() -> None:
    asked = ChatRequest(
        model="m",
        messages=(
            Message("system", (TextPart("be brief"),)),
            Message("user", (ToolResult("c0", (TextPart("a"), TextPart("b"))), TextPart("hi")), "ann"),
            Message("assistant", (ReasoningPart("t"), ToolCall("c1", "f", "{}", "s"))),
            Message("tool", (ToolResult("c1", (TextPart("ok"),), "f"), ToolResult("c2"))),
            Message("assistant", (ReasoningPart("t", "s"), ReasoningPart("u"), ReasoningPart("", "", "r"), TextPart("yes"))),
            Message("user"),
            Message("user", (ImagePart(url="https://e.com/a"), ImagePart(data="AA", media_type="image/png", detail="low"))),
        ),
        max_output_tokens=9,
        dialect="openai_chat",
            extra=(("pool", b'"team"'), ("logit_bias", b"{}")),
    )  # fmt: skip
    assert rendered(asked) == {
        "model": "vendor-model",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "tool", "tool_call_id": "c0", "content": [
                {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "hi", "name": "ann"},
            {"role": "assistant", "content": None, "reasoning_content": "t", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"},
                 "extra_content": {"google": {"thought_signature": "s"}}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "ok", "name": "f"},
            {"role": "tool", "tool_call_id": "c2", "content": ""},
            {"role": "assistant", "content": "yes", "reasoning_details": [
                {"type": "reasoning.text", "text": "t", "signature": "s"},
                {"type": "reasoning.text", "text": "u"},
                {"type": "reasoning.encrypted", "data": "r"}]},
            {"role": "user", "content": ""},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://e.com/a"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}]},
        ],
        "max_completion_tokens": 9,
        "logit_bias": {},
    }  # fmt: skip


def test_a_rendered_stream_is_asked_for_its_usage_where_that_is_known() -> None:
    asked = ChatRequest(model="m", messages=(Message("user", (TextPart("hi"),)),), stream=True, include_usage=True)
    assert rendered(asked)["stream_options"] == {"include_usage": True}
    assert rendered(msgspec.structs.replace(asked, include_usage=False))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in rendered(asked, Ways(stream_usage=False))
    assert "stream_options" not in rendered(msgspec.structs.replace(asked, stream=False))


def test_what_the_dialect_cannot_say_is_declared() -> None:
    thoughts = (ToolCall("c", "f"), ReasoningPart("a"), ReasoningPart("b"))
    result = ToolResult("c", (TextPart(""),), is_error=True)
    asked = ChatRequest(
        model="m",
        messages=(
            Message("assistant", thoughts),
            Message("tool", (result,)),
            Message("user", (ForeignPart("gemini", "executableCode", b"{}"),)),
        ),
        foreign_tools=(ForeignTool("anthropic_messages", "bash_20250124", b"{}"),),
        thinking_tokens=100,
        dialect="anthropic_messages",
        extra=(("container", b'"c"'), ("pool", b'"p"')),
    )
    assert DIALECT.render(asked, "m", Ways()).dropped == (
        *("thinking_tokens", "reasoning.parts", "part.order", "tool_result.error", "text.empty"),
        *("extra.container", "tools.bash_20250124", "part.executableCode"),
    )
    assert b"container" not in DIALECT.render(asked, "m", Ways()).body


def test_as_many_tokens_as_there_are() -> None:
    """LM Studio's, llama.cpp's and Ollama's word for no bound."""
    asked = parse(b'{%b,"max_tokens":-1}' % HELLO.encode())
    assert asked.max_output_tokens is None
