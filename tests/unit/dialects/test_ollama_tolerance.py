"""What Ollama's replies may hold beyond what its documents promise: literal bytes."""

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.events import Event, Finish, Metered, Opened, Text, ToolDelta, Usage
from hoosh.dialects import Translating, Ways
from hoosh.dialects.ollama.chat import DIALECT

LINES = (
    b'{"model":"m","message":{"content":"a"},"done":false}\r\n\n{"model":"m","message":{"content":"b"},"done":null}\n'
    b'{"model":"m","message":{"content":""},"done":true,"done_reason":"stop","eval_count":2}\n'
)
MEANT: list[Event] = [Opened(model="m"), Text("a"), Text("b"), Metered(Usage(output=2)), Finish("stop")]


def events(body: bytes, *, stream: bool, content_type: bytes = b"") -> list[Event]:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    decoder = Translating(DIALECT.splitter(asked, content_type), DIALECT.reader(asked, Ways()))
    return decoder.feed(body) + decoder.eof()


@pytest.mark.parametrize("content_type", [b"", b"application/json", b"application/x-ndjson", b"text/plain"])
@pytest.mark.parametrize("stream", [True, False])
def test_lines_whatever_was_asked_for(content_type: bytes, stream: bool) -> None:
    assert events(LINES, stream=stream, content_type=content_type) == MEANT


def test_null_is_as_good_as_nothing() -> None:
    body = (
        b'{"model":null,"created_at":null,"message":{"content":null,"thinking":null,"tool_calls":'
        b'[{"id":null,"function":{"name":null,"arguments":null}},{"function":null}]},"done":true,"done_reason":null,'
        b'"prompt_eval_count":3.0,"eval_count":null,"error":null}'
    )
    assert events(body, stream=False) == [
        Opened(),
        ToolDelta(0, "call_0", "", "{}"),
        ToolDelta(1, "call_1", "", "{}"),
        Metered(Usage(input=3, source="estimated")),
        Finish("tool_calls"),
    ]
