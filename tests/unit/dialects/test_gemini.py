import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wire_corpus as wire
from hoosh.core.asked import ChatRequest
from hoosh.core.errors import (
    BadUpstream,
    ContextTooLong,
    CredentialRefused,
    ModelGone,
    OutOfCredit,
    Overloaded,
    Refused,
    Throttled,
    Truncated,
    UpstreamError,
)
from hoosh.core.events import Event, Finish, FinishReason, Metered, Opened, Raw, Reasoning, Text, ToolDelta, Usage
from hoosh.dialects import JSON, PassingOn, Translating, Ways
from hoosh.dialects.gemini import DIALECT
from hoosh.providers.google import PROVIDER
from wire_corpus import How

WAYS = Ways()


def events(body: bytes, *cuts: int, stream: bool = True) -> list[Event]:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    decoder = Translating(DIALECT.splitter(asked, b"application/json"), DIALECT.reader(asked, WAYS))
    found: list[Event] = []
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        found += decoder.feed(body[start:end])
    return found + decoder.eof()


def sse(*payloads: JSON) -> bytes:
    return b"".join(b"data: " + json.dumps(payload).encode() + b"\r\n\r\n" for payload in payloads)


def candidate(*parts: JSON, **fields: Any) -> JSON:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **fields}]}


STREAM = (
    b'data: {"candidates": [{"content": {"parts": [{"text": "**Hm**","thought": true}],"role": "model"},"index": 0}],'
    b'"usageMetadata": {"promptTokenCount": 11,"totalTokenCount": 48,"thoughtsTokenCount": 37},'
    b'"modelVersion": "gemini-3-flash-preview","responseId": "r1"}\r\n\r\n'
    b'data: {"candidates": [{"content": {"parts": [{"text": "Ja, \xc3\xa9"}],"role": "model"},"index": 0}]}\r\n\r\n'
    b'data: {"candidates": [{"content": {"parts": [{"functionCall": {"name": "weather","args": {"city": "Oslo", "n": 1e2}},'
    b'"thoughtSignature": "SIG="},{"functionCall": {"name": "now","id": "abc"}}],"role": "model"},"finishReason": "STOP",'
    b'"index": 0,"finishMessage": "Model generated function call(s)."}],"usageMetadata": {"promptTokenCount": 11,'
    b'"candidatesTokenCount": 5,"totalTokenCount": 60,"cachedContentTokenCount": 4,"toolUsePromptTokenCount": 7,'
    b'"thoughtsTokenCount": 37},"modelVersion": "gemini-3-flash-preview","responseId": "r1"}\r\n\r\n'
)
MEANT: list[Event] = [
    Opened("r1", "gemini-3-flash-preview"),
    Reasoning("**Hm**"),
    Metered(Usage(input=11, output=37, reasoning=37)),
    Text("Ja, é"),
    ToolDelta(0, "call_r1_1", "weather", '{"city": "Oslo", "n": 1e2}', "SIG="),
    ToolDelta(1, "abc", "now", "{}"),
    Metered(Usage(input=18, cached=4, output=42, reasoning=37)),
    Finish("tool_calls"),
]
PAYLOADS = [line[6:] for line in STREAM.split(b"\r\n") if line]


def test_a_stream() -> None:
    assert events(STREAM) == MEANT


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body", [b"\n [" + b",\n".join(PAYLOADS) + b"]", STREAM, b"\n" + STREAM, b"\xef\xbb\xbf" + STREAM]
)
def test_the_body_says_whether_it_is_events_or_an_array(body: bytes, stream: bool) -> None:
    assert events(body, stream=stream) == MEANT


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_split_means_the_same(cuts: list[int]) -> None:
    assert events(STREAM, *sorted(cuts)) == MEANT


@given(st.lists(st.integers(0, 40)))
def test_any_split_of_json_where_events_were_asked_for(cuts: list[int]) -> None:
    body = b'\r\n { "candidates": [ { "finishReason": "STOP" } ] }'
    assert events(body, *sorted(cuts)) == [Finish("stop")]


