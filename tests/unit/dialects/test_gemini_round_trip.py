"""Any request that generateContent has words for is parsed as what was rendered."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.asked import (
    ChatRequest,
    FilePart,
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
from hoosh.dialects import Ways
from hoosh.dialects.gemini import DIALECT
from hoosh.dialects.gemini.client import CLIENT

MODEL = "gemini-3-flash"
TEXT = st.text(max_size=5).filter(lambda text: text.isprintable() or "\u2028" in text or "\n" in text)
WORD = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=5)
SCHEMA = st.sampled_from([b"", b'{"type": "object", "additionalProperties":false}', b'{"a_b":1.0}'])
texts = st.builds(TextPart, TEXT)
images = st.builds(ImagePart, data=st.sampled_from(["AA==", "BB=="]), media_type=st.just("image/png")) | st.just(
    ImagePart(url="https://e.com/a.webp", media_type="image/webp")
)
files = st.sampled_from(
    [
        FilePart(media_type="application/pdf", data="AA=="),
        FilePart(media_type="audio/wav", data="AA=="),
        FilePart(media_type="video/mp4", url="https://e.com/a.mp4"),
    ]
)
foreign = st.just(ForeignPart("gemini", "executableCode", b'{"executableCode":{"code":"1","language":"PYTHON"}}'))
thoughts = st.builds(ReasoningPart, WORD, WORD)
# What Google's models say of a part that is no thought: its proof stands before it.
proved = st.builds(lambda proof, text: (ReasoningPart(signature=proof), TextPart(text)), WORD, WORD)
signatures = st.just("") | WORD
said = st.one_of(
    st.builds(lambda part: (part,), st.one_of(thoughts, texts.filter(lambda part: part.text), foreign)), proved
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns of a user and a model; whatever is called is answered, each answer in a message of its own."""
    turns = [Message("user", tuple(draw(st.lists(texts | images | files, min_size=1, max_size=3))))]
    if draw(st.booleans()):
        turns.insert(0, Message("system", tuple(draw(st.lists(texts, min_size=1, max_size=2)))))
    for turn in range(draw(st.integers(0, 3))):
        parts = [part for group in draw(st.lists(said, max_size=3)) for part in group]
        calls = [
            ToolCall(f"id{turn}.{k}", draw(WORD), draw(st.sampled_from(["{}", '{"a_b":1.50}'])), draw(signatures))
            for k in range(draw(st.integers(0, 2)))
        ]
        if calls and not calls[0].signature:
            calls[0] = msgspec.structs.replace(calls[0], signature="s")  # without any the first gets one of its own
        if not (parts or calls):
            continue
        turns.append(Message("assistant", (*parts, *calls)))
        for call in calls:
            answer = draw(st.sampled_from([(), (TextPart("sunny"),), (TextPart('{"t": 1.50}'),)]))
            picture = draw(st.sampled_from([(), (ImagePart(data="AA==", media_type="image/png"),)]))
            turns.append(Message("tool", (ToolResult(call.id, (*answer, *picture), call.name),)))
        turns.append(Message("user", (draw(texts),)))
    return tuple(turns)


numbers = st.none() | st.floats(-2, 2, allow_nan=False)
samplings = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(0, 100),
    presence_penalty=numbers,
    frequency_penalty=numbers,
    seed=st.none() | st.integers(-(2**31), 2**31 - 1),
    stop=st.lists(WORD, max_size=2).map(tuple),
    logprobs=st.none() | st.just(True),
)
tools = st.lists(st.builds(Tool, WORD, st.just("") | WORD, SCHEMA), max_size=2).map(tuple)
choices = st.sampled_from([ToolChoice(mode) for mode in ("auto", "none", "required")]) | st.builds(
    ToolChoice, st.just("named"), WORD
)
formats = st.sampled_from(
    [
        None,
        ResponseFormat("json_object"),
        ResponseFormat("json_schema", schema=b'{"type": "object"}'),
        ResponseFormat("json_schema", "Verdict", b'{"title": "Verdict"}'),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    offered = draw(tools)
    stream = draw(st.booleans())
    return ChatRequest(
        model=MODEL,
        messages=draw(conversations()),
        tools=offered,
        tool_choice=draw(st.none() | choices) if offered else None,
        response_format=draw(formats),
        sampling=draw(samplings),
        max_output_tokens=draw(st.none() | st.integers(1, 10**6)),
        n=draw(st.integers(1, 3)),
        effort=draw(st.sampled_from([None, "minimal", "low", "medium", "high"])),
        stream=stream,
        include_usage=stream,
        dialect="gemini",
    )


@settings(deadline=None)
@given(requests())
def test_what_is_rendered_parses_as_what_was_meant(asked: ChatRequest) -> None:
    wire = DIALECT.render(asked, MODEL, Ways())
    spoken = CLIENT.at(wire.path.partition("/models/")[2])
    assert spoken.parse(wire.body) == asked
