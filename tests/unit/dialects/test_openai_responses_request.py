"""What clients of the Responses API send, and what providers of another dialect get of it."""

import json

import pytest

from hoosh.core.asked import (
    FilePart,
    ForeignPart,
    ForeignTool,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.core.features import FEATURES, REPLY_FEATURES
from hoosh.dialects import JSON, Ways, openai_chat
from hoosh.dialects.openai_responses import DIALECT, LOSSES, keep
from hoosh.dialects.openai_responses.thoughts import MARK, Carried, carry
from hoosh.dialects.openai_responses.tools import MAX_NAME_CHARS, Names

# As Codex 0.169 declares an MCP server's tools.
SPACE = {
    "type": "namespace",
    "name": "mcp__files__",
    "description": "Files.",
    "tools": [{"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": False}],
}
CUSTOM = {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": {"type": "grammar"}}


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "input": "hi", **fields}).encode()


def as_chat(data: bytes) -> JSON:
    """What a provider of Chat Completions is asked for it."""
    asked: JSON = json.loads(openai_chat.DIALECT.render(DIALECT.parse(data), "m", Ways()).body)
    return asked


def test_words() -> None:
    asked = DIALECT.parse(
        body(
            instructions="Be brief.",
            max_output_tokens=9,
            temperature=0.5,
            top_p=0.9,
            parallel_tool_calls=False,
            reasoning={"effort": "low", "summary": "auto"},
            text={
                "verbosity": "low",
                "format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True},
            },
            include=["message.output_text.logprobs", "reasoning.encrypted_content"],
            top_logprobs=2,
            user="u",
            stream=True,
            store=False,
            metadata={"k": "v"},
        )
    )
    assert asked.messages == (Message("system", (TextPart("Be brief."),)), Message("user", (TextPart("hi"),)))
    assert (asked.max_output_tokens, asked.sampling.temperature, asked.sampling.top_p) == (9, 0.5, 0.9)
    assert (asked.sampling.logprobs, asked.sampling.top_logprobs) == (True, 2)
    assert (asked.parallel_tools, asked.effort, asked.verbosity, asked.user, asked.stream) == (
        False,
        "low",
        "low",
        "u",
        True,
    )
    assert asked.response_format == ResponseFormat("json_schema", "n", b'{"a": 1}', strict=True)
    assert dict(asked.extra) == {
        "metadata": b'{"k": "v"}',
        "reasoning": b'{"summary":"auto"}',
        "include": b'["reasoning.encrypted_content"]',
    }


def test_one_turn_of_the_assistant_is_one_message() -> None:
    items: list[JSON] = [
        {"role": "developer", "content": "Act."},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                {"type": "input_file", "file_id": "f1"},
                {"type": "input_image", "file_id": "f2"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "E",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Wait.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}', "id": "fc_1"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    raw = json.dumps(items[1]["content"][3]).encode()
    assert DIALECT.parse(body(input=items)).messages == (
        Message("developer", (TextPart("Act."),)),
        Message(
            "user",
            (
                TextPart("What?"),
                ImagePart(data="AA==", media_type="image/png", detail="low"),
                FilePart(file_id="f1"),
                ForeignPart("openai_responses", "input_image", raw),
            ),
        ),
        Message(
            "assistant",
            (
                ReasoningPart("Hm.", redacted="E", id="rs_1"),
                TextPart("Wait."),
                ToolCall("c1", "f", '{"a":1}'),
                ToolCall("c2", "g", "{}"),
            ),
        ),
        Message("tool", (ToolResult("c1", (TextPart("one"),), "f"),)),
        Message("tool", (ToolResult("c2", (TextPart("two"),), "g"),)),
        Message("assistant", (TextPart("No."),)),
    )


def test_what_only_the_provider_knows_makes_no_empty_turn() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    kept = {"type": "reasoning", "id": "rs_1", "summary": []}
    data = body(input=[{"role": "user", "content": "q"}, search, {"role": "user", "content": "r"}, kept])
    assert [message["content"] for message in as_chat(data)["messages"]] == ["q", "r"]
    dropped = openai_chat.DIALECT.render(DIALECT.parse(data), "m", Ways()).dropped
    assert dropped == ("part.web_search_call", "part.reasoning")


def test_tools_of_every_kind() -> None:
    function = {"type": "function", "name": "f", "description": "F.", "parameters": {"a": 1}, "strict": None}
    search = {"type": "web_search"}
    asked = DIALECT.parse(body(tools=[function, CUSTOM, SPACE, search]))
    assert [tool.name for tool in asked.tools] == ["f", "apply_patch", "mcp__files__read"]
    assert asked.tools[0] == Tool("f", "F.", b'{"a": 1}')
    assert json.loads(asked.tools[1].schema)["required"] == ["input"]
    assert asked.tools[2].strict is False
    assert asked.foreign_tools == (ForeignTool("openai_responses", "web_search", b'{"type": "web_search"}'),)
    again = json.loads(DIALECT.render(asked, "m", Ways()).body)
    assert again["tools"] == [function, CUSTOM, SPACE, search]


def test_calls_of_every_kind_reach_another_dialect_as_calls_of_functions() -> None:
    items = [
        {"role": "user", "content": "go"},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call", "call_id": "c2", "name": "read", "namespace": "mcp__files__", "arguments": "{}"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"},
        {"type": "function_call_output", "call_id": "c2", "output": "text"},
    ]
    sent = as_chat(body(input=items, tools=[CUSTOM, SPACE]))["messages"]
    assert [call["function"] for call in sent[1]["tool_calls"]] == [
        {"name": "apply_patch", "arguments": '{"input":"*** Begin"}'},
        {"name": "mcp__files__read", "arguments": "{}"},
    ]
    assert [message["tool_call_id"] for message in sent[2:]] == ["c1", "c2"]


