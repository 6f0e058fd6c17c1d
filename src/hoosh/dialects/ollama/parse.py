"""
A client's request: /api/chat and /api/generate bodies as the canon. A request without messages, or without a prompt,
asks to load the model and not for an answer.

Source: https://docs.ollama.com/api/chat, /api/generate and /capabilities/{thinking,tool-calling} (read 2026-11).
"""

from types import MappingProxyType
from typing import Any

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.asked import (
    ChatRequest,
    Effort,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.core.open_calls import OpenCalls
from hoosh.dialects.ollama.chat import NAME
from hoosh.dialects.ollama.words import GENERATE
from hoosh.dialects.openai.bodies import checked_model, decode, unknown, wrong

MAX_MESSAGES = 10_000
_NULL = msgspec.Raw(b"null")
# A switch has no degrees; "medium" is what others take for granted.
_EFFORTS: MappingProxyType[object, Effort] = MappingProxyType(
    {True: "medium", False: "none", "low": "low", "medium": "medium", "high": "high", "max": "xhigh"}
)
# How base64 of a picture begins: Ollama's images do not tell their type.
_SIGNS = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("Qk", "image/bmp"),
)


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = _NULL


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    name: str | None = None


class _FunctionSpec(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = _NULL


class _Tool(msgspec.Struct):
    function: _FunctionSpec


class _Options(msgspec.Struct):
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class _Asked(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    format: msgspec.Raw = _NULL
    options: msgspec.Raw = _NULL
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class _Chat(_Asked):
    messages: list[_Message] | None = None
    tools: list[_Tool] | None = None


class _Generate(_Asked):
    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None


_chat = msgspec.json.Decoder(_Chat)
_generate = msgspec.json.Decoder(_Generate)
_options = msgspec.json.Decoder(_Options)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def chat(body: bytes) -> ChatRequest:
    """Raises BadRequest naming the field."""
    asked, fields = decode(_chat, body)
    settings = _settings(asked)
    messages = asked.messages or []
    if len(messages) > MAX_MESSAGES:
        raise BadRequest(f"too many messages: {len(messages)} (max {MAX_MESSAGES})", param="messages")
    reading = _Reading()
    tools = tuple(
        Tool(spec.name, spec.description or "", b"" if bytes(spec.parameters) == b"null" else bytes(spec.parameters))
        for spec in (tool.function for tool in asked.tools or ())
    )
    return ChatRequest(
        messages=tuple(reading.message(message, f"messages[{i}]") for i, message in enumerate(messages)),
        tools=tools,
        dialect=NAME,
        extra=_extra(fields, _Chat),
        **settings,
    )


def generate(body: bytes) -> ChatRequest:
    """Raises BadRequest naming the field."""
    asked, fields = decode(_generate, body)
    settings = _settings(asked)
    messages: list[Message] = []
    if asked.prompt or asked.images:
        if asked.system:
            messages.append(Message("system", (TextPart(asked.system),)))
        text = (TextPart(asked.prompt),) if asked.prompt else ()
        messages.append(Message("user", (*text, *map(_image, asked.images or ()))))
    return ChatRequest(messages=tuple(messages), dialect=GENERATE, extra=_extra(fields, _Generate), **settings)


def _settings(asked: _Asked) -> JSON:
    """What both ask alike. A stream is what Ollama gives unless told otherwise."""
    options = _read_options(asked.options)
    stop, limit = options.stop, options.num_predict
    if isinstance(asked.think, str) and asked.think not in _EFFORTS:
        raise BadRequest('think: use true, false, "low", "medium" or "high"', param="think")
    return {
        "model": checked_model(asked.model),
        "stream": asked.stream is not False,
        "include_usage": asked.stream is not False,
        "response_format": _format(asked.format),
        "effort": None if asked.think is None else _EFFORTS[asked.think],
        "max_output_tokens": limit if limit is not None and limit > 0 else None,  # -1 and -2 mean no limit
        "sampling": Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            min_p=options.min_p,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            seed=options.seed,
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            logprobs=asked.logprobs,
            top_logprobs=asked.top_logprobs,
        ),
    }


def _read_options(raw: msgspec.Raw) -> _Options:
    if bytes(raw) == b"null":
        return _Options()
    try:
        return _options.decode(raw)
    except msgspec.ValidationError as error:
        raise wrong(error, "options") from error


def _extra(fields: dict[str, msgspec.Raw], known: type[_Asked]) -> tuple[tuple[str, bytes], ...]:
    """Fields without a word in the canon, options under their own name."""
    extra = unknown(fields, known.__struct_fields__)
    options = fields.get("options", _NULL)
    if bytes(options) == b"null":
        return extra
    return extra + unknown(
        {f"options.{name}": value for name, value in _fields.decode(options).items()},
        [f"options.{name}" for name in _Options.__struct_fields__],
    )


def _format(raw: msgspec.Raw) -> ResponseFormat | None:
    text = bytes(raw).strip()
    if text in (b"null", b'""'):
        return None
    if text == b'"json"':
        return ResponseFormat("json_object")
    if text[:1] != b"{":
        raise BadRequest('format: expected "json" or a JSON schema', param="format")
    return ResponseFormat("json_schema", schema=text)


class _Reading:
    """The calls that wait for their answers: older clients tell the tool's name alone, or nothing."""

    def __init__(self) -> None:
        self._open = OpenCalls()

    def message(self, said: _Message, where: str) -> Message:
        text: tuple[Part, ...] = (TextPart(said.content),) if said.content else ()
        images = tuple(map(_image, said.images or ()))
        match said.role:
            case "tool":
                return Message("tool", (self._result(said, (*text, *images)),))
            case "assistant":
                thoughts = (ReasoningPart(said.thinking),) if said.thinking else ()
                calls = [self._call(call, f"{where}.tool_calls[{k}]") for k, call in enumerate(said.tool_calls or ())]
                return Message("assistant", (*thoughts, *text, *images, *calls))
            case "system" | "user":
                return Message(said.role, (*text, *images))
        raise BadRequest(
            f'{where}.role: unknown role "{said.role[:64]}", use one of system, user, assistant, tool',
            param=f"{where}.role",
        )

    def _call(self, call: _Call, where: str) -> ToolCall:
        arguments = bytes(call.function.arguments).strip()
        if arguments[:1] not in (b"{", b"n"):
            place = f"{where}.function.arguments"
            raise BadRequest(f"{place}: expected object", param=place)
        return self._open.add(call.id or "", call.function.name, "{}" if arguments == b"null" else arguments.decode())

    def _result(self, said: _Message, parts: tuple[Any, ...]) -> ToolResult:
        name = said.tool_name or said.name or ""
        call = self._open.answered(said.tool_call_id or "", name)
        return ToolResult(
            said.tool_call_id or (call.id if call else self._open.new_id()), parts, name or (call.name if call else "")
        )


def _image(data: str) -> ImagePart:
    """Some clients send a data URL, which Ollama itself refuses."""
    head, comma, rest = data.partition(",")
    if comma and head.startswith("data:"):
        return ImagePart(data=rest, media_type=head[5:].partition(";")[0])
    media_type = next((kind for sign, kind in _SIGNS if data.startswith(sign)), "image/png")
    return ImagePart(data=data, media_type=media_type)
