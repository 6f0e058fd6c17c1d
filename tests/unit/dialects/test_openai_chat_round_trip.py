"""Any request that Chat Completions has words for is parsed as what was rendered."""

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
from hoosh.dialects.openai_chat import DIALECT

# What is not made here is what openai_chat.LOSSES names: parts in another order, empty texts, several thoughts
# without a proof.
TEXT = st.text(min_size=1, max_size=5).filter(lambda text: "\udc00" not in text)
NAME = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=5)
SCHEMA = st.sampled_from([b"{}", b'{"type": "object"}', b'{"a":1.0}'])
OPTIONAL_BOOL = st.none() | st.booleans()
CACHE = st.sampled_from([b"", b'{"type":"ephemeral"}'])
texts = st.builds(TextPart, TEXT, CACHE)
files = st.sampled_from(
    [
        FilePart(media_type="audio/wav", data="AA=="),
        FilePart(media_type="application/pdf", data="AA==", name="a.pdf", cache=b'{"type":"ephemeral"}'),
        FilePart(url="https://e.com/a.pdf"),
        FilePart(file_id="file-1"),
    ]
)
foreign_tools = st.just(ForeignTool("openai_chat", "web_search", b'{"type":"web_search"}'))
images = st.builds(ImagePart, url=st.just("https://e.com/a"), detail=st.sampled_from(["", "low"])) | st.builds(
    ImagePart, data=st.sampled_from(["AA==", "BB=="]), media_type=st.just("image/png")
)
foreign = st.just(ForeignPart("openai_chat", "video", b'{"type":"video", "video":{"a":[1]}}'))
thoughts = st.lists(st.builds(ReasoningPart, TEXT), max_size=1) | st.lists(
    st.builds(ReasoningPart, TEXT, TEXT) | st.builds(ReasoningPart, redacted=TEXT), min_size=1, max_size=3
)
calls = st.builds(ToolCall, TEXT, NAME, st.sampled_from(["", "{}", '{"a":1}']), st.sampled_from(["", "sig"]))
results = st.builds(ToolResult, NAME, st.lists(texts | images | files, max_size=2).map(tuple), st.just("") | NAME)
messages = st.one_of(
    st.builds(Message, st.sampled_from(["system", "developer"]), texts.map(lambda part: (part,))),
    st.builds(
        Message, st.just("user"), st.lists(texts | images | files | foreign, max_size=3).map(tuple), st.just("") | NAME
    ),
    st.builds(
        Message,
        st.just("assistant"),
        st.tuples(thoughts, st.lists(texts, max_size=2), st.lists(calls, max_size=2)).map(
            lambda lists: (*lists[0], *lists[1], *lists[2])
        ),
    ),
    st.builds(Message, st.just("tool"), results.map(lambda result: (result,))),
)
numbers = st.none() | st.floats(-2, 2, allow_nan=False)
samplings = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(0, 100),
    min_p=numbers,
    presence_penalty=numbers,
    frequency_penalty=numbers,
    seed=st.none() | st.integers(-(10**20), 10**20),
    stop=st.lists(TEXT, max_size=2).map(tuple),
    logprobs=OPTIONAL_BOOL,
    top_logprobs=st.none() | st.integers(0, 20),
)
choices = st.sampled_from([None, ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")]) | st.builds(
    ToolChoice, st.just("named"), NAME
)
formats = st.sampled_from([None, ResponseFormat("text"), ResponseFormat("json_object")]) | st.builds(
    ResponseFormat, st.just("json_schema"), NAME, SCHEMA | st.just(b""), OPTIONAL_BOOL
)
streams = st.sampled_from([{}, {"stream": True}, {"stream": True, "include_usage": True}])
requests = streams.flatmap(
    lambda stream: st.builds(
        ChatRequest,
        model=NAME,
        messages=st.lists(messages, min_size=1, max_size=4).map(tuple),
        tools=st.lists(
            st.builds(Tool, NAME, st.just("") | TEXT, SCHEMA | st.just(b""), OPTIONAL_BOOL, CACHE), max_size=2
        ).map(tuple),
        foreign_tools=st.lists(foreign_tools, max_size=1).map(tuple),
        tool_choice=choices,
        parallel_tools=OPTIONAL_BOOL,
        response_format=formats,
        sampling=samplings,
        max_output_tokens=st.none() | st.integers(1, 10**6),
        n=st.integers(1, 3),
        effort=st.none() | st.sampled_from(get_args(Effort)),
        verbosity=st.sampled_from(["", "low"]),
        user=st.just("") | TEXT,
        dialect=st.just("openai_chat"),
        extra=st.sampled_from([(), (("logit_bias", b'{"1": 2}'), ("zeta", b"[1.0]"))]),
        **{name: st.just(value) for name, value in stream.items()},
    )
)


@settings(deadline=None)
@given(requests)
def test_what_is_rendered_parses_as_what_was_meant(asked: ChatRequest) -> None:
    body = DIALECT.render(asked, asked.model, Ways(stream_usage=asked.include_usage, cache_marks=True)).body
    assert DIALECT.parse(body) == asked