def test_names_of_tools_in_namespaces_are_unambiguous_and_short() -> None:
    inner = [{"type": "function", "name": "read"}]
    spaces = [
        {"type": "function", "name": "a__read"},
        {"type": "namespace", "name": "a", "tools": inner},
        {"type": "namespace", "name": "a__", "tools": inner},
        {"type": "namespace", "name": "n" * 70, "tools": inner},
        {"type": "namespace", "name": "n" * 71, "tools": inner},
    ]
    tools = DIALECT.parse(body(tools=spaces)).tools
    names = Names(tools)
    assert len({tool.name for tool in tools}) == 5
    assert all(len(tool.name) <= MAX_NAME_CHARS for tool in tools)
    called = [names.of(tool.name) for tool in tools[1:]]
    assert [one.namespace for one in called] == ["a", "a__", "n" * 70, "n" * 71]
    assert [names.flat(one.namespace, one.name) for one in called] == [tool.name for tool in tools[1:]]


@pytest.mark.parametrize(
    ("choice", "wanted", "tools"),
    [
        ("required", ToolChoice("required"), ["f", "apply_patch"]),
        ({"type": "function", "name": "f"}, ToolChoice("named", "f"), ["f", "apply_patch"]),
        ({"type": "custom", "name": "apply_patch"}, ToolChoice("named", "apply_patch"), ["f", "apply_patch"]),
        ({"type": "web_search"}, ToolChoice("required"), ["f", "apply_patch"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("required"),
            ["f"],
        ),
    ],
)
def test_tool_choices(choice: object, wanted: ToolChoice, tools: list[str]) -> None:
    asked = DIALECT.parse(body(tools=[{"type": "function", "name": "f"}, CUSTOM], tool_choice=choice))
    assert asked.tool_choice == wanted
    assert [tool.name for tool in asked.tools] == tools


def test_thoughts_of_another_vendor_come_back_with_their_proof() -> None:
    items = [
        {"type": "reasoning", "summary": [], "encrypted_content": carry(Carried("Hm.", "signed"))},
        {
            "type": "reasoning",
            "summary": [],
            "encrypted_content": carry(Carried(signature="of the call", call_id="c1")),
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    ]
    (turn,) = DIALECT.parse(body(input=items)).messages
    assert turn.parts == (ReasoningPart("Hm.", "signed"), ToolCall("c1", "f", "{}", "of the call"))


def test_thoughts_of_another_vendor_do_not_reach_a_provider_of_this_dialect() -> None:
    items = [
        {"role": "user", "content": "rs_hoosh_ and hoosh1. are words, too"},
        {
            "type": "reasoning",
            "id": "rs_hoosh_1_0",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "x"}],
        },
        {"type": "reasoning", "summary": [], "encrypted_content": carry(Carried("Hm.", "signed"))},
        {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "gAAAA"},
    ]
    data = body(input=items)
    sent = DIALECT.pass_on(DIALECT.parse(data), data, "m", Ways())
    assert json.loads(sent.body)["input"] == [items[0], items[3]]
    assert sent.dropped == ("reasoning",)


