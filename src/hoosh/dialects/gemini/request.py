"""
Requests: the canon as a generateContent body, or a client's own body passed on with only the model's name changed.

Sources, read 2026-11, below https://ai.google.dev/: api/generate-content, api/caching#Content (parts, tools),
gemini-api/docs/{thinking,thought-signatures,function-calling,structured-output,openai,file-input-methods}.

JSON Schema goes as it is into `parametersJsonSchema` and `responseJsonSchema`: `parameters` and `responseSchema`
take a subset of OpenAPI only and refuse $ref, $schema, additionalProperties and more.
"""

import re
from urllib.parse import quote

import msgspec

from hoosh.core.asked import (
    ChatRequest,
    Effort,
    FilePart,
    ForeignPart,
    ImagePart,
    Message,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.core.features import OWN_FIELDS, lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Ways

NAME = "gemini"
HEADERS = ((b"content-type", b"application/json"),)
# What a request may say that this dialect has no word for.
LOSSES = frozenset(
    {
        "cache",
        "file.id",
        "image.detail",
        "message.name",
        "parallel_tools",
        "reasoning.redacted",
        "reasoning.unsigned",
        "reply.refusal",
        "response_format.name",
        "response_format.strict",
        "sampling.min_p",
        "system.position",
        "tool.strict",
        "user",
        "verbosity",
    }
)

_Generation = tuple[int, int]
# Names without a number, as gemini-flash-latest, are the newest; names of other families have no generation.
_LATEST: _Generation = (99, 0)
# Thinks with a budget of tokens.
_BUDGET_SINCE: _Generation = (2, 5)
# Thinks by levels, wants its signatures back, takes images in tool results.
_LEVEL_SINCE: _Generation = (3, 0)

_NAME = re.compile(r"^gemini-(?:(\d{1,2})(?:[.-](\d{1,2}))?(?!\d))?")
# As Google's own endpoint for OpenAI clients maps them (gemini-api/docs/openai).
_LEVELS: dict[Effort, str] = {
    "none": "minimal",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}
_BUDGETS: dict[Effort, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
}
# gemini-2.5-pro cannot stop thinking; this is the least that it takes.
_LEAST_PRO_BUDGET = 128
# "Function call is missing a thought_signature in functionCall parts": what the docs give for calls whose signature
# is lost or that another model made.
_NO_SIGNATURE = "skip_thought_signature_validator"

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
# fileData wants a type beside an address that tells none.
_IMAGE_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
}


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def render(asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
    """Raises BadRequest naming the message that cannot be said."""
    generation = _generation(model)
    system, contents = _Conversation(generation).read(asked.messages)
    body: JSON = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if asked.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in asked.tools]}]
        if asked.tool_choice:
            body["toolConfig"] = {"functionCallingConfig": _calling(asked.tool_choice)}
    config = _sampling(asked) | _format(asked.response_format)
    if thinking := _thinking(asked, model, generation):
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    unsaid = LOSSES if thinking else LOSSES | {"effort", "effort.level", "thinking_tokens"}
    return msgspec.structs.replace(_request(asked, body, model, ways), dropped=lost(asked, unsaid, NAME))