def test_pass_through_keeps_every_byte() -> None:
    asked = ChatRequest(model="m", messages=(), stream=True)
    decoder = PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, WAYS))
    found = [*decoder.feed(STREAM), *decoder.eof()]
    assert b"".join(event.data for event in found if isinstance(event, Raw)) == STREAM
    meant = [inner for event in found for inner in (event.events if isinstance(event, Raw) else (event,))]
    assert meant == MEANT


def test_a_cut_anywhere_is_not_an_end() -> None:
    last = len(STREAM) - len(b"\r\n\r\n")  # its closing brace proves the last event whole
    for size in range(last):
        with pytest.raises(Truncated):
            events(STREAM[:size])


def test_choices_are_told_apart() -> None:
    body = sse(
        {"candidates": [{"index": 1, "content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "MAX_TOKENS"}]},
    )
    assert events(body) == [
        ToolDelta(0, "call_1", "f", "{}", index=1),
        Text("a"),
        Finish("length", 0),
        Finish("tool_calls", 1),
    ]
    with pytest.raises(Truncated):
        events(body + sse({"candidates": [{"index": 2}]}))


def test_ids_fit_where_they_must_come_back() -> None:
    call = {"functionCall": {"name": "f", "args": None}}
    found = events(sse({"responseId": "x" * 64, **candidate(call, call, finishReason="STOP")}))
    ids = [event.id for event in found if isinstance(event, ToolDelta)]
    assert ids == [f"call_{'x' * 32}_1", f"call_{'x' * 32}_2"]
    assert max(map(len, ids)) <= 40


def test_signatures_of_texts_and_thoughts_are_told() -> None:
    body = sse(
        candidate(
            {"text": "a", "thoughtSignature": "S1"},
            {"text": "", "thoughtSignature": "S2"},
            {"text": "b", "thought": True, "thoughtSignature": "S3"},
            {"text": "", "thought": True},
            {"text": ""},
            finishReason="STOP",
        )
    )
    assert events(body) == [
        Text("a"),
        Reasoning(signature="S1"),
        Reasoning(signature="S2"),
        Reasoning("b", "S3"),
        Finish("stop"),
    ]


def test_the_providers_own_tools_are_not_the_clients() -> None:
    body = sse(
        candidate(
            {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S"}, finishReason="STOP"
        ),
        candidate({"codeExecutionResult": {"outcome": "OUTCOME_OK"}}, {"toolCall": {"id": "x"}}, {"toolResponse": {}}),
        candidate({"text": "1"}, finishReason="STOP"),
    )
    assert events(body) == [Reasoning(signature="S"), Text("1"), Finish("stop")]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_RECITATION", "content_filter"),
        ("OTHER", "stop"),
        ("A_WORD_TO_COME", "stop"),
    ],
)
def test_why_it_ended(said: str, meant: FinishReason) -> None:
    assert events(sse({"candidates": [{"finishReason": said}]})) == [Finish(meant)]


def test_a_call_cut_by_the_limit_is_not_a_call_to_make() -> None:
    found = events(sse(candidate({"functionCall": {"name": "f"}}, finishReason="MAX_TOKENS")))
    assert found[-1] == Finish("length")


@pytest.mark.parametrize(
    "reason",
    [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    ],
)
def test_a_model_that_failed_did_not_answer(reason: str) -> None:
    with pytest.raises(BadUpstream, match=reason):
        events(sse({"candidates": [{"finishReason": reason}]}))
    with pytest.raises(BadUpstream, match="failed: call: x"):
        events(sse({"candidates": [{"finishReason": reason, "finishMessage": "call: x"}]}))


def test_a_blocked_prompt_is_filtered() -> None:
    body = b'{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}'
    assert events(body, stream=False) == [Metered(Usage(input=9)), Finish("content_filter")]
    with pytest.raises(Truncated):
        events(b'{"promptFeedback": {}}')


def test_usage_without_a_count_says_nothing() -> None:
    body = sse(
        {"usageMetadata": {"trafficType": "PROVISIONED_THROUGHPUT"}, **candidate({"text": "a"}, finishReason="STOP")},
        {"usageMetadata": {"candidatesTokenCount": 2}},
    )
    assert events(body) == [Text("a"), Metered(Usage(output=2)), Finish("stop")]


def test_what_was_heard_and_spoken_is_counted_apart() -> None:
    shares = [{"modality": "VIDEO", "tokenCount": 15}, {"modality": "AUDIO", "tokenCount": 19}, {"modality": "TEXT"}]
    spoken = [{"modality": "AUDIO", "tokenCount": 5}]
    read = {"promptTokenCount": 50, "promptTokensDetails": shares}
    said = {"candidatesTokenCount": 6, "candidatesTokensDetails": spoken}
    body = sse({"usageMetadata": read | said, **candidate({"text": "a"}, finishReason="STOP")})
    used = Usage(input=50, output=6, audio_input=19, audio_output=5)
    assert events(body) == [Text("a"), Metered(used), Finish("stop")]


PIECES: list[JSON] = [
    {"functionCall": {"name": "put", "willContinue": True}, "thoughtSignature": "S"},
    {
        "functionCall": {
            "partialArgs": [{"jsonPath": "$.a[0].b", "stringValue": "x", "willContinue": True}],
            "willContinue": True,
        }
    },
    {"functionCall": {"partialArgs": [{"jsonPath": "$.a[0].b", "stringValue": "y"}], "willContinue": True}},
    {"functionCall": {"partialArgs": [{"jsonPath": "$.a[0]['c.d']", "numberValue": 3}], "willContinue": True}},
    {"functionCall": {"partialArgs": [{"jsonPath": "$.a[1]", "boolValue": False}], "willContinue": True}},
    {"functionCall": {"partialArgs": [{"jsonPath": "$.a[1]", "nullValue": "NULL_VALUE"}], "willContinue": True}},
    {
        "functionCall": {
            "partialArgs": [{"jsonPath": "$.e", "stringValue": "z", "willContinue": True}],
            "willContinue": True,
        }
    },
]


@pytest.mark.parametrize("last", [[{"functionCall": {}}], []])
def test_arguments_in_pieces(last: list[JSON]) -> None:
    found = events(sse(*(candidate(part) for part in PIECES + last), candidate({"text": ""}, finishReason="STOP")))
    assert found == [
        ToolDelta(0, "call_1", "put", "", "S"),
        ToolDelta(0, arguments='{"a":[{"b":"xy","c.d":3},null],"e":"z"}'),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize(
    "path",
    ["", "$", "a.b", "$.a[999999]", "$.a[2]", "$[0]", "$.a..b", "$.s.b", "$" + ".a" * 65, "$.a[0].b c[", "$.a.b"],
)
def test_a_piece_for_no_place(path: str) -> None:
    first = {
        "functionCall": {
            "partialArgs": [{"jsonPath": "$.s", "stringValue": "x"}, {"jsonPath": "$.a[0]", "numberValue": 1}],
            "willContinue": True,
        }
    }
    with pytest.raises(BadUpstream, match="no place"):
        events(sse(candidate(first, {"functionCall": {"partialArgs": [{"jsonPath": path, "stringValue": "y"}]}})))


@pytest.mark.parametrize(
    "body",
    [
        b"data: [DONE]\n\n",
        b"{",
        b"[1]",
        b'{"candidates":1}',
        b'data: {"modelVersion":"\xff"}\n\n',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"a":"\xff"}}}]}}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_the_dialect(body: bytes) -> None:
    with pytest.raises(BadUpstream, match="not in the Gemini format"):
        events(body)


