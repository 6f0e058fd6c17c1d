"""What Gemini's replies may hold beyond what its documents promise: literal bytes."""

import json

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream, CredentialRefused, Overloaded, Throttled, UpstreamError
from hoosh.core.events import (
    Citation,
    Event,
    Finish,
    Logprobs,
    Media,
    Metered,
    Opened,
    Reasoning,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.dialects import Translating, Ways
from hoosh.dialects.gemini import DIALECT


def events(body: bytes) -> list[Event]:
    asked = ChatRequest(model="m", messages=())
    decoder = Translating(DIALECT.splitter(asked, b""), DIALECT.reader(asked, Ways()))
    return decoder.feed(body) + decoder.eof()


def ending(reason: str, more: str = "") -> bytes:
    return b'data: {"candidates":[{"finishReason":%b%b}]}\n\n' % (reason.encode(), more.encode())


@pytest.mark.parametrize(
    ("number", "reason"),
    [(1, "stop"), (2, "length"), (3, "content_filter"), (4, "content_filter"), (8, "content_filter"), (5, "stop")],
)
def test_a_reason_by_its_number(number: int, reason: str) -> None:
    assert events(ending(str(number))) == [Finish(reason)]  # type: ignore[arg-type]


@pytest.mark.parametrize("nothing", ["0", "null", '""'])
def test_a_reason_that_is_none(nothing: str) -> None:
    assert events(ending(nothing) + ending('"MAX_TOKENS"')) == [Finish("length")]


def test_a_whole_reply_is_complete_without_saying_so() -> None:
    assert events(b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}') == [Text("a"), Finish("stop")]
    called = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":null}]}'
    assert events(called) == [ToolDelta(0, "call_1", "f", "{}"), Finish("tool_calls")]


def test_null_is_as_good_as_nothing() -> None:
    body = (
        b'{"responseId":null,"modelVersion":"g","usageMetadata":null,"promptFeedback":null,"error":null,"candidates":['
        b'{"index":null,"finishReason":"STOP","finishMessage":null,"content":{"role":null,"parts":['
        b'{"text":null},{"text":"a","thought":null,"thoughtSignature":null},{"functionCall":null,"text":"b"},'
        b'{"functionCall":{"name":null,"id":null,"args":null,"partialArgs":null,"willContinue":null}}]}}]}'
    )
    assert events(body) == [
        Opened("", "g"),
        Text("a"),
        Text("b"),
        ToolDelta(0, "call_1", "", "{}"),
        Finish("tool_calls"),
    ]


def test_parts_of_tools_that_the_provider_runs_are_no_calls() -> None:
    parts = (
        b'{"executableCode":{"code":"1"}},{"codeExecutionResult":{"output":"1"}},{"toolCall":{"id":"t"}},'
        b'{"toolResponse":{}},{"inlineData":{}},{"future":1},{"thought":true,"text":"t"},{"text":"a"}'
    )
    assert events(b'{"candidates":[{"finishReason":"STOP","content":{"parts":[%b]}}]}' % parts) == [
        Reasoning("t"),
        Text("a"),
        Finish("stop"),
    ]


@pytest.mark.parametrize(
    ("usage", "meant"),
    [
        (b'{"promptTokenCount":3.0,"candidatesTokenCount":"2"}', [Metered(Usage(input=3, output=2))]),
        (b'{"promptTokenCount":"many"}', []),
        (b"7", []),
        (b"[]", []),
    ],
)
def test_odd_counts(usage: bytes, meant: list[Event]) -> None:
    assert events(b'{"candidates":[{"finishReason":"STOP"}],"usageMetadata":%b}' % usage) == [*meant, Finish("stop")]


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (b'"busy"', BadUpstream, 500),
        (b'{"message":"busy"}', BadUpstream, 500),
        (b'{"code":"503","message":"busy","status":"UNAVAILABLE","details":null}', Overloaded, 503),
        (b'{"code":429,"message":"busy","details":{}}', Throttled, 429),
        (b'{"code":null,"message":"busy","status":"UNAUTHENTICATED","details":["?"]}', CredentialRefused, 401),
    ],
)
def test_errors_after_a_200(error: bytes, kind: type[UpstreamError], status: int) -> None:
    for body in (b'{"error":%b}', b'[{"error":%b}]', b'data: {"candidates":[]}\n\ndata: {"error":%b}\n\n'):
        with pytest.raises(kind, match=r"^busy$") as caught:
            events(body % error)
        assert caught.value.upstream_status == status


def test_pictures_and_files_that_the_model_made() -> None:
    parts = (
        b'{"inlineData":{"mimeType":"image/png","data":"AA=="}},{"fileData":{"mimeType":"video/mp4","fileUri":"gs://b/o"}}'
        b',{"thought":true,"inlineData":{"mimeType":"image/png","data":"BB=="}}'
    )
    assert events(b'{"candidates":[{"finishReason":"STOP","content":{"parts":[%b]}}]}' % parts) == [
        Media("image/png", "AA=="),
        Media("video/mp4", url="gs://b/o"),
        Finish("stop"),
    ]


def test_sources_are_told_once() -> None:
    chunk = (
        b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"groundingMetadata":{"groundingChunks":['
        b'{"web":{"uri":"https://a","title":"A"}},{"web":null},{"retrievedContext":{}}],"webSearchQueries":["q"]}}]}\n\n'
    )
    assert events(chunk + chunk + ending('"STOP"')) == [
        Text("a"),
        Citation("https://a", "A"),
        Text("a"),
        Finish("stop"),
    ]


def test_logprobs_in_openais_form() -> None:
    result = (
        b'{"chosenCandidates":[{"token":"\xc3\xa9","tokenId":7,"logProbability":-0.5},{"token":"b","logProbability":0}],'
        b'"topCandidates":[{"candidates":[{"token":"a","logProbability":-1}]}]}'
    )
    said = events(b'{"candidates":[{"finishReason":"STOP","logprobsResult":%b}]}' % result)
    assert isinstance(said[0], Logprobs)
    assert json.loads(said[0].content) == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "a", "logprob": -1.0, "bytes": [97]}],
        },
        {"token": "b", "logprob": 0.0, "bytes": [98], "top_logprobs": []},
    ]
    assert events(b'{"candidates":[{"finishReason":"STOP","logprobsResult":{}}]}') == [Finish("stop")]


@pytest.mark.parametrize("odd", [b"7", b'"x"', b'{"groundingChunks":7,"chosenCandidates":{}}'])
def test_what_stands_beside_the_words_costs_nothing(odd: bytes) -> None:
    body = b'{"candidates":[{"finishReason":"STOP","groundingMetadata":%b,"logprobsResult":%b}]}' % (odd, odd)
    assert events(body) == [Finish("stop")]
