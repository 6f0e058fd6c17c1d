"""How hard to think, how long to answer, what is marked for the cache: literal requests to each generation of Claude."""

import json
from typing import Any

import pytest

from hoosh.core.asked import (
    ChatRequest,
    Effort,
    ForeignTool,
    ImagePart,
    Message,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.anthropic_messages import DIALECT

HELLO = Message("user", (TextPart("hello"),))
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
TOOLS = (Tool("f"),)


def request(*messages: Message, model: str, **fields: Any) -> WireRequest:
    asked = ChatRequest(model="asked", messages=messages or (HELLO,), **fields)
    return DIALECT.render(asked, model, Ways())


def rendered(*messages: Message, model: str = "claude-opus-4-7", **fields: Any) -> JSON:
    body: JSON = json.loads(request(*messages, model=model, **fields).body)
    return body


@pytest.mark.parametrize(
    ("model", "effort", "wanted"),
    [
        ("claude-opus-4-7", "high", "high"),
        ("claude-opus-4-7", "xhigh", "xhigh"),
        ("claude-fable-5-1", "minimal", "low"),
        ("claude-opus-4-6", "xhigh", "high"),
        ("claude-sonnet-4-6", "medium", "medium"),
        ("anthropic.claude-opus-4-8-v1", "low", "low"),
        ("another-model", "low", "low"),
    ],
)
def test_effort_is_adaptive_thinking_for_the_models_that_have_it(model: str, effort: Effort, wanted: str) -> None:
    body = rendered(model=model, effort=effort, sampling=Sampling(temperature=0.5))
    assert body["thinking"] == ADAPTIVE
    assert body["output_config"] == {"effort": wanted}
    assert body["max_tokens"] >= 16384
    assert "temperature" not in body


@pytest.mark.parametrize(
    ("model", "effort", "bound", "budget"),
    [
        ("claude-haiku-4-5-20251001", "high", None, 16000),
        ("claude-sonnet-4-20250514", "medium", None, 8192),
        ("claude-3-7-sonnet-20250219", "low", None, 2048),
        ("claude-opus-4-5", "minimal", None, 1024),
        ("claude-opus-4-5", "high", 4000, 2000),
        ("claude-opus-4-5", "high", 2047, None),  # less than 1024 tokens are refused
        ("claude-3-5-haiku-latest", "high", None, None),
        ("claude-3-opus-latest", "high", None, None),
        ("claude-opus-4-5", "none", None, None),
        ("claude-opus-4-5", None, None, None),
    ],
)
def test_effort_is_a_budget_for_the_models_before_it(
    model: str, effort: Effort | None, bound: int | None, budget: int | None
) -> None:
    body = rendered(model=model, effort=effort, max_output_tokens=bound, sampling=Sampling(temperature=0.5))
    assert body.get("thinking") == (budget and {"type": "enabled", "budget_tokens": budget})
    assert body["max_tokens"] == bound or bound is None
    assert ("temperature" in body) is (budget is None)
    assert "output_config" not in body


def test_tokens_to_think_with() -> None:
    assert rendered(model="claude-opus-4-5", thinking_tokens=3000)["thinking"]["budget_tokens"] == 3000
    assert rendered(model="claude-opus-4-5", thinking_tokens=10)["thinking"]["budget_tokens"] == 1024
    assert rendered(thinking_tokens=3000)["thinking"] == ADAPTIVE
    assert request(model="claude-opus-4-5", thinking_tokens=3000).dropped == ()
    assert request(model="claude-opus-4-7", thinking_tokens=3000).dropped == ("thinking_tokens",)


def test_not_to_think() -> None:
    assert rendered(model="claude-sonnet-5", effort="none")["thinking"] == {"type": "disabled"}
    assert "thinking" not in rendered(model="claude-opus-4-7", effort="none")
    assert request(model="claude-opus-4-7", effort="none").dropped == ()


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "f")])
def test_who_must_call_does_not_think(choice: ToolChoice) -> None:
    assert "thinking" not in rendered(model="claude-opus-4-5", effort="high", tools=TOOLS, tool_choice=choice)
    body = rendered(effort="high", tools=TOOLS, tool_choice=choice)
    assert "thinking" not in body
    assert body["output_config"] == {"effort": "high"}