@pytest.mark.parametrize("body", [b"", b" \r\n", b"[]", b"{}", b": ping\n\n"])
def test_nothing_is_a_cut_reply(body: bytes) -> None:
    with pytest.raises(Truncated):
        events(body)


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        (b'{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}', Overloaded, 503),
        (b'{"code":400,"message":"API key not valid."}', CredentialRefused, 400),
        (b'{"message":"?"}', BadUpstream, 500),
    ],
)
def test_an_error_inside_a_reply(fault: bytes, kind: type[UpstreamError], status: int) -> None:
    body = b'{"error": %b}' % fault
    for reply in (body, b"[%b]" % body, b"data: %b\n\n" % body):
        with pytest.raises(kind) as caught:
            events(reply)
        assert (type(caught.value), caught.value.upstream_status) == (kind, status)


def error(message: str, *details: JSON) -> bytes:
    return json.dumps({"error": {"code": 400, "message": message, "status": "S", "details": details}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("Bad.", {"@type": "x/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}), CredentialRefused),
        (400, b"[" + error("API key expired. Please renew the API key.") + b"]", CredentialRefused),
        (400, error("User location is not supported for the API use."), CredentialRefused),
        (
            400,
            error("The input token count (3475108) exceeds the maximum number of tokens allowed (1048576)."),
            ContextTooLong,
        ),
        (400, error("Invalid value at 'contents'"), Refused),
        (401, b"", CredentialRefused),
        (402, b"", OutOfCredit),
        (403, error("Denied."), CredentialRefused),
        (404, error("models/x is not found for API version v1beta"), ModelGone),
        (413, b"", Refused),
        (429, error("Resource exhausted."), Throttled),
        (500, error("Internal"), BadUpstream),
        (503, error("Overloaded"), Overloaded),
        (504, b"", BadUpstream),
    ],
)
def test_refusals(status: int, body: bytes, kind: type[UpstreamError]) -> None:
    refusal = DIALECT.refusal(status, {b"content-type": b"text/event-stream"}, body)
    assert (type(refusal), refusal.upstream_status) == (kind, status)
    assert refusal.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (error("  No.\n"), "No."),
        (b'[{"error":{"message":"No."}}]', "No."),
        (b'{"error":"No."}', "No."),
        (b"No.", "No."),
        (b"x" * 9000, "x" * 500),
        (error("y" * 9000), "y" * 500),
        (b"", "the provider answered with status 418"),
        (b"[]", "the provider answered with status 418"),
        (b"[1]", "the provider answered with status 418"),
        (b"<!DOCTYPE html>", "the provider answered with status 418"),
        (b'{"error":', "the provider answered with status 418"),
        (b"\xff", "\ufffd"),
        (
            error("Consumer 'api_key:AIzaSyD-1234567890_abc' has been suspended."),
            "Consumer 'api_key:[key]' has been suspended.",
        ),
    ],
)
def test_what_a_refusal_says(body: bytes, message: str) -> None:
    assert DIALECT.refusal(418, {}, body).message == message


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({}, [{"violations": []}, {"@type": "x/google.rpc.RetryInfo", "retryDelay": "34s"}], 34.0),
        ({b"retry-after": b"5"}, [{"retryDelay": "34.074824224s"}], 34.074824224),
        ({b"retry-after": b"5"}, [{"retryDelay": "soon"}], 5.0),
        ({b"retry-after": b"Fri, 31 Dec 1999 23:59:59 GMT"}, [], None),
        ({b"retry-after": b"inf"}, [{"retryDelay": "-1s"}], None),
        ({}, [], None),
    ],
)
def test_when_to_try_again(headers: dict[bytes, bytes], details: list[JSON], seconds: float | None) -> None:
    assert DIALECT.refusal(429, headers, error("Wait.", *details)).retry_after_s == seconds


