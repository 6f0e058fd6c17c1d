"""How the canon is said in Messages: requests in, literal JSON out."""

import json
from typing import Any

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
from hoosh.dialects.anthropic_messages import DIALECT

HELLO = Message("user", (TextPart("hello"),))


def text(said: str) -> JSON:
    return {"type": "text", "text": said}


def rendered(*messages: Message, model: str = "model-x", ways: Ways | None = None, **fields: Any) -> JSON:
    asked = ChatRequest(model="asked", messages=messages or (HELLO,), **fields)
    body: JSON = json.loads(DIALECT.render(asked, model, ways or Ways()).body)
    return body


def said(*messages: Message) -> list[JSON]:
    turns: list[JSON] = rendered(*messages)["messages"]
    return turns


def user(*parts: Part) -> Message:
    return Message("user", parts)


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def test_the_least_that_can_be_asked() -> None:
    request = DIALECT.render(ChatRequest(model="asked", messages=(HELLO,)), "claude-haiku-4-5", Ways())
    assert (request.method, request.path) == (b"POST", "/v1/messages")
    assert request.headers == ((b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01"))
    assert json.loads(request.body) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": [text("hello")]}],
    }


def test_all_that_has_a_word() -> None:
    body = rendered(
        stream=True,
        max_output_tokens=7,
        user="u1",
        sampling=Sampling(temperature=0.5, top_p=0.9, top_k=5, stop=("END", " \n", ""), seed=1, min_p=0.1),
    )
    assert body == {
        "model": "model-x",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": [text("hello")]}],
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
    }


def test_system_and_developer_messages_are_one_text_in_their_order() -> None:
    body = rendered(
        Message("system", (TextPart("a"),)),
        user(TextPart("hi")),
        Message("developer", (TextPart("b"), TextPart("c"))),
        Message("system", (TextPart(" "),)),
    )
    assert body["system"] == "a\nbc"
    assert body["messages"] == [{"role": "user", "content": [text("hi")]}]


def test_a_lone_system_message_is_the_question() -> None:
    body = rendered(Message("system", (TextPart("a"),)), user(TextPart("")))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [text("a")]}]


def test_what_one_side_says_in_a_row_is_one_turn_and_empty_text_is_not_said() -> None:
    turns = said(
        user(TextPart("a"), TextPart("")),
        user(TextPart(" \n")),
        user(TextPart("b")),
        assistant(TextPart("c")),
        assistant(),
        assistant(TextPart("d")),
    )
    assert turns == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
    ]


def test_a_tool_loop() -> None:
    turns = said(
        user(TextPart("q")),
        assistant(TextPart("wait"), ToolCall("call_1", "f", ' {"a": 1} '), ToolCall("call_2", "g")),
        user(TextPart("also this")),
        Message("tool", (ToolResult("call_1", (TextPart("one"), TextPart(""), ImagePart(url="https://x/y.png"))),)),
        Message("tool", (ToolResult("call_2"),)),
    )
    assert turns[1]["content"] == [
        text("wait"),
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
    ]
    image = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    assert turns[2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [text("one"), image]},
                {"type": "tool_result", "tool_use_id": "call_2"},
                text("also this"),
            ],
        }
    ]


def test_a_foreign_call_id_is_made_fit_on_both_sides() -> None:
    turns = said(assistant(ToolCall("functions.f:0", "f", "null")), user(ToolResult("functions.f:0")))
    assert turns[0]["content"][0]["id"] == turns[1]["content"][0]["tool_use_id"] == "functions_f_0"
    assert turns[0]["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ["{", "[1]", '"x"', '{"a": 1}}'])
def test_arguments_that_are_no_json_object_are_refused_with_their_place(arguments: str) -> None:
    with pytest.raises(BadRequest) as caught:
        said(HELLO, assistant(ToolCall("call_1", "f", arguments)))
    assert caught.value.param == "messages[1].tool_calls"


def test_images() -> None:
    (turn,) = said(
        user(
            ImagePart(data="aGk=", media_type="image/png", detail="low"), ImagePart(data="aGk=", media_type="image/jpg")
        )
    )
    assert [block["source"] for block in turn["content"]] == [
        {"type": "base64", "media_type": "image/png", "data": "aGk="},
        {"type": "base64", "media_type": "image/jpeg", "data": "aGk="},
    ]


def test_thoughts_return_unchanged_if_they_are_proved() -> None:
    (turn,) = said(assistant(ReasoningPart("hm", "c2ln"), ReasoningPart(redacted="eHg="), ReasoningPart("unproved")))
    assert turn["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eHg="},
    ]


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            FilePart(media_type="application/pdf", data="JVBERg==", name="a.pdf"),
            {"type": "document", "source": PDF, "title": "a.pdf"},
        ),
        (
            FilePart(media_type="application/pdf", data="JVBERg=="),
            {"type": "document", "source": PDF},
        ),
        (
            FilePart(media_type="text/plain", data="aGk="),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        ),
        (
            FilePart(url="https://e.com/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://e.com/a.pdf"}},
        ),
        (
            ForeignPart("anthropic_messages", "search_result", b'{"type":"search_result","cache_control":{}}'),
            {"type": "search_result", "cache_control": {}},
        ),
        (FilePart(file_id="file-1"), None),
        (FilePart(media_type="audio/wav", data="AA=="), None),
        (ForeignPart("openai_chat", "input_audio", b'{"type":"input_audio","input_audio":{}}'), None),
    ],
)
def test_files_and_foreign_parts(part: Part, block: JSON | None) -> None:
    (turn,) = said(user(TextPart("see"), part))
    assert turn["content"] == [text("see")] + ([block] if block else [])


