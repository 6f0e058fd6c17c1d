"""What replies of the Messages dialect may hold beyond what its documents promise: literal bytes."""

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream
from hoosh.core.events import Citation, Event, Finish, Metered, Opened, Text, ToolDelta, Usage
from hoosh.dialects import Translating, Ways
from hoosh.dialects.anthropic_messages import DIALECT

START = b'{"type":"message_start","message":{"id":"msg_1","model":"claude-x","content":[],"usage":null}}'
OPENED = Opened("msg_1", "claude-x")
STOP = b'{"type":"message_stop"}'


def sse(*payloads: bytes) -> bytes:
    return b"".join(b"event: x\ndata: %b\n\n" % payload for payload in payloads)


def ending(reason: bytes) -> bytes:
    return b'{"type":"message_delta","delta":{"stop_reason":"%b"}}' % reason


def begin(index: int, block: bytes) -> bytes:
    return b'{"type":"content_block_start","index":%d,"content_block":%b}' % (index, block)


def piece(index: int, delta: bytes) -> bytes:
    return b'{"type":"content_block_delta","index":%d,"delta":%b}' % (index, delta)


def close(index: int) -> bytes:
    return b'{"type":"content_block_stop","index":%d}' % index


def decoder(*, stream: bool, content_type: bytes = b"") -> Translating:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    return Translating(DIALECT.splitter(asked, content_type), DIALECT.reader(asked, Ways()))


def streamed(*payloads: bytes) -> list[Event]:
    translating = decoder(stream=True, content_type=b"text/event-stream; charset=utf-8")
    return translating.feed(sse(START, *payloads)) + translating.eof()


def whole(body: bytes) -> list[Event]:
    translating = decoder(stream=False, content_type=b"application/json")
    return translating.feed(body) + translating.eof()


def test_a_whole_message_is_complete_without_saying_so() -> None:
    assert whole(b'{"type":"message","id":"i","model":"m","content":[],"stop_reason":null}') == [
        Opened("i", "m"),
        Finish("stop"),
    ]
    assert whole(b'{"content":[{"type":"tool_use","id":"t","name":"f"}]}')[-1] == Finish("tool_calls")
    assert whole(b'{"id":null,"content":"hi"}') == [Opened(), Text("hi"), Finish("stop")]


def test_the_end_mark_alone_ends_a_stream_too() -> None:
    assert streamed(STOP) == [OPENED, Finish("stop")]
    assert streamed(b'{"type":"message_delta","delta":null,"usage":{"output_tokens":3.0}}', STOP) == [
        OPENED,
        Metered(Usage(output=3)),
        Finish("stop"),
    ]


def test_null_is_as_good_as_nothing() -> None:
    calls = [begin(0, b'{"type":"text","text":null}'), piece(0, b'{"type":"text_delta","text":null}')]
    calls += [begin(1, b'{"type":"thinking","thinking":null,"signature":null}'), begin(2, b'{"type":"future"}')]
    calls += [
        begin(3, b'{"type":"tool_use","id":null,"name":"f","input":null}'),
        piece(3, b'{"type":"input_json_delta"}'),
    ]
    assert streamed(*calls, close(3), ending(b"tool_use"), STOP) == [
        OPENED,
        ToolDelta(0, "toolu_msg_1_0", "f"),
        ToolDelta(0, arguments="{}"),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize("usage", [b"7", b'"many"', b'{"input_tokens":"many"}', b"[]"])
def test_an_answer_is_not_lost_for_a_bad_count(usage: bytes) -> None:
    assert whole(b'{"type":"message","content":[],"stop_reason":"end_turn","usage":%b}' % usage) == [
        Opened(),
        Finish("stop"),
    ]


@pytest.mark.parametrize(
    "body", [b'{"error":"busy"}', b'{"error":{"message":"busy"}}', b'{"type":"x","error":{"message":"busy"}}']
)
def test_an_error_in_another_envelope(body: bytes) -> None:
    with pytest.raises(BadUpstream, match=r"^busy$"):
        whole(body)


@pytest.mark.parametrize("content_type", [b"application/json", b"", b"application/octet-stream"])
def test_the_content_type_is_not_trusted(content_type: bytes) -> None:
    body = sse(START, ending(b"end_turn"), STOP)
    for stream in (True, False):
        translating = decoder(stream=stream, content_type=content_type)
        assert translating.feed(body) + translating.eof() == [OPENED, Finish("stop")]


def test_sources_of_the_web() -> None:
    web = b'{"type":"web_search_result_location","url":"https://a","title":"A","cited_text":"q","encrypted_index":"e"}'
    page = b'{"type":"page_location","document_index":0,"document_title":"D","cited_text":"q"}'
    assert streamed(
        begin(0, b'{"type":"text","text":"","citations":[]}'),
        piece(0, b'{"type":"text_delta","text":"a"}'),
        piece(0, b'{"type":"citations_delta","citation":%b}' % web),
        piece(0, b'{"type":"citations_delta","citation":%b}' % page),
        piece(0, b'{"type":"citations_delta","citation":null}'),
        ending(b"end_turn"),
    ) == [OPENED, Text("a"), Citation("https://a", "A", "q"), Finish("stop")]
    text = b'{"type":"text","text":"a","citations":[%b,%b]}' % (web, page)
    assert whole(b'{"type":"message","content":[%b],"stop_reason":"end_turn"}' % text) == [
        Opened(),
        Text("a"),
        Citation("https://a", "A", "q"),
        Finish("stop"),
    ]