def test_models() -> None:
    request = DIALECT.models_request()
    assert (request.method, request.path) == (b"GET", "/v1beta/models?pageSize=1000")
    body = (
        b'{"models": [{"name": "models/gemini-x", "supportedGenerationMethods": ["generateContent", "countTokens"]},'
        b'{"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]}, {"name": "models/none"}]}'
    )
    assert DIALECT.models(body) == ("gemini-x",)
    with pytest.raises(BadUpstream):
        DIALECT.models(b"<html>")


def test_google() -> None:
    assert PROVIDER.dialect is DIALECT
    assert PROVIDER.sign("k") == ((b"x-goog-api-key", b"k"),)
    assert PROVIDER.env == ("GEMINI_API_KEY", "GOOGLE_API_KEY")


# Where hoosh knows better than norm.py.
PIECEWISE = "google-aifx-22e4d451"  # the only one with arguments in pieces, which norm.py takes for calls of their own


def mended(record: wire.Record) -> wire.Record:
    """What recorders left in base64, or did not know for a stream."""
    body = record["response_body"]
    if body.startswith("ewog"):
        return {**record, "response_body": base64.b64decode(body).decode()}
    return {**record, "stream": True} if body.startswith("data: ") else record


@pytest.mark.parametrize("how", ["event", "random", "byte"])
def test_recorded_replies(how: How) -> None:
    recorded = [mended(record) for record in wire.records("google", ["generateContent"])]
    found = {
        record["id"]: lines
        for record in recorded
        if (lines := wire.differences(wire.expected(record) or {}, wire.run_reader(DIALECT, WAYS, record, how)))
    }
    assert found == {PIECEWISE: ["tools"]}
    assert len(recorded) == 368


