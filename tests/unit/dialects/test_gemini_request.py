import json
from typing import Any

import pytest

from hoosh.core.asked import (
    ChatRequest,
    Effort,
    FilePart,
    ForeignPart,
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
from hoosh.core.errors import BadRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.gemini import DIALECT

MODEL = "gemini-2.5-flash"
HI = Message("user", (TextPart("hi"),))
WEATHER = Tool("weather", "Tells it.", b'{"type":"object","properties":{"city":{"$ref":"#/$defs/city"}}}')
SENTINEL = "skip_thought_signature_validator"


def rendered(*messages: Message, model: str = MODEL, **fields: Any) -> JSON:
    asked = ChatRequest(model="m", messages=messages or (HI,), **fields)
    body: JSON = json.loads(DIALECT.render(asked, model, Ways()).body)
    return body


def contents(*messages: Message, model: str = MODEL) -> list[JSON]:
    said: list[JSON] = rendered(*messages, model=model)["contents"]
    return said


def refused(*messages: Message) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        rendered(*messages)
    return caught.value


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("../files", "/v1beta/models/..%2Ffiles:generateContent"),
        ("a?key=1#b", "/v1beta/models/a%3Fkey%3D1%23b:generateContent"),
        ("a:b%2f é", "/v1beta/models/a%3Ab%252f%20%C3%A9:generateContent"),
    ],
)
def test_the_models_name_cannot_leave_its_place_in_the_path(model: str, path: str) -> None:
    request = DIALECT.render(ChatRequest(model="m", messages=(HI,)), model, Ways())
    assert (request.path, request.method) == (path, b"POST")
    assert request.headers == ((b"content-type", b"application/json"),)


def test_a_stream_has_a_path_of_its_own_and_nothing_in_the_body() -> None:
    request = DIALECT.render(ChatRequest(model="m", messages=(HI,), stream=True), MODEL, Ways())
    assert request.path == f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    assert request.body == b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'


def test_system_messages_come_first_wherever_they_stand() -> None:
    body = rendered(
        Message("system", (TextPart("Be brief."), ImagePart(url="https://x/y.png"))),
        HI,
        Message("assistant", (TextPart("Hello."),)),
        Message("developer", (TextPart("Be kind."),)),
        Message("user", (TextPart("and"), TextPart("now?")), "Ann"),
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "Hello."}]},
            {"role": "user", "parts": [{"text": "and"}, {"text": "now?"}]},
        ],
    }


def test_a_lone_system_message_is_the_question() -> None:
    body = rendered(Message("system", (TextPart("Tell a joke."),)), Message("assistant"))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Tell a joke."}]}]}
    assert contents(Message("system")) == [{"role": "user", "parts": [{"text": ""}]}]


def test_an_empty_turn_of_the_user_stays_a_turn() -> None:
    assert contents(HI, Message("assistant"), Message("user")) == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "user", "parts": [{"text": ""}]},
    ]


def test_every_setting_has_its_word() -> None:
    body = rendered(
        sampling=Sampling(
            temperature=0.0,
            top_p=0.9,
            top_k=40,
            min_p=0.1,
            presence_penalty=0.5,
            frequency_penalty=-0.5,
            seed=7,
            stop=("END", "\n"),
            logprobs=True,
            top_logprobs=3,
        ),
        max_output_tokens=64,
        n=2,
        user="ann",
    )
    assert body["generationConfig"] == {
        "temperature": 0.0,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 64,
        "stopSequences": ["END", "\n"],
        "seed": 7,
        "candidateCount": 2,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
        "responseLogprobs": True,
        "logprobs": 3,
    }


def test_alternatives_without_logprobs_are_not_asked_for() -> None:
    assert "generationConfig" not in rendered(sampling=Sampling(logprobs=False, top_logprobs=3))


@pytest.mark.parametrize(
    ("wanted", "config"),
    [
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), {"responseMimeType": "application/json"}),
        (
            ResponseFormat("json_schema", "answer", b'{"$ref":"#/$defs/a","additionalProperties":false}'),
            {
                "responseMimeType": "application/json",
                "responseJsonSchema": {"$ref": "#/$defs/a", "additionalProperties": False},
            },
        ),
    ],
)
def test_a_schema_goes_whole(wanted: ResponseFormat, config: JSON | None) -> None:
    assert rendered(response_format=wanted).get("generationConfig") == config


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", None, None),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("models/gemini-2.5-flash-lite", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-flash", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-flash", "xhigh", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "minimal", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "none", {"thinkingLevel": "low"}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
        ("gemini-flash-latest", "xhigh", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-10-pro", "low", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-2.0-flash-001", "high", None),
        ("gemma-3-27b-it", "high", None),
    ],
)
def test_effort_is_a_level_or_a_budget_by_generation(model: str, effort: Effort | None, thinking: JSON | None) -> None:
    assert rendered(model=model, effort=effort).get("generationConfig", {}).get("thinkingConfig") == thinking


