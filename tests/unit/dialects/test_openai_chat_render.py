"""What of another dialect's request a provider with a closed list of fields is spared."""

import json

from hoosh.core.asked import ChatRequest, Message, TextPart, Tool, ToolResult
from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT

CACHE = b'{"type":"ephemeral"}'
ASKED = ChatRequest(
    model="m",
    messages=(
        Message("user", (TextPart("q", CACHE),)),
        Message("tool", (ToolResult("c", (TextPart("r", CACHE),), cache=CACHE),)),
    ),
    tools=(Tool("f", cache=CACHE),),
    user="u" * 65,
)


def test_marks_of_what_is_worth_caching_go_only_where_they_are_taken() -> None:
    wire = DIALECT.render(ASKED, "m", Ways())
    assert wire.dropped == ("cache",)
    assert b"cache_control" not in wire.body
    assert [message["content"] for message in json.loads(wire.body)["messages"]] == ["q", "r"]
    wire = DIALECT.render(ASKED, "m", Ways(cache_marks=True))
    assert wire.dropped == ()
    assert wire.body.count(b'"cache_control":{"type":"ephemeral"}') == 3


def test_a_users_name_has_a_length_and_stays_the_same() -> None:
    first, again = (json.loads(DIALECT.render(ASKED, "m", Ways()).body)["user"] for _ in range(2))
    assert first == again
    assert len(first) == 64
    short = ChatRequest(model="m", messages=ASKED.messages, user="u" * 64)
    assert json.loads(DIALECT.render(short, "m", Ways()).body)["user"] == "u" * 64
