"""Any request that the Responses dialect has words for is parsed as what was rendered."""

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.asked import (
    ChatRequest,
    Effort,
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
from hoosh.dialects import Ways
from hoosh.dialects.openai_responses import DIALECT

HOME = "openai_responses"
TEXT = st.text(min_size=1, max_size=5).filter(lambda text: "\udc00" not in text)
NAME = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=5)
SCHEMA = st.sampled_from([b"", b"{}", b'{"type": "object"}', b'{"a":1.0}'])
OPTIONAL_BOOL = st.none() | st.booleans()
texts = st.builds(TextPart, st.text(max_size=5).filter(lambda text: "\udc00" not in text))
images = st.builds(ImagePart, url=st.just("https://e.com/a"), detail=st.sampled_from(["", "low"])) | st.builds(
    ImagePart, data=st.sampled_from(["AA==", "BB=="]), media_type=st.just("image/png")
)
files = st.sampled_from(
    [
        FilePart(media_type="audio/wav", data="AA=="),
        FilePart(media_type="application/pdf", data="AA==", name="a.pdf"),
        FilePart(url="https://e.com/a.pdf"),
        FilePart(file_id="file-1"),
    ]
)
content = st.just(ForeignPart(HOME, "input_video", b'{"type":"input_video", "a":[1]}'))
search = st.just(ForeignPart(HOME, "web_search_call", b'{"type":"web_search_call", "id":"ws_1"}'))
thoughts = st.builds(ReasoningPart, TEXT, redacted=st.just("") | TEXT, id=st.just("") | TEXT)
custom = Tool(
    "shell",
    "Runs.",
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}',
    native=ForeignTool(
        HOME, "custom", b'{"type":"custom","name":"shell","description":"Runs.","format":{"type":"text"}}'
    ),
)
_space = ForeignTool(
    HOME,
    "namespace",
    b'{"type":"namespace","name":"mcp__x__","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}]}',
)
spaced = (Tool("mcp__x__f", native=_space), Tool("mcp__x__g", native=_space))


def _calls(names: list[str]) -> st.SearchStrategy[ToolCall]:
    named = st.sampled_from(["own", *(name for name in names if name != "shell")])
    plain = st.builds(ToolCall, TEXT, named, st.sampled_from(["", "{}", '{"a":1}']))
    freely = st.builds(ToolCall, TEXT, st.just("shell"), st.just('{"input":"ls"}'))
    return plain | freely if "shell" in names else plain


@st.composite
def _messages(draw: st.DrawFn, tools: tuple[Tool, ...]) -> tuple[Message, ...]:
    """A call's result tells the tool's name, which the call has told."""
    calls = _calls([tool.name for tool in tools])
    turns: list[Message] = []
    called: dict[str, str] = {}
    for _ in range(draw(st.integers(1, 4))):
        role = draw(st.sampled_from(["system", "developer", "user", "assistant", "tool"]))
        if role == "assistant" and not (turns and turns[-1].role == "assistant"):
            parts: list[Part] = draw(st.lists(texts | thoughts | calls | search, min_size=1, max_size=4))
            if any(type(part) is not ForeignPart for part in parts):
                called.update((part.id, part.name) for part in parts if isinstance(part, ToolCall))
                turns.append(Message("assistant", tuple(parts)))
        elif role == "tool":
            call_id = draw(st.sampled_from([*called, "unknown"]))
            inner = tuple(draw(st.lists(texts | images | files, max_size=2)))
            turns.append(Message("tool", (ToolResult(call_id, inner, called.get(call_id, "")),)))
        elif role != "assistant":
            turns.append(Message(role, tuple(draw(st.lists(texts | images | files | content, max_size=3)))))  # type: ignore[arg-type]
    return tuple(turns) or (Message("user", (TextPart("hi"),)),)


functions = st.lists(st.builds(Tool, st.just("own"), st.just("") | TEXT, SCHEMA, OPTIONAL_BOOL), max_size=1).map(tuple)
toolsets = st.builds(
    lambda own, *more: (*own, *(tool for some in more for tool in some)),
    functions,
    st.sampled_from([(), (custom,)]),
    st.sampled_from([(), spaced]),
)


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    tools = draw(toolsets)
    choices = [None, *(ToolChoice(mode) for mode in ("auto", "none", "required"))]
    return ChatRequest(
        model=draw(NAME),
        messages=draw(_messages(tools)),
        tools=tools,
        foreign_tools=draw(st.sampled_from([(), (ForeignTool(HOME, "web_search", b'{"type":"web_search"}'),)])),
        tool_choice=draw(st.sampled_from([*choices, *(ToolChoice("named", tool.name) for tool in tools)])),
        parallel_tools=draw(OPTIONAL_BOOL),
        response_format=draw(
            st.sampled_from([None, ResponseFormat("text"), ResponseFormat("json_object")])
            | st.builds(ResponseFormat, st.just("json_schema"), NAME, SCHEMA, OPTIONAL_BOOL)
        ),
        sampling=Sampling(
            temperature=draw(st.none() | st.floats(0, 2)),
            top_p=draw(st.none() | st.floats(0, 1)),
            logprobs=draw(st.sampled_from([None, True])),
            top_logprobs=draw(st.none() | st.integers(0, 20)),
        ),
        max_output_tokens=draw(st.none() | st.integers(1, 10**6)),
        stream=draw(st.booleans()),
        effort=draw(st.none() | st.sampled_from(get_args(Effort))),
        verbosity=draw(st.sampled_from(["", "low"])),
        user=draw(st.just("") | TEXT),
        dialect=HOME,
        extra=draw(
            st.sampled_from(
                [
                    (),
                    (("metadata", b'{"1": 2}'), ("zeta", b"[1.0]")),
                    (("reasoning", b'{"summary":"auto"}'), ("include", b'["reasoning.encrypted_content"]')),
                ]
            )
        ),
    )


@settings(deadline=None)
@given(requests())
def test_what_is_rendered_parses_as_what_was_meant(asked: ChatRequest) -> None:
    assert DIALECT.parse(DIALECT.render(asked, asked.model, Ways()).body) == asked