def test_a_body_passes_on_as_it_came() -> None:
    data = b'{ "model":"m", "input":"hi", "zeta": 1.0, "store": false}'
    assert DIALECT.pass_on(DIALECT.parse(data), data, "m", Ways()).body == data
    other = DIALECT.pass_on(DIALECT.parse(data), data, "n", Ways()).body
    assert other == b'{"model":"n","input":"hi","zeta":1.0,"store":false}'
    pooled = body(pool="p")
    assert b"pool" not in DIALECT.pass_on(DIALECT.parse(pooled), pooled, "m", Ways()).body


def test_a_chat_in_this_dialect() -> None:
    """What a client of chats asks of a provider that serves only responses."""
    data = json.dumps(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "reasoning_effort": "low",
            "stop": ["x"],
        }
    ).encode()
    sent = DIALECT.render(openai_chat.DIALECT.parse(data), "n", Ways())
    assert json.loads(sent.body) == {
        "model": "n",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": None}],
        "tool_choice": {"type": "function", "name": "f"},
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    assert sent.path == "/responses"
    assert sent.dropped == ("sampling.stop",)


def test_losses_are_words_of_the_vocabulary() -> None:
    assert FEATURES.keys() | REPLY_FEATURES.keys() >= LOSSES


BAD: list[tuple[str, object, str]] = [
    ("no model", {"model": None}, "model"),
    ("no input", {"input": None}, "input"),
    ("an empty input", {"input": []}, "input"),
    ("a number", {"input": 5}, "input"),
    ("an item that is none", {"input": [5]}, "input[0]"),
    ("no type and no role", {"input": [{}]}, "input[0].type"),
    ("no role", {"input": [{"type": "message", "content": "x"}]}, "input[0].role"),
    ("a role that is none", {"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
    ("no content", {"input": [{"role": "user"}]}, "input[0].content"),
    ("a part that is none", {"input": [{"role": "user", "content": ["x"]}]}, "input[0].content[0]"),
    ("a part without a type", {"input": [{"role": "user", "content": [{}]}]}, "input[0].content[0].type"),
    ("a call without an id", {"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
    ("a result without a call", {"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ("a result of nothing", {"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
    ("thoughts that are none", {"input": [{"type": "reasoning", "summary": 5}]}, "input[0].summary"),
    ("instructions as a list", {"instructions": []}, "instructions"),
    ("a tool without a type", {"tools": [{"name": "f"}]}, "tools[0].type"),
    ("a tool that is none", {"tools": ["f"]}, "tools[0]"),
    ("a tool in a namespace", {"tools": [{"type": "namespace", "tools": [5]}]}, "tools[0].tools[0]"),
    ("a choice that is none", {"tool_choice": "always"}, "tool_choice"),
    ("too hot", {"temperature": 3}, "temperature"),
    ("a top_p of two", {"top_p": 2}, "top_p"),
    ("no tokens", {"max_output_tokens": 0}, "max_output_tokens"),
    ("too many logprobs", {"top_logprobs": 21}, "top_logprobs"),
    ("an effort of three", {"reasoning": {"effort": 3}}, "reasoning.effort"),
    ("a format that is none", {"text": {"format": 5}}, "text.format"),
    ("stream as text", {"stream": "yes"}, "stream"),
    ("store as text", {"store": "yes"}, "store"),
    ("a number for a response", {"previous_response_id": 5}, "previous_response_id"),
]


@pytest.mark.parametrize(("fields", "where"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_is_named(fields: dict[str, object], where: str) -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECT.parse(body(**fields))
    assert caught.value.param == where
    assert where.partition(".")[0] in caught.value.message


@pytest.mark.parametrize("data", [b"", b"[]", b'{"model":', b"\xff", b"[" * 100_000])
def test_what_is_no_request_at_all(data: bytes) -> None:
    for read in (DIALECT.parse, keep.wishes):
        with pytest.raises(BadRequest):
            read(data)


def test_a_prompt_without_input_passes_on_though_another_vendors_mark_stands_in_it() -> None:
    body = json.dumps({"model": "m", "prompt": {"id": "p"}, "instructions": MARK}).encode()
    sent = DIALECT.pass_on(DIALECT.parse(body), body, "other", Ways())
    assert json.loads(sent.body) == {"model": "other", "prompt": {"id": "p"}, "instructions": MARK}