def test_tools() -> None:
    body = rendered(
        tools=(
            Tool("f", "does f", b'{"type":"object","properties":{"a":{"type":"string"}}}', strict=True),
            Tool("g", strict=False),
            Tool("h", schema=b"null"),
            Tool("i", schema=b'{"type":["object","null"]}'),
            Tool("j", schema=b'{"properties":{}}'),
        )
    )
    assert body["tools"] == [
        {
            "name": "f",
            "description": "does f",
            "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
            "strict": True,
        },
        {"name": "g", "input_schema": {"type": "object"}},
        {"name": "h", "input_schema": {"type": "object"}},
        {"name": "i", "input_schema": {"type": "object"}},
        {"name": "j", "input_schema": {"properties": {}, "type": "object"}},
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize("schema", [b"false", b"{", b"[]"])
def test_a_schema_that_is_no_object_is_refused_with_its_place(schema: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        rendered(tools=(Tool("f"), Tool("g", schema=schema)))
    assert caught.value.param == "tools[1].function.parameters"


@pytest.mark.parametrize(("count", "strict"), [(20, 20), (21, 0)])
def test_more_strict_tools_than_are_taken_are_all_lenient(count: int, strict: int) -> None:
    body = rendered(tools=tuple(Tool(f"t{k}", strict=True) for k in range(count)))
    assert sum(tool.get("strict", False) for tool in body["tools"]) == strict


@pytest.mark.parametrize(
    ("choice", "parallel", "wanted"),
    [
        (None, None, None),
        (None, True, None),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), None, {"type": "none"}),
        (ToolChoice("required"), True, {"type": "any"}),
        (ToolChoice("named", "f"), None, {"type": "tool", "name": "f"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, wanted: JSON | None) -> None:
    body = rendered(tools=(Tool("f"),), tool_choice=choice, parallel_tools=parallel)
    assert body.get("tool_choice") == wanted


def test_a_choice_without_tools_is_not_said() -> None:
    assert "tool_choice" not in rendered(tool_choice=ToolChoice("auto"), parallel_tools=False)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("claude-3-haiku-20240307", {"temperature": 1.0, "top_p": 0.9, "top_k": 5}),
        ("claude-opus-4-1", {"temperature": 1.0, "top_p": 0.9, "top_k": 5}),
        ("claude-sonnet-4-5", {"temperature": 1.0, "top_k": 5}),
        ("claude-sonnet-4-6", {"temperature": 1.0, "top_k": 5}),
        ("claude-opus-4-7", {}),
        ("claude-sonnet-5", {}),
        ("another-model", {"temperature": 1.0, "top_p": 0.9, "top_k": 5}),
    ],
)
def test_sampling_is_clamped_and_said_only_to_the_models_that_take_it(model: str, wanted: JSON) -> None:
    body = rendered(model=model, sampling=Sampling(temperature=1.7, top_p=0.9, top_k=5))
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == wanted


def test_top_p_alone_and_a_temperature_of_zero_are_said() -> None:
    assert rendered(model="claude-sonnet-4-6", sampling=Sampling(top_p=0.9))["top_p"] == 0.9
    assert rendered(sampling=Sampling(temperature=0.0))["temperature"] == 0.0


@pytest.mark.parametrize(
    ("wanted", "config"),
    [
        (
            ResponseFormat("json_schema", "n", b'{"type":"object"}', strict=True),
            {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        ),
        (ResponseFormat("json_schema"), None),
        (ResponseFormat("json_object"), None),
        (ResponseFormat("text"), None),
    ],
)
def test_response_format(wanted: ResponseFormat, config: JSON | None) -> None:
    assert rendered(response_format=wanted).get("output_config") == config


def test_effort_and_format_share_one_config() -> None:
    body = rendered(effort="low", response_format=ResponseFormat("json_schema", schema=b"{}"))
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {}}}


CACHE = b'{"type":"ephemeral"}'
MARK = {"cache_control": {"type": "ephemeral"}}