def pass_on(asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
    """Values keep their bytes and their order. The model stands in the path; some clients repeat it in the body."""
    fields: JSON = _json.decode(body) if ways.quirks else dict(_fields.decode(body))
    own = [name for name in OWN_FIELDS if fields.pop(name, None) is not None]
    if "model" in fields:
        fields["model"] = f"models/{_bare(model)}"
    elif not (ways.quirks or own):
        return WireRequest(path=_path(asked, model), body=body, headers=HEADERS)
    return _request(asked, fields, model, ways)


def _request(asked: ChatRequest, body: JSON, model: str, ways: Ways) -> WireRequest:
    for quirk in ways.quirks:
        quirk(body)
    return WireRequest(path=_path(asked, model), body=_encode(body), headers=HEADERS)


def _path(asked: ChatRequest, model: str) -> str:
    method = "streamGenerateContent?alt=sse" if asked.stream else "generateContent"
    return f"/models/{quote(_bare(model), safe='')}:{method}"


def _bare(model: str) -> str:
    return model.removeprefix("models/")


def _generation(model: str) -> _Generation | None:
    found = _NAME.match(_bare(model))
    if not found:
        return None
    return (int(found[1]), int(found[2] or 0)) if found[1] else _LATEST


def _thinking(asked: ChatRequest, model: str, generation: _Generation | None) -> JSON:
    """A count wins over a degree, which the API refuses beside it."""
    effort, tokens = asked.effort, asked.thinking_tokens
    if (effort is None and tokens is None) or generation is None or generation < _BUDGET_SINCE:
        return {}
    pro = "-pro" in model
    thinking: JSON
    if tokens is not None or effort is None:
        thinking = {"thinkingBudget": tokens}
    elif generation >= _LEVEL_SINCE:
        level = _LEVELS[effort]
        thinking = {"thinkingLevel": "low" if pro and level == "minimal" else level}
    else:
        thinking = {"thinkingBudget": max(_BUDGETS[effort], _LEAST_PRO_BUDGET) if pro else _BUDGETS[effort]}
    if thinking.get("thinkingBudget") != 0 and effort != "none":
        thinking["includeThoughts"] = True
    return thinking


def _sampling(asked: ChatRequest) -> JSON:
    given = asked.sampling
    values = {
        "temperature": given.temperature,
        "topP": given.top_p,
        "topK": given.top_k,
        "maxOutputTokens": asked.max_output_tokens,
        "stopSequences": given.stop or None,
        "seed": given.seed,
        "candidateCount": asked.n if asked.n > 1 else None,
        "presencePenalty": given.presence_penalty,
        "frequencyPenalty": given.frequency_penalty,
        "responseLogprobs": given.logprobs or None,
        "logprobs": given.top_logprobs if given.logprobs else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _format(wanted: ResponseFormat | None) -> JSON:
    if wanted is None or wanted.kind == "text":
        return {}
    said: JSON = {"responseMimeType": "application/json"}
    if wanted.schema:
        said["responseJsonSchema"] = msgspec.Raw(wanted.schema)
    return said


def _declaration(tool: Tool) -> JSON:
    said: JSON = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    if tool.schema.strip() not in (b"", b"{}", b"null"):
        said["parametersJsonSchema"] = msgspec.Raw(tool.schema)
    return said


def _calling(choice: ToolChoice) -> JSON:
    said: JSON = {"mode": _MODES[choice.mode]}
    if choice.mode == "named":
        said["allowedFunctionNames"] = [choice.name]
    return said


class _Conversation:
    """Contents from messages; remembers which call had which name, for only its id stands beside a tool's result."""

    def __init__(self, generation: _Generation | None) -> None:
        self._newest = generation is not None and generation >= _LEVEL_SINCE
        self._names: dict[str, str] = {}

    def read(self, messages: tuple[Message, ...]) -> tuple[list[JSON], list[JSON]]:
        """(parts of the system instruction, contents). System messages, wherever they stand, come first."""
        system: list[JSON] = []
        contents: list[JSON] = []
        answering = False
        for i, message in enumerate(messages):
            if message.role in ("system", "developer"):
                system += [{"text": part.text} for part in message.parts if type(part) is TextPart]
            elif message.role == "assistant":
                if parts := self._model(i, message):
                    contents.append({"role": "model", "parts": parts})
                    answering = False
            else:
                parts = self._user(i, message)
                if answering and message.role == "tool":  # all answers to one turn's calls stand in one turn
                    contents[-1]["parts"] += parts
                else:
                    contents.append({"role": "user", "parts": parts or [{"text": ""}]})
                answering = message.role == "tool"
        if not contents:  # contents must not be empty: a lone system message is the question
            return [], [{"role": "user", "parts": system or [{"text": ""}]}]
        return system, contents

    def _model(self, i: int, message: Message) -> list[JSON]:
        parts: list[JSON] = []
        calls: list[JSON] = []
        held = ""  # the signature of a part that is no thought itself: the next one's
        for part in message.parts:
            if isinstance(part, ReasoningPart):
                if part.signature and part.text:
                    parts.append({"text": part.text, "thought": True, "thoughtSignature": part.signature})
                held = part.signature if part.signature and not part.text else held
            elif isinstance(part, ToolCall):
                calls.append(self._call(i, part))
                parts.append(calls[-1])
            elif said := self._said(i, part):
                parts += [{**said[0], "thoughtSignature": held}, *said[1:]] if held else said
                held = ""
        if held:
            parts.append({"text": "", "thoughtSignature": held})
        if self._newest and calls and not any("thoughtSignature" in call for call in calls):
            calls[0]["thoughtSignature"] = _NO_SIGNATURE
        return parts

    def _call(self, i: int, call: ToolCall) -> JSON:
        self._names[call.id] = call.name
        function: JSON = {"id": call.id} if call.id else {}
        said: JSON = {"functionCall": function | {"name": call.name, "args": _arguments(i, call.arguments)}}
        if call.signature:
            said["thoughtSignature"] = call.signature
        return said

    def _user(self, i: int, message: Message) -> list[JSON]:
        return [said for part in message.parts for said in self._said(i, part)]

    def _said(self, i: int, part: object) -> list[JSON]:
        match part:
            case TextPart(text=text):
                return [{"text": text}]
            case ImagePart():
                return [_image(i, part)]
            case ToolResult():
                return self._result(i, part)
            case FilePart():
                return _file(part)
            case ForeignPart(dialect=dialect) if dialect == NAME:
                return [_json.decode(part.json)]
        return []

    def _result(self, i: int, result: ToolResult) -> list[JSON]:
        name = result.name or self._names.get(result.call_id, "")
        if not name:
            where = f"messages[{i}].tool_call_id"
            raise BadRequest(f"{where}: no call before this message has the id {result.call_id[:64]!r}", param=where)
        text = "".join(part.text for part in result.parts if isinstance(part, TextPart))
        images = [_image(i, part) for part in result.parts if isinstance(part, ImagePart)]
        said: JSON = {"id": result.call_id} if result.call_id else {}
        said |= {"name": name, "response": {"error": text} if result.is_error else _response(text)}
        if images and self._newest:
            said["parts"] = images
            images = []
        return [{"functionResponse": said}, *images]


def _response(text: str) -> object:
    """An object as it is; everything else needs a name."""
    try:
        _fields.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {"result": text}
    return msgspec.Raw(text.encode())


def _arguments(i: int, arguments: str) -> msgspec.Raw:
    text = arguments.strip()
    if text in ("", "null"):
        return msgspec.Raw(b"{}")
    try:
        _fields.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        where = f"messages[{i}].tool_calls"
        raise BadRequest(f"{where}: the arguments of a call must be a JSON object", param=where) from error
    return msgspec.Raw(text.encode())


def _image(i: int, image: ImagePart) -> JSON:
    if image.url:
        suffix = image.url.partition("?")[0].rpartition(".")[2].lower()
        media_type = image.media_type or _IMAGE_TYPES.get(suffix, "")
        return {"fileData": {"fileUri": image.url} | ({"mimeType": media_type} if media_type else {})}
    if not image.media_type:
        where = f"messages[{i}].content"
        raise BadRequest(f"{where}: an inline image must tell its media type", param=where)
    return {"inlineData": {"mimeType": image.media_type, "data": image.data}}


def _file(file: FilePart) -> list[JSON]:
    """Nothing for what is only named by another vendor's id."""
    if file.url:
        return [{"fileData": {"fileUri": file.url} | ({"mimeType": file.media_type} if file.media_type else {})}]
    if file.data:
        return [{"inlineData": {"mimeType": file.media_type or "application/pdf", "data": file.data}}]
    return []