def test_tools_keep_their_schema_as_it_is() -> None:
    tools = (WEATHER, Tool("now"), Tool("then", "", b"{}"), Tool("there", "", b" null"))
    assert rendered(tools=tools)["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "weather",
                    "description": "Tells it.",
                    "parametersJsonSchema": {"type": "object", "properties": {"city": {"$ref": "#/$defs/city"}}},
                },
                {"name": "now"},
                {"name": "then"},
                {"name": "there"},
            ]
        }
    ]


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("named", "weather"), {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
    ],
)
def test_the_choice_of_a_tool(choice: ToolChoice, calling: JSON) -> None:
    assert rendered(tools=(WEATHER,), tool_choice=choice)["toolConfig"] == {"functionCallingConfig": calling}
    assert "toolConfig" not in rendered(tool_choice=choice)  # "... is set without function_declarations"


def test_a_loop_of_two_calls_at_once() -> None:
    said = contents(
        HI,
        Message(
            "assistant",
            (TextPart("Wait."), ToolCall("c1", "weather", '{"city": "Oslo", "n": 1e2}'), ToolCall("c2", "now")),
        ),
        Message("tool", (ToolResult("c1", (TextPart('{"t": 3'), TextPart("}"))),)),
        Message("tool", (ToolResult("c2", (TextPart("[12]"),)),)),
        Message("user", (TextPart("thanks"),)),
        Message("tool", (ToolResult("", (), "late"),)),
    )
    assert said == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {
            "role": "model",
            "parts": [
                {"text": "Wait."},
                {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Oslo", "n": 100.0}}},
                {"functionCall": {"id": "c2", "name": "now", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "weather", "response": {"t": 3}}},
                {"functionResponse": {"id": "c2", "name": "now", "response": {"result": "[12]"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "thanks"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "late", "response": {"result": ""}}}]},
    ]


def test_an_id_used_again_means_the_latest_call() -> None:
    said = contents(
        Message("assistant", (ToolCall("call_1", "a"),)),
        Message("tool", (ToolResult("call_1"),)),
        Message("assistant", (ToolCall("call_1", "b"),)),
        Message("tool", (ToolResult("call_1"),)),
    )
    assert [turn["parts"][0]["functionResponse"]["name"] for turn in said if turn["role"] == "user"] == ["a", "b"]


def test_calls_without_an_id_have_none() -> None:
    assert contents(Message("assistant", (ToolCall("", "now", "null"),)))[0]["parts"] == [
        {"functionCall": {"name": "now", "args": {}}}
    ]


def test_an_answer_to_no_call_is_the_clients_fault() -> None:
    error = refused(HI, Message("tool", (ToolResult("c9", (TextPart("x"),)),)))
    assert error.param == "messages[1].tool_call_id"
    assert "'c9'" in error.message


@pytest.mark.parametrize("arguments", ['{"a":', "[]", '"{}"', '{"a":' * 5000])
def test_arguments_must_be_an_object(arguments: str) -> None:
    assert refused(HI, Message("assistant", (ToolCall("c", "f", arguments),))).param == "messages[1].tool_calls"


def test_gemini_3_gets_its_signatures_back_or_is_told_that_there_is_none() -> None:
    lost = Message("assistant", (ToolCall("a", "f"), ToolCall("b", "f")))
    kept = Message("assistant", (ToolCall("c", "f", "", "SIG="), ToolCall("d", "f")))
    said = contents(lost, kept, model="gemini-3-flash-preview")
    assert [[part.get("thoughtSignature") for part in turn["parts"]] for turn in said] == [
        [SENTINEL, None],
        ["SIG=", None],
    ]
    assert [part.get("thoughtSignature") for part in contents(lost)[0]["parts"]] == [None, None]


def test_signatures_of_thoughts_and_of_texts() -> None:
    message = Message(
        "assistant",
        (
            ReasoningPart("unsigned"),
            ReasoningPart("hm", "S1"),
            ReasoningPart("", "S2"),
            ReasoningPart(redacted="xx"),
            TextPart("so"),
            TextPart("!"),
            ReasoningPart("", "S3"),
        ),
    )
    assert contents(message)[0]["parts"] == [
        {"text": "hm", "thought": True, "thoughtSignature": "S1"},
        {"text": "so", "thoughtSignature": "S2"},
        {"text": "!"},
        {"text": "", "thoughtSignature": "S3"},
    ]


@pytest.mark.parametrize(
    ("image", "part"),
    [
        (ImagePart(data="QUJD", media_type="image/webp"), {"inlineData": {"mimeType": "image/webp", "data": "QUJD"}}),
        (
            ImagePart(url="https://x/a.PNG?s=1"),
            {"fileData": {"fileUri": "https://x/a.PNG?s=1", "mimeType": "image/png"}},
        ),
        (
            ImagePart(url="https://x/a", media_type="image/gif"),
            {"fileData": {"fileUri": "https://x/a", "mimeType": "image/gif"}},
        ),
        (ImagePart(url="https://x/files/1"), {"fileData": {"fileUri": "https://x/files/1"}}),
    ],
)
def test_images(image: ImagePart, part: JSON) -> None:
    assert contents(Message("user", (image,)))[0]["parts"] == [part]


def test_an_inline_image_must_tell_what_it_is() -> None:
    assert refused(HI, Message("user", (ImagePart(data="QUJD"),))).param == "messages[1].content"


def test_images_of_a_tool_stand_in_its_answer_since_gemini_3_and_beside_it_before() -> None:
    image = ImagePart(data="QUJD", media_type="image/png")
    turn = Message("tool", (ToolResult("c", (TextPart("see"), image), "look"),))
    part = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    answer = {"id": "c", "name": "look", "response": {"result": "see"}}
    assert contents(turn)[0]["parts"] == [{"functionResponse": answer}, part]
    assert contents(turn, model="gemini-3-flash")[0]["parts"] == [{"functionResponse": {**answer, "parts": [part]}}]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            FilePart(media_type="audio/wav", data="QQ=="),
            {"inlineData": {"mimeType": "audio/wav", "data": "QQ=="}},
        ),
        (
            FilePart(media_type="application/pdf", data="QQ==", name="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}},
        ),
        (FilePart(data="QQ=="), {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}}),
        (FilePart(url="https://e.com/a.pdf"), {"fileData": {"fileUri": "https://e.com/a.pdf"}}),
        (
            FilePart(url="https://e.com/a", media_type="text/csv"),
            {"fileData": {"fileUri": "https://e.com/a", "mimeType": "text/csv"}},
        ),
        (FilePart(file_id="file-1"), None),
        (ForeignPart("gemini", "executableCode", b'{"executableCode":{}}'), {"executableCode": {}}),
        (ForeignPart("anthropic_messages", "search_result", b'{"type":"search_result"}'), None),
    ],
)
def test_files_go_inline_or_by_address_and_foreign_parts_only_at_home(part: Part, said: JSON | None) -> None:
    parts = contents(Message("user", (part, TextPart("?"))))[0]["parts"]
    assert parts == [*([said] if said else []), {"text": "?"}]


