"""Gemini as clients speak it: what is read of their requests, and what Google's own types make of the replies."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from google.genai import types

from hoosh.core.asked import (
    ChatRequest,
    FilePart,
    ForeignPart,
    ForeignTool,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.errors import BadRequest, HooshError, Idle, NotFound, Throttled, UnknownModel
from hoosh.core.events import (
    Citation,
    Event,
    Finish,
    Logprobs,
    Media,
    Metered,
    Opened,
    Reasoning,
    Refusal,
    Text,
    ToolDelta,
    Usage,
)
from hoosh.core.features import lost
from hoosh.dialects import PassingOn, Served, Ways
from hoosh.dialects.gemini import DIALECT
from hoosh.dialects.gemini.client import CLIENT
from hoosh.dialects.openai_chat import LOSSES as OPENAI_LOSSES

SERVED = Served(id="call1", created_s=5, provider="mine", model="m")
USED = Usage(input=9, cached=2, output=7, reasoning=3)
HI: list[Any] = [{"role": "user", "parts": [{"text": "Hi"}]}]
ANSWER: Sequence[Event] = (
    Opened("x", "vendor-1"),
    Reasoning("hm", ""),
    Reasoning("", "sig+/="),
    Text("Hel"),
    Text("lo\u2028\r\n"),
    ToolDelta(0, "c1", "f"),
    ToolDelta(1, "c2", "g", '{"b":'),
    ToolDelta(0, arguments='{\r\n"a":\n'),
    ToolDelta(0, arguments="1}"),
    ToolDelta(1, arguments="2}", signature="s2"),
    Finish("tool_calls"),
    Metered(USED),
)


def asked(body: dict[str, Any], tail: str = "m:generateContent") -> ChatRequest:
    request = CLIENT.at(tail).parse(json.dumps(body).encode())
    assert isinstance(request, ChatRequest)
    return request


def parts_of(*parts: dict[str, Any], role: str = "user") -> tuple[Part, ...]:
    return asked({"contents": [{"role": role, "parts": list(parts)}]}).messages[-1].parts


@pytest.mark.parametrize(
    ("tail", "model", "stream"),
    [
        ("gemini-2.5-flash:generateContent", "gemini-2.5-flash", False),
        ("gemini-2.5-flash:streamGenerateContent?alt=sse", "gemini-2.5-flash", True),
        ("models/m:generateContent", "m", False),
        ("google/gemini-3:generateContent?key=secret", "google/gemini-3", False),
        ("ollama/llama3:latest:streamGenerateContent", "ollama/llama3:latest", True),
        ("openrouter/meta/llama-3:generateContent", "openrouter/meta/llama-3", False),
    ],
)
def test_the_path_names_the_model_and_the_method(tail: str, model: str, stream: bool) -> None:
    request = asked({"contents": HI}, tail)
    assert (request.model, request.stream, request.dialect) == (model, stream, "gemini")


@pytest.mark.parametrize("tail", ["m", "m:", ":generateContent", "m:predict", "m:generateContent/x", ""])
def test_any_other_path_is_not_found(tail: str) -> None:
    with pytest.raises(NotFound, match="models/MODEL:METHOD"):
        CLIENT.at(tail)


def test_settings() -> None:
    request = asked(
        {
            "contents": HI,
            "systemInstruction": {"parts": [{"text": "Be"}, {"text": "brief"}]},
            "generationConfig": {
                "temperature": 1,
                "topK": 40.0,
                "maxOutputTokens": "100",
                "candidateCount": 2,
                "stopSequences": ["END"],
                "responseLogprobs": True,
                "logprobs": 3,
                "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True},
                "speechConfig": {"a": 1},
            },
            "safetySettings": [],
            "cachedContent": "cachedContents/1",
        }
    )
    assert request.messages[0] == Message("system", (TextPart("Be"), TextPart("brief")))
    assert (request.max_output_tokens, request.n, request.thinking_tokens) == (100, 2, 1024)
    assert (request.sampling.temperature, request.sampling.top_k, request.sampling.top_logprobs) == (1.0, 40, 3)
    names = [name for name, _ in request.extra]
    assert names == ["safetySettings", "cachedContent", "generationConfig.speechConfig"]
    assert "extra.cachedContent" in lost(request, OPENAI_LOSSES, "openai_chat")


@pytest.mark.parametrize(
    ("config", "effort", "budget"),
    [
        ({"thinkingLevel": "HIGH"}, "high", None),
        ({"thinkingLevel": "minimal"}, "minimal", None),
        ({"thinkingBudget": -1}, None, None),
        ({"thinkingBudget": 0}, None, 0),
    ],
)
def test_thinking(config: dict[str, Any], effort: str | None, budget: int | None) -> None:
    request = asked({"contents": HI, "generationConfig": {"thinkingConfig": config}})
    assert (request.effort, request.thinking_tokens) == (effort, budget)


def test_both_spellings_mean_the_same_and_the_clients_own_data_keeps_its_letters() -> None:
    snake = {
        "system_instruction": {"parts": {"text": "Be_brief"}},
        "generation_config": {
            "max_output_tokens": 5,
            "response_mime_type": "application/json",
            "response_json_schema": {"properties": {"first_name": {"type": "string"}}},
            "thinking_config": {"thinking_level": "low"},
        },
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["get_it"]}},
        "tools": [{"function_declarations": [{"name": "get_it", "parameters_json_schema": {"a_b": 1}}]}],
        "contents": [
            {
                "role": "model",
                "parts": [{"function_call": {"name": "get_it", "args": {"a_b": 1.50}}, "thought_signature": "s"}],
            },
            {"parts": [{"function_response": {"name": "get_it", "response": {"c_d": 1}}}]},
            {"parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}]},
        ],
    }
    request = asked(snake)
    assert request.messages == (
        Message("system", (TextPart("Be_brief"),)),
        Message("assistant", (ToolCall("call_1", "get_it", '{"a_b": 1.5}', "s"),)),
        Message("tool", (ToolResult("call_1", (TextPart('{"c_d": 1}'),), "get_it"),)),
        Message("user", (ImagePart(data="AA==", media_type="image/png"),)),
    )
    assert request.tool_choice == ToolChoice("named", "get_it")
    assert request.tools[0].schema == b'{"a_b": 1}'
    assert request.effort == "low"
    assert request.response_format is not None
    assert b"first_name" in request.response_format.schema


def test_a_schema_of_googles_becomes_json_schema() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True, "enum": ["A", "B"]},
            "list": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "minItems": "1"},
            "one": {"anyOf": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": True},
        },
        "propertyOrdering": ["type", "list"],
        "required": ["type"],
    }
    wanted = {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["A", "B", None]},
            "list": {"type": "array", "items": {"type": "integer", "format": "int32"}, "minItems": 1},
            "one": {"anyOf": [{"anyOf": [{"type": "number"}, {"type": "boolean"}]}, {"type": "null"}]},
        },
        "required": ["type"],
    }
    request = asked({"contents": HI, "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}]})
    assert json.loads(request.tools[0].schema) == wanted
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    wanted_format = asked({"contents": HI, "generationConfig": config}).response_format
    assert wanted_format is not None
    assert json.loads(wanted_format.schema) == wanted


@pytest.mark.parametrize(
    ("mime_type", "kind"), [("text/plain", "text"), ("application/json", "json_object"), ("text/x.enum", None)]
)
def test_the_form_of_the_answer(mime_type: str, kind: str | None) -> None:
    request = asked({"contents": HI, "generationConfig": {"responseMimeType": mime_type}})
    assert request.response_format == (ResponseFormat(kind) if kind else None)  # type: ignore[arg-type]
    assert bool(request.extra) == (kind is None)


@pytest.mark.parametrize(
    ("calling", "choice", "offered"),
    [
        ({}, None, ["f", "g", "h"]),
        ({"mode": "VALIDATED"}, ToolChoice("auto"), ["f", "g", "h"]),
        ({"mode": "NONE"}, ToolChoice("none"), ["f", "g", "h"]),
        ({"mode": "ANY"}, ToolChoice("required"), ["f", "g", "h"]),
        ({"mode": "ANY", "allowedFunctionNames": ["g"]}, ToolChoice("named", "g"), ["f", "g", "h"]),
        ({"mode": "ANY", "allowedFunctionNames": ["g", "h"]}, ToolChoice("required"), ["g", "h"]),
    ],
)
def test_which_tool_may_be_called(calling: dict[str, Any], choice: ToolChoice | None, offered: list[str]) -> None:
    tools = [{"functionDeclarations": [{"name": name} for name in ("f", "g", "h")]}, {"googleSearch": {}}]
    request = asked({"contents": HI, "tools": tools, "toolConfig": {"functionCallingConfig": calling}})
    assert request.tool_choice == choice
    assert [tool.name for tool in request.tools] == offered
    assert request.foreign_tools == (ForeignTool("gemini", "googleSearch", b'{"googleSearch":{}}'),)


def test_parts() -> None:
    assert parts_of({"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}) == (FilePart("audio/wav", "AA=="),)
    assert parts_of({"fileData": {"mimeType": "image/png", "fileUri": "https://e.com/a"}}) == (
        ImagePart(url="https://e.com/a", media_type="image/png"),
    )
    assert parts_of({"fileData": {"fileUri": "gs://a/b"}}) == (FilePart(url="gs://a/b"),)
    file, beside = parts_of({"fileData": {"fileUri": "gs://a/b"}, "videoMetadata": {"fps": 2}})
    assert isinstance(file, FilePart)
    assert beside == ForeignPart("gemini", "videoMetadata", b'{"videoMetadata":{"fps": 2}}')
    (code,) = parts_of({"executableCode": {"code": "1"}}, role="model")
    assert code == ForeignPart("gemini", "executableCode", b'{"executableCode": {"code": "1"}}')
    assert parts_of({"text": "a", "thoughtSignature": "s"}, role="model") == (
        ReasoningPart(signature="s"),
        TextPart("a"),
    )


def test_streamed_pieces_of_a_thought_are_one_thought_and_contents_of_the_model_one_turn() -> None:
    contents = [
        *HI,
        {"role": "model", "parts": [{"text": "a", "thought": True}]},
        {"role": "model", "parts": [{"text": "b", "thought": True}]},
        {"role": "model", "parts": [{"text": "", "thought": True, "thoughtSignature": "s"}]},
        {"role": "model", "parts": [{"text": "c", "thought": True}, {"text": "said"}]},
    ]
    assert asked({"contents": contents}).messages[1:] == (
        Message("assistant", (ReasoningPart("ab", "s"), ReasoningPart("c"), TextPart("said"))),
    )


def test_calls_and_answers_without_ids_are_paired_by_name_in_order() -> None:
    contents = [
        {"role": "model", "parts": [{"functionCall": {"name": n, "args": {"k": k}}} for k, n in enumerate("fgf")]},
        {"role": "user", "parts": [{"functionResponse": {"name": n, "response": {"output": n}}} for n in "gff"]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "own"}}]},
        {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"error": "no"}}}]},
    ]
    request = asked({"contents": contents})
    calls = [part for message in request.messages for part in message.parts if isinstance(part, ToolCall)]
    results = [part for message in request.messages for part in message.parts if isinstance(part, ToolResult)]
    assert [call.id for call in calls] == ["call_1", "call_2", "call_3", "own"]
    assert [(result.call_id, result.name) for result in results] == [
        ("call_2", "g"),
        ("call_1", "f"),
        ("call_3", "f"),
        ("own", "f"),
    ]
    assert results[-1].is_error
    assert request == asked({"contents": contents}), "the same each time"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"contents":', "body"),
        (b'{"contents":"\xff"}', "body"),
        (b"{}", "contents"),
        (b'{"contents":[]}', "contents"),
        (b'{"contents":[{"role":"assistant","parts":[]}]}', "contents[0].role"),
        (b'{"contents":[{"parts":[{"text":5}]}]}', "contents[0].parts[0].text"),
        (b'{"contents":[{"parts":[5]}]}', "contents[0].parts[0]"),
        (b'{"contents":[{"parts":[{"functionCall":{}}]}]}', "contents[0].parts[0].functionCall.name"),
        (b'{"contents":[{"parts":[{"fileData":{}}]}]}', "contents[0].parts[0].fileData.fileUri"),
        (
            b'{"contents":[{"parts":[]}],"tools":[{"functionDeclarations":[{}]}]}',
            "tools[0].functionDeclarations[0].name",
        ),
        (b'{"contents":[{}],"generationConfig":{"temperature":3}}', "generationConfig.temperature"),
        (b'{"contents":[{}],"generation_config":{"top_p":"x"}}', "generationConfig.topP"),
        (b'{"contents":[{}],"generationConfig":{"maxOutputTokens":0}}', "generationConfig.maxOutputTokens"),
        (
            b'{"contents":[{}],"toolConfig":{"functionCallingConfig":{"mode":"MUST"}}}',
            "toolConfig.functionCallingConfig.mode",
        ),
        (b'{"contents":' + b"[" * 5000 + b"]" * 5000 + b"}", None),
    ],
)
def test_a_bad_body_names_its_field(body: bytes, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        CLIENT.at("m:generateContent").parse(body)
    if param is not None:
        assert caught.value.param == param
    said = json.loads(CLIENT.fault(caught.value, "r1"))
    assert (said["error"]["code"], said["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (UnknownModel("no such model", param="model"), 404, "NOT_FOUND"),
        (Throttled("slow down", retry_after_s=7.5), 429, "RESOURCE_EXHAUSTED"),
        (Idle("silent"), 504, "DEADLINE_EXCEEDED"),
        (HooshError("internal error"), 500, "INTERNAL"),
    ],
)
def test_errors_are_in_googles_shape(error: HooshError, code: int, status: str) -> None:
    said = json.loads(CLIENT.fault(error, "r1"))["error"]
    assert (said["code"], said["status"], said["message"]) == (code, status, error.message)
    kinds = {detail["@type"].rpartition(".")[2]: detail for detail in said["details"]}
    assert kinds["RequestInfo"]["requestId"] == "r1"
    if error.retry_after_s is not None:
        assert kinds["RetryInfo"]["retryDelay"] == "7.5s"


def whole(events: Sequence[Event], usage: Usage = USED) -> types.GenerateContentResponse:
    """Google's own types refuse a field that they do not know."""
    dialect = CLIENT.at("m:generateContent")
    encoder = dialect.encoder(None, SERVED)
    return types.GenerateContentResponse.model_validate_json(encoder.feed(events) + encoder.finish(usage))


