"""What a Messages body means in the canon, and what is said of one that is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from hoosh.dialects import Ways
from hoosh.dialects.anthropic_messages import COUNT, DIALECT
from hoosh.providers import Provider
from hoosh.providers.registry import PROVIDERS

HI = [{"role": "user", "content": "Hi"}]
MARK = {"type": "ephemeral", "ttl": "1h"}
MARKED = b'{"type": "ephemeral", "ttl": "1h"}'


def parsed(**fields: Any) -> ChatRequest:
    body = {"model": "m", "max_tokens": 9, "messages": HI, **fields}
    return DIALECT.parse(json.dumps({name: value for name, value in body.items() if value is not ...}).encode())


def block(said: Any, role: str = "user") -> Part:
    (message,) = parsed(messages=[{"role": role, "content": [said]}]).messages
    (part,) = message.parts
    return part


def test_the_least_that_can_be_asked() -> None:
    assert parsed() == ChatRequest(
        model="m", messages=(Message("user", (TextPart("Hi"),)),), max_output_tokens=9, dialect="anthropic_messages"
    )


def test_all_that_has_a_word() -> None:
    asked = parsed(
        stream=True,
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        service_tier="auto",
        context_management={"edits": []},
    )
    assert asked.stream
    assert asked.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=5, stop=("END",))
    assert asked.user == "u"
    assert asked.extra == (("service_tier", b'"auto"'), ("context_management", b'{"edits": []}'))


def test_a_system_prompt_is_a_text_or_blocks_with_marks() -> None:
    assert parsed(system="Be brief.").messages[0] == Message("system", (TextPart("Be brief."),))
    asked = parsed(system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}])
    assert asked.messages[0] == Message("system", (TextPart("a"), TextPart("b", MARKED)))
    assert parsed(system="").messages == parsed(system=None).messages == parsed().messages


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"type": "text", "text": "x", "cache_control": MARK}, TextPart("x", MARKED)),
        ({"type": "text", "text": "x", "cache_control": None}, TextPart("x")),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            ImagePart(data="AA==", media_type="image/png"),
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}, "cache_control": MARK},
            ImagePart(url="https://e.com/a.png", cache=MARKED),
        ),
        (
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
            },
            FilePart(media_type="application/pdf", data="AA==", name="a.pdf"),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
            FilePart(media_type="text/plain", data="aGk="),
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://e.com/a.pdf"}},
            FilePart(url="https://e.com/a.pdf"),
        ),
    ],
)
def test_what_a_user_says(said: Any, part: Part) -> None:
    assert block(said) == part


@pytest.mark.parametrize(
    "said",
    [
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": 1.50}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "container_upload", "file_id": "file_1"},
        {"type": "not yet known", "text": 5},
    ],
)
def test_what_only_claude_has_stays_as_it_is(said: Any) -> None:
    assert block(said, "assistant") == ForeignPart("anthropic_messages", said["type"], json.dumps(said).encode())


def test_a_tool_loop() -> None:
    asked = parsed(
        messages=[
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "eHg="},
                    {"type": "text", "text": "wait"},
                    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1.0}},
                    {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "one", "cache_control": MARK},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "is_error": True,
                        "content": [{"type": "text", "text": "two"}, {"type": "tool_reference", "tool_name": "h"}],
                    },
                    {"type": "text", "text": "also"},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_3"}]},
        ]
    )
    reference = TextPart('{"type": "tool_reference", "tool_name": "h"}')
    assert asked.messages[1:] == (
        Message(
            "assistant",
            (
                ReasoningPart("hm", "c2ln"),
                ReasoningPart(redacted="eHg="),
                TextPart("wait"),
                ToolCall("toolu_1", "f", '{"a": 1.0}'),
                ToolCall("toolu_2", "g", "{}"),
            ),
        ),
        Message("tool", (ToolResult("toolu_1", (TextPart("one"),), cache=MARKED),)),
        Message("tool", (ToolResult("toolu_2", (TextPart("two"), reference), is_error=True),)),
        Message("user", (TextPart("also"),)),
        Message("tool", (ToolResult("toolu_3"),)),
    )


def test_a_calls_own_proof_comes_back_to_it() -> None:
    content = [
        {"type": "redacted_thinking", "data": "call-signature:proof"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
        {"type": "tool_use", "id": "2", "name": "f", "input": {}},
    ]
    (message,) = parsed(messages=[{"role": "assistant", "content": content}]).messages
    assert message.parts == (ToolCall("1", "f", "{}", "proof"), ToolCall("2", "f", "{}"))


def test_a_system_message_within_the_conversation_stays_there() -> None:
    asked = parsed(messages=[*HI, {"role": "system", "content": [{"type": "text", "text": "s"}]}])
    assert asked.messages[1] == Message("system", (TextPart("s"),))


def test_tools() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    asked = parsed(
        tools=[
            {"name": "f", "description": "does f", "input_schema": {"type": "object"}, "cache_control": MARK},
            search,
            {"type": "custom", "name": "g", "input_schema": {}, "strict": True},
        ]
    )
    assert asked.tools == (Tool("f", "does f", b'{"type": "object"}', None, MARKED), Tool("g", "", b"{}", True))
    assert asked.foreign_tools == (
        ForeignTool("anthropic_messages", "web_search_20250305", json.dumps(search).encode()),
    )


@pytest.mark.parametrize(
    ("choice", "wanted", "parallel"),
    [
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "any"}, ToolChoice("required"), None),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "f"}, ToolChoice("named", "f"), None),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice("auto"), False),
        ({"type": "auto", "disable_parallel_tool_use": False}, ToolChoice("auto"), None),
    ],
)
def test_tool_choice(choice: Any, wanted: ToolChoice, parallel: bool | None) -> None:
    asked = parsed(tool_choice=choice)
    assert (asked.tool_choice, asked.parallel_tools) == (wanted, parallel)


@pytest.mark.parametrize(
    ("fields", "tokens", "effort", "extra"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, 2048, None, ()),
        ({"thinking": {"type": "disabled"}}, 0, None, ()),
        ({"thinking": {"type": "adaptive"}}, None, None, (("thinking", b'{"type": "adaptive"}'),)),
        ({"output_config": {"effort": "low"}}, None, "low", ()),
        ({"output_config": {"effort": "max"}}, None, "xhigh", ()),
        # Claude's own default, which Claude Code says to every model.
        ({"output_config": {"effort": "high"}}, None, None, (("output_config", b'{"effort":"high"}'),)),
        (
            {"output_config": {"effort": "medium", "task_budget": {"total": 5}}},
            None,
            "medium",
            (("output_config", b'{"task_budget":{"total": 5}}'),),
        ),
    ],
)
def test_how_hard_to_think(fields: Any, tokens: int | None, effort: str | None, extra: Any) -> None:
    asked = parsed(**fields)
    assert (asked.thinking_tokens, asked.effort, asked.extra) == (tokens, effort, extra)


@pytest.mark.parametrize("where", ["output_format", "output_config"])
def test_the_form_of_the_answer(where: str) -> None:
    wanted: Any = {"type": "json_schema", "schema": {"type": "object"}}
    asked = parsed(**{where: wanted if where == "output_format" else {"format": wanted}})
    assert asked.response_format == ResponseFormat("json_schema", "answer", b'{"type": "object"}')
    assert asked.extra == ()


BAD: list[tuple[Any, str]] = [
    ({"model": ...}, "model"),
    ({"model": ""}, "model"),
    ({"model": "a\nb"}, "model"),
    ({"model": 5}, "model"),
    ({"max_tokens": ...}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "9"}, "max_tokens"),
    ({"messages": ...}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages.0"),
    ({"messages": [{"content": "Hi"}]}, "messages.0.role"),
    ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages.0.role"),
    ({"messages": [*HI, {"role": "user"}]}, "messages.1.content"),
    ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages.0.content.0.type"),
    ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages.0.content.0"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages.0.content.0.text"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0.source"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0.tool_use_id"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": 5}]}]},
        "messages.0.content.0.content",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{}]}]}]},
        "messages.0.content.0.content.0.type",
    ),
    ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]}]}, "messages.0.content.0.name"),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": "x"}]}]},
        "messages.0.content.0.input",
    ),
    ({"messages": [{"role": "assistant", "content": [{"type": "thinking"}]}]}, "messages.0.content.0.thinking"),
    ({"system": 5}, "system"),
    ({"system": [{"type": "text"}]}, "system.0.text"),
    ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
    ({"tools": [{"name": "f", "input_schema": []}]}, "tools.0.input_schema"),
    ({"tools": [{"name": "f"}, 5]}, "tools.1"),
    ({"tool_choice": {"type": "required"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"temperature": 1.5}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"top_k": 0.5}, "top_k"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"stop_sequences": "END"}, "stop_sequences"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"output_config": {"format": {}}}, "output_config.format.type"),
]


@pytest.mark.parametrize(("fields", "where"), BAD)
def test_a_wrong_body_is_told_with_its_place(fields: Any, where: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    assert caught.value.param == where
    assert where.partition(".")[0] in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"model":"\xff"}', b'{"x":' + b"[" * 100_000])
def test_a_body_that_is_no_object_is_told(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECT.parse(body)
    assert caught.value.param == "body"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking", "x"])
NAMES = st.sampled_from(
    ["text", "source", "id", "name", "input", "tool_use_id", "content", "thinking", "data", "cache_control", "title"]
)
wild_blocks = st.builds(lambda kind, more: {"type": kind, **more}, KINDS, st.dictionaries(NAMES, json_values))


@given(
    st.dictionaries(
        st.sampled_from(["system", "tools", "tool_choice", "thinking", "output_config", "top_k"]), json_values
    ),
    st.lists(wild_blocks, max_size=3),
)
def test_whatever_comes_is_understood_or_told(fields: Any, blocks: Any) -> None:
    turns = [{"role": role, "content": blocks} for role in ("user", "assistant")]
    told: str | None = "nothing"
    try:
        DIALECT.render(parsed(messages=turns, **fields), "m", Ways())
    except BadRequest as error:
        told = error.param
    assert told


def test_what_is_counted_needs_no_bound() -> None:
    body = json.dumps({"model": "m", "messages": HI}).encode()
    assert COUNT.parse(body).chat.messages == (Message("user", (TextPart("Hi"),)),)
    with pytest.raises(BadRequest):
        DIALECT.parse(body)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_every_provider_is_told_what_it_has_words_for(provider: Provider) -> None:
    """A conversation with all that Claude Code sends, which must be lost nowhere but where it is said to be."""
    asked = parsed(
        system=[{"type": "text", "text": "You are an agent.", "cache_control": MARK}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Go", "cache_control": MARK}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt"}]},
        ],
        tools=[{"name": "Bash", "input_schema": {"type": "object"}, "cache_control": MARK}],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": []},
        metadata={"user_id": "u" * 200},
    )
    wire = provider.dialect.render(asked, "some-model", provider.ways)
    for words in (b"You are an agent.", b"I look.", b"Bash", b"a.txt"):
        assert words in wire.body
    if provider.dialect is DIALECT:
        assert wire.dropped == ()
    else:
        assert {"extra.context_management", "extra.thinking"} <= set(wire.dropped)
        assert b"reasoning_effort" not in wire.body
        assert (b"cache_control" in wire.body) == ("cache" not in wire.dropped)
