"""Requests: parse a client's body, render the canon, or pass a body on with only the model's name changed."""

from typing import Any, cast, get_args

import msgspec

from hoosh.core.asked import (
    ChatRequest,
    Effort,
    FilePart,
    ForeignPart,
    ForeignTool,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    ResponseFormat,
    Role,
    Sampling,
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
from hoosh.dialects.openai import bodies
from hoosh.dialects.openai_chat import render as canonical
from hoosh.dialects.openai_chat.render import NAME

# Agents send hundreds of messages in one conversation; the bound only stops abuse.
MAX_MESSAGES = 10_000
UNBOUNDED = -1
PATH = "/chat/completions"
# What a request may say that this dialect has no word for.
LOSSES = frozenset(
    {
        "part.order",  # thoughts, then content, then calls
        "reasoning.parts",  # several thoughts without a proof become one
        "text.empty",
        "thinking_tokens",
        "tool_result.error",
    }
)
_UNMARKED = LOSSES | {"cache"}


class _ImageURL(msgspec.Struct):
    url: str
    detail: str | None = None


class _Audio(msgspec.Struct):
    data: str = ""
    format: str = "wav"


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: _ImageURL | str | None = None
    input_audio: _Audio | None = None
    file: _File | None = None
    cache_control: msgspec.Raw = msgspec.Raw()


class _Function(msgspec.Struct):
    name: str
    arguments: str | None = None


class _Signature(msgspec.Struct):
    thought_signature: str = ""


class _ExtraContent(msgspec.Struct):
    google: _Signature = msgspec.field(default_factory=_Signature)


class _ToolCall(msgspec.Struct):
    id: str = ""
    function: _Function | None = None
    extra_content: _ExtraContent | None = None


class _Detail(msgspec.Struct):
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[msgspec.Raw] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None
    reasoning_content: str | None = None
    reasoning_details: list[_Detail] | None = None


class _FunctionSpec(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _FunctionSpec | None = None
    cache_control: msgspec.Raw = msgspec.Raw()


class _NamedFunction(msgspec.Struct):
    name: str


class _NamedChoice(msgspec.Struct):
    function: _NamedFunction | None = None


class _Schema(msgspec.Struct):
    name: str = ""
    schema: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    messages: list[_Message] | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: str | _NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    user: str | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
_ROLES = frozenset(get_args(Role))
_EFFORTS = frozenset(get_args(Effort))
_body = msgspec.json.Decoder(_Body)
_part = msgspec.json.Decoder(_Part)
_tool = msgspec.json.Decoder(_Tool)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse(body: bytes) -> ChatRequest:
    """Raises BadRequest naming the field."""
    asked, fields = bodies.decode(_body, body)
    model = _check(asked)
    effort = asked.reasoning_effort
    tools = [_read_tool(k, raw) for k, raw in enumerate(asked.tools or ())]
    return ChatRequest(
        model=model,
        messages=tuple(_message(i, message) for i, message in enumerate(asked.messages or ())),
        tools=tuple(tool for tool in tools if isinstance(tool, Tool)),
        foreign_tools=tuple(tool for tool in tools if isinstance(tool, ForeignTool)),
        tool_choice=_choice(asked.tool_choice),
        parallel_tools=asked.parallel_tool_calls,
        response_format=_format(asked.response_format),
        sampling=_sampling(asked),
        max_output_tokens=asked.max_completion_tokens or _bound(asked.max_tokens),
        n=1 if asked.n is None else asked.n,
        stream=bool(asked.stream),
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        effort=cast("Effort", effort) if effort in _EFFORTS else None,
        verbosity=asked.verbosity or "",
        user=asked.user or "",
        dialect=NAME,
        extra=bodies.unknown(fields, _KNOWN),
    )


def _check(asked: _Body) -> str:
    """The model's name."""
    model = bodies.checked_model(asked.model)
    if asked.messages is None:
        raise BadRequest("messages array is required", param="messages")
    if not asked.messages:
        raise BadRequest("messages array is empty", param="messages")
    if len(asked.messages) > MAX_MESSAGES:
        raise BadRequest(f"Too many messages: {len(asked.messages)} (max {MAX_MESSAGES})", param="messages")
    for name, value, top in (("temperature", asked.temperature, 2.0), ("top_p", asked.top_p, 1.0)):
        if value is not None and not 0.0 <= value <= top:
            raise BadRequest(f"{name} must be between 0.0 and {top}, got {value}", param=name)
    for name in ("max_tokens", "max_completion_tokens", "n"):
        number = getattr(asked, name)
        # LM Studio, llama.cpp and Ollama say -1 for "as many as there are".
        if number is not None and number < 1 and (number != UNBOUNDED or name != "max_tokens"):
            raise BadRequest(f"{name} must be greater than 0", param=name)
    return model


def _message(i: int, message: _Message) -> Message:
    role, content = message.role, message.content
    if role == "function":  # the predecessor of "tool", still sent by old clients
        return Message("tool", (ToolResult(message.name or "", _parts(i, content), message.name or ""),))
    if role not in _ROLES:
        known = ", ".join(get_args(Role))
        raise BadRequest(
            f'messages[{i}].role: unknown role "{role[:64]}", use one of {known}', param=f"messages[{i}].role"
        )
    if content is None and role != "assistant":
        raise BadRequest(
            f"messages[{i}].content: expected string or array of parts, got null", param=f"messages[{i}].content"
        )
    parts = _parts(i, content)
    if role == "tool":
        if not message.tool_call_id:
            raise BadRequest(f"messages[{i}].tool_call_id is required", param=f"messages[{i}].tool_call_id")
        results = cast("tuple[TextPart | ImagePart | FilePart, ...]", parts)
        return Message("tool", (ToolResult(message.tool_call_id, results, message.name or ""),))
    if role == "assistant":
        parts = (*_thoughts(message), *parts, *_calls(i, message))
    return Message(cast("Role", role), parts, message.name or "")


def _parts(i: int, content: str | list[msgspec.Raw] | None) -> tuple[Any, ...]:
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    parts: list[Part] = []
    for k, raw in enumerate(content or ()):
        try:
            part = _part.decode(raw)
        except msgspec.ValidationError as error:
            raise bodies.wrong(error, f"messages[{i}].content[{k}]") from error
        parts.append(_read_part(part, raw))
    return tuple(parts)


def _read_part(part: _Part, raw: msgspec.Raw) -> Part:
    cache = _text(part.cache_control)
    match part.type:
        case "text":
            return TextPart(part.text or "", cache)
        case "image_url" if part.image_url is not None:
            return _image(part.image_url, cache)
        case "input_audio" if part.input_audio is not None:
            return FilePart(media_type=f"audio/{part.input_audio.format}", data=part.input_audio.data, cache=cache)
        case "file" if part.file is not None:
            return _file(part.file, cache)
    return ForeignPart(NAME, part.type, bytes(raw))


def _image(image: _ImageURL | str, cache: bytes) -> ImagePart:
    url, detail = (image, "") if isinstance(image, str) else (image.url, image.detail or "")
    if inline := _inline(url):
        return ImagePart(media_type=inline[0], data=inline[1], detail=detail, cache=cache)
    return ImagePart(url=url, detail=detail, cache=cache)


def _file(file: _File, cache: bytes) -> FilePart:
    """`file_data` is a data URL by the letter, an address with OpenRouter, bare base64 with some clients."""
    data, name = file.file_data or "", file.filename or ""
    if inline := _inline(data):
        return FilePart(media_type=inline[0], data=inline[1], name=name, cache=cache)
    if data.startswith(("https://", "http://")):
        return FilePart(url=data, name=name, cache=cache)
    return FilePart(data=data, file_id=file.file_id or "", name=name, cache=cache)


def _inline(url: str) -> tuple[str, str] | None:
    """(media type, base64) of a data URL."""
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return head[5:].partition(";")[0], data
    return None


def _thoughts(message: _Message) -> tuple[ReasoningPart, ...]:
    """`reasoning_details` (OpenRouter's form, which carries signatures) wins over plain `reasoning_content`."""
    if message.reasoning_details:
        return tuple(
            ReasoningPart(detail.text or detail.summary or "", detail.signature or "", detail.data or "")
            for detail in message.reasoning_details
        )
    return (ReasoningPart(message.reasoning_content),) if message.reasoning_content else ()


def _calls(i: int, message: _Message) -> tuple[ToolCall, ...]:
    if message.function_call:
        function = message.function_call
        return (ToolCall(function.name, function.name, function.arguments or ""),)
    calls = []
    for k, call in enumerate(message.tool_calls or ()):
        if call.function is None:
            where = f"messages[{i}].tool_calls[{k}].function"
            raise BadRequest(f"{where} is required", param=where)
        signature = call.extra_content.google.thought_signature if call.extra_content else ""
        calls.append(ToolCall(call.id, call.function.name, call.function.arguments or "", signature))
    return tuple(calls)


def _read_tool(k: int, raw: msgspec.Raw) -> Tool | ForeignTool:
    try:
        tool = _tool.decode(raw)
    except msgspec.ValidationError as error:
        raise bodies.wrong(error, f"tools[{k}]") from error
    function = tool.function
    if function is None:
        return ForeignTool(NAME, tool.type, bytes(raw))
    schema, cache = _text(function.parameters), _text(tool.cache_control)
    return Tool(function.name, function.description or "", schema, function.strict, cache)


def _text(raw: msgspec.Raw) -> bytes:
    text = bytes(raw)
    return b"" if text == b"null" else text


def _choice(choice: str | _NamedChoice | None) -> ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        if choice in ("auto", "none", "required"):
            return ToolChoice(cast("Any", choice))
        return ToolChoice("required" if choice == "any" else "named", "" if choice == "any" else choice)
    return ToolChoice("named", choice.function.name) if choice.function else None


def _format(wanted: _Format | None) -> ResponseFormat | None:
    if wanted is None or wanted.type not in ("text", "json_object", "json_schema"):
        return None
    schema = wanted.json_schema or _Schema()
    return ResponseFormat(cast("Any", wanted.type), schema.name, _text(schema.schema), schema.strict)


def _bound(tokens: int | None) -> int | None:
    return None if tokens == UNBOUNDED else tokens


def _sampling(asked: _Body) -> Sampling:
    stop = asked.stop
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        min_p=asked.min_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        logprobs=asked.logprobs,
        top_logprobs=asked.top_logprobs,
    )


def pass_on(asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
    """
    Values keep their bytes and their order; `stream_options.include_usage` is added to a stream so that what
    it uses is known (the reader holds the extra chunk back from a client that did not ask for it).
    Raises BadRequest.
    """
    own = any(name in OWN_FIELDS for name, _ in asked.extra)
    usage_settled = not asked.stream or (asked.include_usage and ways.stream_usage)
    if model == asked.model and usage_settled and not own and not ways.may_change(model):
        return WireRequest(path=PATH, body=body, headers=(bodies.JSON_TYPE,))
    fields: JSON = dict(_fields.decode(body))
    fields["model"] = model
    return _request(asked, fields, ways)


def render(asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
    """Raises BadRequest."""
    dropped = lost(asked, LOSSES if ways.cache_marks else _UNMARKED, NAME)
    if "cache" in dropped:
        asked = canonical.without_marks(asked)
    request = _request(asked, canonical.body(asked, model), ways)
    return msgspec.structs.replace(request, dropped=(*dropped, *request.dropped))


def _request(asked: ChatRequest, fields: JSON, ways: Ways) -> WireRequest:
    return bodies.request(PATH, fields, (bodies.usage_asked(asked, ways), *ways.quirks))