def streamed(events: Sequence[Event], tail: str = "m:streamGenerateContent?alt=sse") -> bytes:
    encoder = CLIENT.at(tail).encoder(None, SERVED)
    return b"".join(encoder.feed([event]) for event in events) + encoder.finish(USED)


def chunks(data: bytes) -> list[types.GenerateContentResponse]:
    """Read with Python's own idea of a line, as many clients do."""
    lines = [line for line in data.decode().splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    return [types.GenerateContentResponse.model_validate_json(line[6:]) for line in lines]


def parts_said(*replies: types.GenerateContentResponse) -> list[types.Part]:
    found = [reply.candidates[0].content for reply in replies if reply.candidates]
    return [part for content in found if content for part in content.parts or ()]


def test_a_whole_reply() -> None:
    reply = whole(ANSWER)
    thought, text, first, second = parts_said(reply)
    assert (thought.text, thought.thought) == ("hm", True)
    assert text.text == "Hello\u2028\r\n"
    assert first.function_call is not None
    assert second.function_call is not None
    assert (first.function_call.id, first.function_call.name, first.function_call.args) == ("c1", "f", {"a": 1})
    assert (second.function_call.id, second.function_call.args) == ("c2", {"b": 2})
    assert reply.candidates is not None
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    assert (reply.model_version, reply.response_id) == ("vendor-1", "call1")
    used = reply.usage_metadata
    assert used is not None
    counts = (used.prompt_token_count, used.candidates_token_count, used.thoughts_token_count)
    assert (*counts, used.cached_content_token_count, used.total_token_count) == (9, 4, 3, 2, 16)


def test_a_stream_says_the_same_in_lines() -> None:
    replies = chunks(streamed(ANSWER))
    said = parts_said(*replies)
    assert "".join(part.text or "" for part in said if not part.thought) == "Hello\u2028\r\n"
    calls = [part.function_call.name for part in said if part.function_call]
    assert calls == ["f", "g"]
    finals = [reply.candidates[0].finish_reason for reply in replies if reply.candidates]
    assert finals == [None] * (len(replies) - 1) + [types.FinishReason.STOP]
    assert replies[-1].usage_metadata is not None


def test_a_stream_without_events_is_an_array() -> None:
    data = streamed(ANSWER, "m:streamGenerateContent")
    assert len(json.loads(data)) == len(chunks(streamed(ANSWER)))


def test_events_go_out_as_they_come() -> None:
    encoder = CLIENT.at("m:streamGenerateContent?alt=sse").encoder(None, SERVED)
    assert b"Hel" in encoder.feed([Text("Hel")])
    assert encoder.feed([ToolDelta(0, "c", "f", "{}")]) == b""
    assert b'"functionCall"' in encoder.feed([Finish("tool_calls")])


@pytest.mark.parametrize(("signature", "redacted"), [("sig+/=", ""), ("not base64 \u2028!", ""), ("", "ciphertext")])
def test_a_proof_of_another_vendor_survives_googles_sdk(signature: str, redacted: str) -> None:
    """The SDK holds it as bytes and writes it back in the other alphabet."""
    said = parts_said(whole([Reasoning("hm", signature, redacted), Text("x"), Finish("stop")]))
    back = [part.model_dump(mode="json", exclude_none=True, by_alias=True) for part in said]
    thought = parts_of(*back, role="model")[0]
    assert thought == ReasoningPart("" if redacted else "hm", signature, redacted)


def test_thoughts_streamed_to_a_client_come_back_as_one_with_its_proof() -> None:
    said = parts_said(*chunks(streamed([Reasoning("a"), Reasoning("b"), Reasoning(signature="+/"), Text("x")])))
    back = [part.model_dump(mode="json", exclude_none=True, by_alias=True) for part in said]
    assert parts_of(*back, role="model")[:2] == (ReasoningPart("ab", "+/"), TextPart("x"))


def test_a_call_that_is_no_object_is_malformed_and_not_made_up() -> None:
    reply = whole([ToolDelta(0, "c", "f", '{"a":'), Finish("tool_calls")])
    assert parts_said(reply) == []
    assert reply.candidates is not None
    assert reply.candidates[0].finish_reason == types.FinishReason.MALFORMED_FUNCTION_CALL
    cut = whole([ToolDelta(0, "c", "f", '{"a":'), Finish("length")])
    assert cut.candidates is not None
    assert cut.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_sources_media_logprobs_and_several_candidates() -> None:
    logprobs = b'[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":[{"token":"b","logprob":-1.5}]}]'
    reply = whole(
        [
            Text("h\u00e9llo"),
            Logprobs(logprobs),
            Citation("https://e.com", "E", start=1, end=3),
            Media("image/png", "AA=="),
            Finish("stop"),
            Refusal("no", 1),
            Finish("content_filter", 1),
        ]
    )
    assert reply.candidates is not None
    first, second = reply.candidates
    assert first.grounding_metadata is not None
    supports = first.grounding_metadata.grounding_supports or []
    assert len(supports) == 1
    support = supports[0]
    assert support.segment is not None
    assert (support.segment.start_index, support.segment.end_index, support.segment.text) == (1, 4, "\u00e9l")
    assert first.logprobs_result is not None
    chosen = first.logprobs_result.chosen_candidates or []
    assert [token.log_probability for token in chosen] == [-0.5]
    assert parts_said(reply)[1].inline_data is not None
    assert (second.index, second.finish_reason) == (1, types.FinishReason.SAFETY)


@pytest.mark.parametrize("as_events", [True, False])
def test_an_error_inside_a_stream(as_events: bool) -> None:
    dialect = CLIENT.at(f"m:streamGenerateContent{'?alt=sse' if as_events else ''}")
    encoder = dialect.encoder(None, SERVED)
    data = encoder.feed([Text("Hel")]) + dialect.fault_frame(Idle("si\u2028lent\n"), "r1")
    last = json.loads(data.decode().splitlines()[-2][6:] if as_events else data)
    last = last if as_events else last[-1]
    assert last["error"]["message"] == "si\u2028lent\n"


GOOGLE = (
    b'data: {"candidates": [{"content": {"parts": [{"text": "a"}],"role": "model"}}]}\r\n\r\n'
    b'data: {"candidates": [{"content": {"parts": [{"text": "b\xe2\x80\xa8"}]},"finishReason": "STOP"}],'
    b'"usageMetadata": {"promptTokenCount": 3,"candidatesTokenCount": 2}}\r\n\r\n'
)


def test_googles_own_reply_passes_through_however_it_is_split() -> None:
    request = asked({"contents": HI}, "m:streamGenerateContent?alt=sse")
    for cut in range(len(GOOGLE)):
        decoder = PassingOn(DIALECT.splitter(request, b""), DIALECT.reader(request, Ways()))
        encoder = CLIENT.at("m:streamGenerateContent?alt=sse").encoder(request, SERVED)
        events = [decoder.feed(GOOGLE[:cut]), decoder.feed(GOOGLE[cut:]), decoder.eof()]
        assert b"".join(map(encoder.feed, events)) + encoder.finish(USED) == GOOGLE


def test_googles_own_stream_as_an_array_and_an_array_as_events() -> None:
    request = asked({"contents": HI}, "m:streamGenerateContent")
    decoder = PassingOn(DIALECT.splitter(request, b""), DIALECT.reader(request, Ways()))
    encoder = CLIENT.at("m:streamGenerateContent").encoder(request, SERVED)
    array = encoder.feed(decoder.feed(GOOGLE)) + encoder.feed(decoder.eof()) + encoder.finish(USED)
    assert len(json.loads(array)) == 2
    decoder = PassingOn(DIALECT.splitter(request, b""), DIALECT.reader(request, Ways()))
    encoder = CLIENT.at("m:streamGenerateContent?alt=sse").encoder(request, SERVED)
    events = encoder.feed(decoder.feed(array)) + encoder.feed(decoder.eof()) + encoder.finish(USED)
    assert events.count(b"data: ") == 2