def test_parts_in_the_wrong_turn_are_not_said() -> None:
    said = contents(
        Message("user", (ReasoningPart("hm", "S"), ToolCall("c", "f"), TextPart("?"))),
        Message("assistant", (ForeignPart("openai_chat", "refusal", b"{}"), TextPart("no"))),
    )
    assert [turn["parts"] for turn in said] == [[{"text": "?"}], [{"text": "no"}]]


def asked(**fields: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=(), **fields)


def test_a_clients_own_body_passes_untouched() -> None:
    body = b'{ "contents": [],\n "safetySettings": [1.0], "safetySettings": null }'
    request = DIALECT.pass_on(asked(stream=True), body, "models/gemini-x", Ways())
    assert request.body is body
    assert request.path == "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"


def test_a_model_repeated_in_the_body_is_replaced() -> None:
    body = b'{"contents": [ 1.0 ],"model":"models/alias"}'
    assert DIALECT.pass_on(asked(), body, "gemini-x", Ways()).body == b'{"contents":[ 1.0 ],"model":"models/gemini-x"}'


def test_quirks_change_what_is_rendered_and_what_is_passed_on() -> None:
    def quirk(body: JSON) -> None:
        body["cachedContent"] = "c"

    ways = Ways(quirks=(quirk,))
    assert DIALECT.pass_on(asked(), b'{"contents":[]}', "x", ways).body == b'{"contents":[],"cachedContent":"c"}'
    assert json.loads(DIALECT.render(asked(), "x", ways).body)["cachedContent"] == "c"


def test_tokens_to_think_with_and_tools_that_failed() -> None:
    asked = ChatRequest(
        model="m",
        messages=(
            Message("user", (TextPart("hi"),)),
            Message("assistant", (ToolCall("c", "f"),)),
            Message("tool", (ToolResult("c", (TextPart("no such city"),), is_error=True),)),
        ),
        thinking_tokens=512,
        effort="high",
    )
    request = DIALECT.render(asked, "gemini-3-pro", Ways())
    body = json.loads(request.body)
    assert body["generationConfig"] == {"thinkingConfig": {"thinkingBudget": 512, "includeThoughts": True}}
    assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == {"error": "no such city"}
    assert request.dropped == ()
    assert DIALECT.render(asked, "gemini-2.0-flash", Ways()).dropped == ("effort", "effort.level", "thinking_tokens")