def test_marks_of_what_is_worth_caching() -> None:
    body = rendered(
        Message("system", (TextPart("a"), TextPart("b", CACHE))),
        user(TextPart("q", CACHE), ImagePart(url="https://x/y.png", cache=CACHE)),
        assistant(ToolCall("c", "f")),
        Message("tool", (ToolResult("c", (TextPart("r", CACHE),), cache=CACHE),)),
        tools=(Tool("f", cache=CACHE),),
    )
    assert body["system"] == [text("a"), text("b") | MARK]
    assert [block.get("cache_control") for block in body["messages"][0]["content"]] == [{"type": "ephemeral"}] * 2
    result = {"type": "tool_result", "tool_use_id": "c", "content": [text("r") | MARK]}
    assert body["messages"][2]["content"] == [result | MARK]
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object"}} | MARK]


def test_a_tool_that_failed() -> None:
    (turn,) = said(Message("tool", (ToolResult("c", is_error=True),)))
    assert turn["content"] == [{"type": "tool_result", "tool_use_id": "c", "is_error": True}]


@pytest.mark.parametrize(
    ("model", "tokens", "bound", "wanted", "dropped"),
    [
        ("claude-sonnet-4-5", 2048, None, {"type": "enabled", "budget_tokens": 2048}, ()),
        ("claude-sonnet-4-5", 10, None, {"type": "enabled", "budget_tokens": 1024}, ()),
        ("claude-sonnet-4-5", 9000, 5000, {"type": "enabled", "budget_tokens": 4999}, ()),
        ("claude-sonnet-4-5", 9000, 1000, None, ("thinking_tokens",)),
        ("another-model", 2048, None, {"type": "enabled", "budget_tokens": 2048}, ()),
        ("claude-opus-4-7", 2048, None, {"type": "adaptive", "display": "summarized"}, ("thinking_tokens",)),
        ("claude-sonnet-5", 0, None, {"type": "disabled"}, ()),
        ("claude-sonnet-4-5", 0, None, {"type": "disabled"}, ()),
    ],
)
def test_thinking_that_is_counted(
    model: str, tokens: int, bound: int | None, wanted: JSON | None, dropped: tuple[str, ...]
) -> None:
    asked = ChatRequest(model="m", messages=(HELLO,), thinking_tokens=tokens, max_output_tokens=bound)
    wire = DIALECT.render(asked, model, Ways())
    body = json.loads(wire.body)
    assert body.get("thinking") == wanted
    assert wire.dropped == dropped
    if wanted and "budget_tokens" in wanted:
        assert body["max_tokens"] > wanted["budget_tokens"]


def test_a_clients_own_fields_and_tools_of_the_same_dialect() -> None:
    body = rendered(
        dialect="anthropic_messages",
        effort="low",
        foreign_tools=(
            ForeignTool("anthropic_messages", "web_search", b'{"type":"web_search"}'),
            ForeignTool("openai_chat", "web_search", b"{}"),
        ),
        extra=(("service_tier", b'"auto"'), ("output_config", b'{"task_budget":1}'), ("pool", b'"p"')),
    )
    assert body["tools"] == [{"type": "web_search"}]
    assert body["service_tier"] == "auto"
    assert body["output_config"] == {"task_budget": 1, "effort": "low"}
    assert "pool" not in body
    assert "service_tier" not in rendered(dialect="another", extra=(("service_tier", b'"auto"'),))


def test_the_gateways_own_field_is_not_passed_on() -> None:
    asked = ChatRequest(model="m", messages=(), extra=(("pool", b'"p"'),))
    assert DIALECT.pass_on(asked, b'{"model":"m","pool":"p"}', "m", Ways()).body == b'{"model":"m"}'


def shout(body: JSON) -> None:
    body["model"] = body["model"].upper()


def test_quirks_have_the_last_word() -> None:
    assert rendered(ways=Ways(quirks=(shout,)))["model"] == "MODEL-X"


BODY = b'{"model" : "asked", "system":[{"type":"text","text":"\\u00e9"}], "x_new": {"a":1.50}}'


@pytest.mark.parametrize(
    ("model", "ways", "passed"),
    [
        ("asked", Ways(), BODY),
        ("other", Ways(), b'{"model":"other","system":[{"type":"text","text":"\\u00e9"}],"x_new":{"a":1.50}}'),
        (
            "other",
            Ways(quirks=(shout,)),
            '{"model":"OTHER","system":[{"type":"text","text":"é"}],"x_new":{"a":1.5}}'.encode(),
        ),
    ],
)
def test_a_body_passes_on_as_it_is(model: str, ways: Ways, passed: bytes) -> None:
    request = DIALECT.pass_on(ChatRequest(model="asked", messages=()), BODY, model, ways)
    assert request.body == passed
    assert request.path == "/v1/messages"
    assert (b"anthropic-version", b"2023-06-01") in request.headers


def test_a_text_file_that_is_no_base64_is_the_clients_mistake() -> None:
    asked = ChatRequest(model="m", messages=(Message("user", (FilePart("text/plain", "a"),)),))
    with pytest.raises(BadRequest, match="must be base64"):
        DIALECT.render(asked, "m", Ways())
