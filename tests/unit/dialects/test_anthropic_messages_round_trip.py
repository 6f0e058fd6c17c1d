"""Any request that Messages has words for is parsed as what was rendered.

What is not made here is what anthropic_messages.LOSSES names; turns of one side in a row, which become one; results
after words, which come first; sampling beside thoughts, which pin it; and what is as good as unsaid: effort "high",
parallel_tools True, strict False.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.asked import (
    ChatRequest,
    FilePart,
    ForeignPart,
    ForeignTool,
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
from hoosh.dialects.anthropic_messages import DIALECT

TEXT = st.text(min_size=1, max_size=5).filter(lambda text: bool(text.strip()))
NAME = st.text(st.sampled_from("abcXYZ019_-"), min_size=1, max_size=5)
SCHEMA = st.sampled_from([b'{"type":"object"}', b'{"properties":{"a":{"type":"string"}},"type":"object"}'])
CACHE = st.sampled_from([b"", b'{"type":"ephemeral"}', b'{"type":"ephemeral","ttl":"1h"}'])
texts = st.builds(TextPart, TEXT, CACHE)
images = st.builds(ImagePart, url=st.just("https://e.com/a"), cache=CACHE) | st.builds(
    ImagePart, data=st.sampled_from(["AA==", "BB=="]), media_type=st.just("image/png"), cache=CACHE
)
files = st.builds(
    FilePart, media_type=st.just("application/pdf"), data=st.just("AA=="), name=st.just("") | TEXT, cache=CACHE
) | st.sampled_from([FilePart(media_type="text/plain", data="aGk="), FilePart(url="https://e.com/a.pdf")])
foreign = st.just(ForeignPart("anthropic_messages", "container_upload", b'{"type":"container_upload","file_id":"f"}'))
thoughts = st.builds(ReasoningPart, TEXT, TEXT) | st.builds(ReasoningPart, redacted=TEXT)
calls = st.builds(ToolCall, NAME, NAME, st.sampled_from(["{}", '{"a":1.0}']))
results = st.builds(
    ToolResult,
    NAME,
    st.lists(texts | images | files, max_size=2).map(tuple),
    is_error=st.booleans(),
    cache=CACHE,
).map(lambda result: Message("tool", (result,)))
users = st.lists(texts | images | files | foreign, min_size=1, max_size=3).map(
    lambda parts: Message("user", tuple(parts))
)
assistants = st.lists(texts | thoughts | calls | foreign, min_size=1, max_size=4).map(
    lambda parts: Message("assistant", tuple(parts))
)
# A user's turn is results, then words; one of both at least.
turns = st.tuples(st.lists(results, max_size=2), st.lists(users, max_size=1)).filter(any).map(lambda t: [*t[0], *t[1]])
systems = texts.filter(lambda part: not part.cache).map(lambda part: (part,)) | st.tuples(
    texts, st.builds(TextPart, TEXT, st.just(b'{"type":"ephemeral"}'))
)
conversations = st.tuples(
    st.lists(systems.map(lambda parts: Message("system", parts)), max_size=1),
    turns,
    st.lists(st.tuples(assistants, turns).map(lambda pair: [pair[0], *pair[1]]), max_size=2),
).map(lambda c: (*c[0], *c[1], *(message for pair in c[2] for message in pair)))
samplings = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 1),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(0, 100),
    stop=st.lists(TEXT, max_size=2).map(tuple),
)
tools: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "tools": st.lists(
                st.builds(Tool, NAME, st.just("") | TEXT, SCHEMA, st.none() | st.just(True), CACHE),
                min_size=1,
                max_size=2,
            ).map(tuple),
            "foreign_tools": st.lists(
                st.just(ForeignTool("anthropic_messages", "web_search_1", b'{"type":"web_search_1"}')), max_size=1
            ).map(tuple),
        },
        optional={
            "tool_choice": st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")])
            | st.builds(ToolChoice, st.just("named"), NAME)
        },
    ),
    st.fixed_dictionaries(
        {
            "tools": st.just((Tool("f", schema=b'{"type":"object"}'),)),
            "tool_choice": st.sampled_from([ToolChoice("auto"), ToolChoice("required")]),
            "parallel_tools": st.just(False),
        }
    ),
)
thinking: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda sampling: {"sampling": sampling}, samplings),
    st.builds(lambda sampling: {"sampling": sampling, "thinking_tokens": 0}, samplings),
    st.sampled_from([{"effort": "low"}, {"effort": "medium"}, {"effort": "xhigh"}]),
    st.integers(1024, 50_000).map(lambda tokens: {"thinking_tokens": tokens}),
)
requests = st.builds(
    lambda tools, thinking, **fields: ChatRequest(**tools, **thinking, **fields, dialect="anthropic_messages"),
    tools=tools,
    thinking=thinking,
    model=NAME,
    messages=conversations,
    response_format=st.none() | st.builds(ResponseFormat, st.just("json_schema"), st.just("answer"), SCHEMA),
    max_output_tokens=st.integers(50_001, 10**6),
    stream=st.booleans(),
    user=st.just("") | TEXT,
    extra=st.sampled_from(
        [(), (("service_tier", b'"auto"'), ("zeta", b"[1.0]")), (("output_config", b'{"task_budget":1}'),)]
    ),
)


@settings(deadline=None)
@given(requests)
def test_what_is_rendered_parses_as_what_was_meant(asked: ChatRequest) -> None:
    wire = DIALECT.render(asked, asked.model, Ways())
    assert wire.dropped == (("response_format.name",) if asked.response_format else ())
    assert DIALECT.parse(wire.body) == asked
