"""What Anthropic's own SDK makes of the bytes, without a network, and that every form of them is in its schema."""

import json
from collections.abc import Sequence

import anthropic
import httpx2
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage
from pydantic import TypeAdapter

from hoosh.codecs.sse import SSEDecoder
from hoosh.core.asked import ChatRequest, CountRequest
from hoosh.core.errors import Idle, Overloaded
from hoosh.core.events import (
    Citation,
    Counted,
    Event,
    Finish,
    Metered,
    Opened,
    Reasoning,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects import Served
from hoosh.dialects.anthropic_messages import COUNT, DIALECT
from hoosh.dialects.anthropic_messages.listing import entry

SERVED = Served(id="1", created_s=5, provider="mine", model="m", input_tokens=17)
USED = Usage(input=10, cached=3, cache_write=2, output=4, reasoning=1)
ANSWER: Sequence[Event] = (
    Opened("v", "vendor-1"),
    Reasoning("think"),
    Reasoning(signature="sig"),
    Reasoning(redacted="eHg="),
    Text("Hel"),
    Text("lo \u2028"),
    Citation("https://e.com", "E", "quoted"),
    ToolDelta(0, "c1", "f"),
    ToolDelta(0, arguments='{"a":'),
    ToolDelta(0, arguments="1}"),
    ToolDelta(1, "", "g", "{}"),
    Finish("tool_calls"),
    Metered(USED),
)


def body(*events: Event, stream: bool) -> bytes:
    encoder = DIALECT.encoder(ChatRequest(model="m", messages=(), stream=stream), SERVED)
    return encoder.feed(events) + encoder.finish(USED)


def client(data: bytes, content_type: str = "text/event-stream", status: int = 200) -> anthropic.Anthropic:
    """The SDK with one answer to everything."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=data, request=request)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1:9", max_retries=0, http_client=http)


def check(message: Message) -> None:
    thought, hidden, text, call, other = message.content
    assert (message.id, message.model, message.stop_reason) == ("msg_1", "vendor-1", "tool_use")
    assert isinstance(thought, anthropic.types.ThinkingBlock)
    assert (thought.thinking, thought.signature) == ("think", "sig")
    assert hidden.type == "redacted_thinking"
    assert isinstance(text, anthropic.types.TextBlock)
    assert text.text == "Hello \u2028"
    assert [citation.type for citation in text.citations or ()] == ["web_search_result_location"]
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert (call.id, call.name, call.input) == ("c1", "f", {"a": 1})
    assert isinstance(other, anthropic.types.ToolUseBlock)
    assert (other.id, other.input) == ("toolu_1_1", {})
    used = message.usage
    assert (used.input_tokens, used.cache_read_input_tokens, used.cache_creation_input_tokens) == (5, 3, 2)
    assert used.output_tokens == 4


def test_a_stream() -> None:
    with (
        client(body(*ANSWER, stream=True)) as made,
        made.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        kinds = [event.type for event in stream]
        check(stream.get_final_message())
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert {"text", "input_json", "thinking", "signature", "citation"} <= set(kinds)


def test_a_whole_reply() -> None:
    data = body(*ANSWER, stream=False)
    check(Message.model_validate_json(data))
    assert BetaMessage.model_validate_json(data).stop_reason == "tool_use"
    with client(data, "application/json") as made:
        check(made.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]))


def test_every_event_is_in_the_sdks_schema() -> None:
    """Which the SDK does not check by itself."""
    adapter: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    for frame in SSEDecoder().feed(body(*ANSWER, stream=True)):
        if frame.event != b"ping":
            assert adapter.validate_json(frame.data).type == frame.event.decode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (503, anthropic.InternalServerError)],
)
def test_an_error(status: int, kind: type[anthropic.APIStatusError]) -> None:
    error = Overloaded("busy")
    error.status = status
    with client(DIALECT.fault(error, "r1"), "application/json", status) as made, pytest.raises(kind) as caught:
        made.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    assert "busy" in caught.value.message


def test_an_error_inside_a_stream() -> None:
    encoder = DIALECT.encoder(ChatRequest(model="m", messages=(), stream=True), SERVED)
    data = encoder.feed([Text("Hel")]) + DIALECT.fault_frame(Idle("silent"), "r1")
    with client(data) as made, pytest.raises(anthropic.APIStatusError) as caught:
        list(made.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}], stream=True))
    assert json.loads(json.dumps(caught.value.body))["error"] == {"type": "timeout_error", "message": "silent"}


def test_a_count_and_a_model() -> None:
    encoder = COUNT.encoder(CountRequest(chat=ChatRequest(model="m", messages=())), SERVED)
    assert MessageTokensCount.model_validate_json(encoder.feed([Counted(7)]) + encoder.finish(USED)).input_tokens == 7
    assert ModelInfo.model_validate(entry("m")).created_at.year == 1970
