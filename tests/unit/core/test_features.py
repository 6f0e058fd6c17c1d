"""What a request makes use of, in the words of every dialect's LOSSES."""

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
from hoosh.core.features import FEATURES, lost

EVERYTHING = frozenset(FEATURES)


def used(**fields: object) -> set[str]:
    fields = {"model": "m", "messages": (Message("user", (TextPart("hi"),)),), "dialect": "home", **fields}
    return set(lost(ChatRequest(**fields), EVERYTHING, "home"))  # type: ignore[arg-type]


def part(*parts: Part, role: str = "user") -> set[str]:
    return used(messages=(Message(role, parts),))  # type: ignore[arg-type]


def test_a_plain_question_uses_nothing() -> None:
    assert used() == set()
    assert used(stream=True, include_usage=True, max_output_tokens=5, n=1) == set()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n": 2}, {"n"}),
        ({"user": "u"}, {"user"}),
        ({"effort": "none"}, {"effort"}),
        ({"effort": "low"}, {"effort", "effort.level"}),
        ({"thinking_tokens": 0}, {"thinking_tokens"}),
        ({"verbosity": "low"}, {"verbosity"}),
        ({"parallel_tools": False}, {"parallel_tools"}),
        ({"tools": (Tool("f", strict=True, cache=b"{}"),)}, {"tools", "tool.strict", "cache"}),
        ({"tool_choice": ToolChoice("named", "f")}, {"tool_choice.named"}),
        ({"tool_choice": ToolChoice("required")}, {"tool_choice.required"}),
        ({"tool_choice": ToolChoice("auto")}, set()),
        ({"response_format": ResponseFormat("text")}, set()),
        ({"response_format": ResponseFormat("json_object")}, {"response_format", "response_format.json_object"}),
        (
            {"response_format": ResponseFormat("json_schema", "n", b"{}", strict=False)},
            {"response_format", "response_format.name", "response_format.strict"},
        ),
        ({"sampling": Sampling(temperature=0.0, stop=("x",))}, {"sampling.temperature", "sampling.stop"}),
        ({"sampling": Sampling(logprobs=True, top_logprobs=0)}, {"sampling.logprobs", "sampling.top_logprobs"}),
    ],
)
def test_settings(fields: dict[str, object], words: set[str]) -> None:
    assert used(**fields) == words
    assert words <= EVERYTHING


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (TextPart(""), {"text.empty"}),
        (TextPart("a", cache=b"{}"), {"cache"}),
        (ImagePart(data="A", media_type="image/png"), {"image"}),
        (ImagePart(url="https://e.com", detail="low"), {"image", "image.url", "image.detail"}),
        (FilePart(media_type="audio/wav", data="A"), {"audio"}),
        (FilePart(data="A"), {"file.data"}),
        (FilePart(url="https://e.com"), {"file.url"}),
        (FilePart(file_id="f"), {"file.id"}),
        (ReasoningPart("t"), {"reasoning", "reasoning.unsigned"}),
        (ReasoningPart("t", "s"), {"reasoning", "reasoning.signature"}),
        (ReasoningPart(redacted="r"), {"reasoning", "reasoning.redacted"}),
        (ToolCall("c", "f"), set()),
        (ToolCall("c", "f", signature="s"), {"tool_call.signature"}),
        (ToolResult("c", (TextPart("a"),)), set()),
        (ToolResult("c", (ImagePart(data="A"),), is_error=True), {"tool_result.media", "tool_result.error", "image"}),
    ],
)
def test_parts(given: Part, words: set[str]) -> None:
    assert part(given) == words
    assert words <= EVERYTHING


def test_order_and_number_of_parts() -> None:
    thought, words, call = ReasoningPart("t", "s"), TextPart("a"), ToolCall("c", "f")
    assert "part.order" not in part(thought, words, call, role="assistant")
    assert "part.order" in part(words, thought, role="assistant")
    assert "part.order" in part(call, words, role="assistant")
    assert "reasoning.parts" in part(thought, thought, role="assistant")


def test_where_a_picture_stands() -> None:
    picture, words = ImagePart(data="A", media_type="image/png"), TextPart("a")
    assert "image.position" not in part(words, words, picture, picture)
    assert "image.position" in part(picture, words)


def test_a_system_message_after_the_first_turn() -> None:
    system, user = Message("system", (TextPart("s"),)), Message("user", (TextPart("u"),), "ann")
    assert used(messages=(system, system, user)) == {"message.name"}
    assert used(messages=(user, system)) == {"message.name", "system.position"}


def test_what_is_foreign_is_named_unless_it_is_at_home() -> None:
    asked = ChatRequest(
        model="m",
        messages=(Message("user", (ForeignPart("home", "video", b"{}"), ForeignPart("home", "video", b"{}"))),),
        foreign_tools=(ForeignTool("home", "web_search", b"{}"),),
        dialect="home",
        extra=(("zeta", b"1"), ("pool", b'"p"')),
    )
    assert lost(asked, frozenset(), "home") == ()
    assert lost(asked, frozenset(), "abroad") == ("extra.zeta", "tools.web_search", "part.video")