def test_a_turn_that_lost_its_thoughts_is_answered_without_thinking() -> None:
    call, result = ToolCall("t", "f"), Message("tool", (ToolResult("t", (TextPart("1"),)),))
    proved = ReasoningPart("hm", "sig")
    model = "claude-opus-4-5"
    assert "thinking" not in rendered(HELLO, Message("assistant", (call,)), result, model=model, effort="low")
    assert "thinking" in rendered(HELLO, Message("assistant", (proved, call)), result, model=model, effort="low")
    assert "thinking" in rendered(HELLO, Message("assistant", (call,)), result, HELLO, model=model, effort="low")


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-2.1", 4096),
        ("claude-3-opus-20240229", 4096),
        ("claude-3-5-sonnet-latest", 8192),
        ("claude-3-7-sonnet-latest", 32000),
        ("claude-opus-4-1", 32000),
        ("claude-sonnet-5", 32000),
        ("another-model", 4096),
    ],
)
def test_an_answer_may_be_as_long_as_every_model_of_the_generation_takes(model: str, tokens: int) -> None:
    assert rendered(model=model)["max_tokens"] == tokens
    assert rendered(model=model, max_output_tokens=7)["max_tokens"] == 7


@pytest.mark.parametrize(
    ("model", "fields", "dropped"),
    [
        ("claude-opus-4-7", {"sampling": Sampling(temperature=0.5)}, ("sampling.temperature",)),
        ("claude-opus-4-5", {"sampling": Sampling(temperature=0.5, top_p=0.9)}, ("sampling.top_p",)),
        ("claude-opus-4-5", {"sampling": Sampling(temperature=0.5)}, ()),
        ("claude-opus-4-6", {"sampling": Sampling(top_k=5), "effort": "low"}, ("sampling.top_k",)),
        ("claude-3-opus-latest", {"effort": "low"}, ("effort", "effort.level")),
        ("claude-opus-4-7", {"effort": "low"}, ()),
    ],
)
def test_what_a_model_takes_no_word_of_is_declared(model: str, fields: JSON, dropped: tuple[str, ...]) -> None:
    assert request(model=model, **fields).dropped == dropped


MARK = b'{"type":"ephemeral","ttl":"1h"}'
MARKED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def test_marks_for_the_cache() -> None:
    result = ToolResult("t", (TextPart("1"),), is_error=True, cache=MARK)
    body = rendered(
        Message("system", (TextPart("a"), TextPart("b", cache=MARK))),
        Message("system", (TextPart("c"),)),
        Message("user", (TextPart("d", cache=MARK), ImagePart(url="https://x/y.png", cache=MARK))),
        Message("assistant", (ToolCall("t", "f"),)),
        Message("tool", (result,)),
        tools=(Tool("f", cache=MARK),),
        foreign_tools=(
            ForeignTool("anthropic_messages", "web_search", b'{"type":"web_search_x","name":"web_search"}'),
        ),
    )
    assert body["system"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", **MARKED},
        {"type": "text", "text": "c"},
    ]
    said, answered = body["messages"][0]["content"], body["messages"][2]["content"]
    assert said == [
        {"type": "text", "text": "d", **MARKED},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, **MARKED},
    ]
    (answer,) = answered
    assert (answer["is_error"], answer["cache_control"]) == (True, MARKED["cache_control"])
    assert body["tools"] == [
        {"name": "f", "input_schema": {"type": "object"}, **MARKED},
        {"type": "web_search_x", "name": "web_search"},
    ]
