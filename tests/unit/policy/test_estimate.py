"""Tokens without a tokenizer: the bound is one, and a guess says that it is one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.core.asked import (
    ChatRequest,
    CompleteRequest,
    CountRequest,
    EmbedRequest,
    ForeignPart,
    ImagePart,
    Message,
    ModerationRequest,
    Part,
    ReasoningPart,
    RerankRequest,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
)
from hoosh.core.events import Usage
from hoosh.policy.estimate import (
    DEFAULT_OUTPUT_TOKENS,
    TOKENS_PER_IMAGE,
    TOKENS_PER_MESSAGE,
    bound,
    guess,
    input_guess,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TextSize = tuple[Part, int]


def size(*words: str) -> int:
    return sum(len(word.encode()) for word in words)


parts = st.one_of(
    st.builds(lambda a: (TextPart(a), size(a)), texts),
    st.builds(lambda a, b: (ReasoningPart(a, redacted=b), size(a, b)), texts, texts),
    st.builds(lambda a, b: (ToolCall("1", a, b), size(a, b)), texts, texts),
    st.builds(lambda a: (ToolResult("1", (TextPart(a), TextPart(a))), 2 * size(a)), texts),
    st.builds(lambda a: (ForeignPart("openai_chat", "file", a.encode()), size(a)), texts),
)


@given(
    st.lists(st.lists(parts, max_size=4), max_size=4), texts, texts, st.integers(1, 4), st.none() | st.integers(1, 99)
)
@settings(deadline=None)
def test_the_bound_is_above_one_token_a_byte_and_all_that_may_be_answered(
    messages: list[list[TextSize]], name: str, schema: str, n: int, limit: int | None
) -> None:
    request = ChatRequest(
        model="m",
        messages=tuple(Message("user", tuple(part for part, _ in rows)) for rows in messages),
        tools=(Tool(name, schema, schema.encode()),),
        response_format=ResponseFormat("json_schema", schema=schema.encode()),
        n=n,
        max_output_tokens=limit,
    )
    text = sum(bytes_ for rows in messages for _, bytes_ in rows) + size(name) + 3 * size(schema)
    assert bound(request) >= text + TOKENS_PER_MESSAGE * len(messages) + n * (limit or DEFAULT_OUTPUT_TOKENS)
    told = guess(request, 0)
    assert told.source == "estimated"
    assert told.total <= bound(request)


def hello(*more: Part, **fields: int) -> ChatRequest:
    message = Message("user", (TextPart("Hi"), *more))
    return ChatRequest(model="m", messages=(message,), max_output_tokens=fields.get("limit", 10), n=fields.get("n", 1))


def test_numbers() -> None:
    assert bound(hello()) == 2 + TOKENS_PER_MESSAGE + 10
    assert bound(hello(n=3)) == 2 + TOKENS_PER_MESSAGE + 30
    assert bound(hello(ImagePart(data="A" * 9999))) == 2 + TOKENS_PER_MESSAGE + TOKENS_PER_IMAGE + 10
    assert bound(hello(TextPart("é€"))) == 2 + 5 + TOKENS_PER_MESSAGE + 10


def test_a_guess_is_never_zero_for_what_was_seen() -> None:
    assert guess(hello(), 1).output == 1
    assert guess(hello(), 4).output == 1
    assert guess(hello(), 5).output == 2
    assert guess(hello(), 0).output == 0
    assert guess(hello(), 0).input > 0


def test_other_operations() -> None:
    embed = EmbedRequest(model="m", inputs=("abcdefgh", (1, 2, 3)))
    assert bound(embed) == 8 + 12
    assert guess(embed, 0) == Usage(input=5, output=0, source="estimated")
    assert bound(RerankRequest(model="m", query="qq", documents=("abc", "é"))) == 3 + 2 + 2 * 2
    assert bound(ModerationRequest(model="m", inputs=("abc", "d"))) == 4
    assert bound(CountRequest(chat=hello())) == 0
    assert input_guess(hello()) == guess(hello(), 0).input


def test_each_of_several_prompts_may_have_its_whole_answer() -> None:
    asked = CompleteRequest(model="m", prompts=("abcd", (1, 2)), max_output_tokens=10, n=3)
    assert bound(asked) == 4 + 2 * 4 + 2 * 3 * 10
    assert guess(asked, 40) == Usage(input=3, output=10, source="estimated")
    assert bound(CompleteRequest(model="m", prompts=("a", "b"))) == 2 + 2 * DEFAULT_OUTPUT_TOKENS
