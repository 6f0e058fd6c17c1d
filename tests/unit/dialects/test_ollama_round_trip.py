"""Any request that /api/chat has words for is parsed as what was rendered."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.asked import (
    ChatRequest,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
)
from hoosh.dialects import Ways
from hoosh.dialects.ollama.chat import DIALECT
from hoosh.dialects.ollama.client import CHAT

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
WORD = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=5)
# A server's template fails without any properties, so that a tool without a schema gets an empty one.
SCHEMA = st.sampled_from([b'{"type": "object", "properties": {"a":1.0}}', b'{"properties":{}}'])
texts = st.builds(TextPart, TEXT)
images = st.sampled_from(
    [
        ImagePart(data="iVBORw0KGgoAAA==", media_type="image/png"),
        ImagePart(data="/9j/4AAQ", media_type="image/jpeg"),
        ImagePart(data="UklGRgAA", media_type="image/webp"),
    ]
)
numbers = st.none() | st.floats(-2, 2, allow_nan=False)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    turns = [Message("user", (draw(texts), *draw(st.lists(images, max_size=2))))]
    if draw(st.booleans()):
        turns.insert(0, Message("system", (draw(texts),)))
    for turn in range(draw(st.integers(0, 3))):
        thought = draw(st.sampled_from([(), (ReasoningPart("hm"),)]))
        text = draw(st.just(()) | texts.map(lambda part: (part,)))
        calls = [
            ToolCall(f"id{turn}.{k}", draw(WORD), draw(st.sampled_from(["{}", '{"a":1.50}'])))
            for k in range(draw(st.integers(0, 2)))
        ]
        turns.append(Message("assistant", (*thought, *text, *calls)))
        turns += [
            Message("tool", (ToolResult(call.id, (draw(texts), *draw(st.lists(images, max_size=1))), call.name),))
            for call in calls
        ]
    return tuple(turns)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    stream = draw(st.booleans())
    return ChatRequest(
        model="m",
        messages=draw(conversations()),
        tools=draw(st.lists(st.builds(Tool, WORD, st.just("") | WORD, SCHEMA), max_size=2).map(tuple)),
        response_format=draw(
            st.sampled_from([None, ResponseFormat("json_object"), ResponseFormat("json_schema", schema=b'{"a": 1.0}')])
        ),
        sampling=draw(
            st.builds(
                Sampling,
                temperature=numbers,
                top_p=numbers,
                top_k=st.none() | st.integers(0, 100),
                min_p=numbers,
                presence_penalty=numbers,
                frequency_penalty=numbers,
                seed=st.none() | st.integers(0, 2**31),
                stop=st.lists(TEXT, max_size=2).map(tuple),
            )
        ),
        max_output_tokens=draw(st.none() | st.integers(1, 10**6)),
        effort=draw(st.sampled_from([None, "none", "medium"])),
        stream=stream,
        include_usage=stream,
        dialect="ollama",
    )


@settings(deadline=None)
@given(requests())
def test_what_is_rendered_parses_as_what_was_meant(asked: ChatRequest) -> None:
    assert CHAT.parse(DIALECT.render(asked, asked.model, Ways()).body) == asked