def test_the_recorded_pieces_make_one_call() -> None:
    record = next(record for record in wire.records("google") if record["id"] == PIECEWISE)
    folded = wire.run_reader(DIALECT, WAYS, record, "random")
    assert isinstance(folded, dict)
    (tool,) = folded["tools"]
    assert (tool["name"], folded["finish"]) == ("writeItems", "tool_calls")
    assert tool["args"] == {
        "operations": [
            {"action": "add", "description": "Fresh red apple", "itemid": "apple_001", "price": 0.5},
            {"action": "add", "description": "Ripe yellow banana", "itemid": "banana_001", "price": 0.3},
        ]
    }


# Parts and settings that norm.py has no words for, and without which the rest of a request means the same.
UNSAID = {"safetySettings", "responseModalities", "stop_sequences", "thinkingConfig", "thoughtSignature"}


def said_plainly(value: Any) -> Any:
    """Without what no client of another dialect says, and without what is only a longer way to say nothing."""
    if isinstance(value, list):
        return [said_plainly(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {name: said_plainly(item) for name, item in value.items() if name not in UNSAID and item is not None}
    if fields.get("thought") is False:
        del fields["thought"]
    return {name: item for name, item in fields.items() if item or name not in ("generationConfig", "tools")}


def plain(body: JSON) -> JSON:
    """The same request without what may differ, each with its reason."""
    body = said_plainly(body)  # a copy
    body.get("systemInstruction", {}).pop("role", None)  # has no meaning there
    for tool in body.get("tools", ()):
        for spec in tool["functionDeclarations"]:
            if not spec.get("description"):
                spec.pop("description", None)
            for name in ("parameters", "parameters_json_schema"):  # three places for one schema
                if name in spec:
                    spec["parametersJsonSchema"] = spec.pop(name)
    for turn in body["contents"]:
        for part in turn["parts"]:
            for name in ("functionCall", "functionResponse"):  # ids came later than calls, and norm.py makes new ones
                part.get(name, {}).pop("id", None)
            part.get("functionResponse", {}).pop("parts", None)  # images in answers: no words in norm.py
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    for name in ("allowedFunctionNames", "allowed_function_names"):
        calling.pop(name, None)  # norm.py has no words for a choice among some tools
    if calling.get("mode") == "VALIDATED":
        calling["mode"] = "AUTO"  # norm.py again; Google's word for free choice with checked arguments
    return body


def test_recorded_requests() -> None:
    checked = {}
    for record in wire.records("google", ["generateContent"]):
        asked = {**record, "request_body": said_plainly(record["request_body"])}
        lines = wire.check_render(DIALECT, WAYS, asked, plain)
        if lines is not None:
            checked[record["id"]] = lines
    assert {name: lines for name, lines in checked.items() if lines} == {}
    assert len(checked) == 256
