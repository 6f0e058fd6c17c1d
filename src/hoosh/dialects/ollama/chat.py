"""
Ollama's own /api/chat, the provider's face: lines of JSON, arguments as objects, images without an address.

Source: https://docs.ollama.com/api/chat, /api/errors, /capabilities/thinking and /capabilities/tool-calling
(read 2026-11), and what the server was recorded to send.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from hoosh.codecs import Frame, Splitter
from hoosh.codecs.ndjson import NDJSONDecoder
from hoosh.codecs.retry_hint import retry_after_s
from hoosh.codecs.sniff import EventsOrWhole
from hoosh.codecs.whole import WholeBody
from hoosh.core.asked import (
    ChatRequest,
    Effort,
    ImagePart,
    Message,
    Operation,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
)
from hoosh.core.errors import (
    BadRequest,
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
from hoosh.core.events import Finish, FinishReason, Meaning, Metered, Opened, Reasoning, Source, Text, ToolDelta, Usage
from hoosh.core.features import lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Reader, Ways
from hoosh.dialects.ollama.words import LOSSES

NAME = "ollama"
PATH = "/api/chat"
HEADERS = ((b"content-type", b"application/json"),)
MAX_MESSAGE_CHARS = 500

# Only gpt-oss thinks by levels, and always; for others a level may be an error ("think value "medium" is not supported
# for this model").
_LEVELS: dict[Effort, str] = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}
# "load" and "unload" answer a request without messages; an unknown word counts as stop.
_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}
# "the input length exceeds the context length"
_TOO_LONG = "context length"
_NULL = msgspec.Raw(b"null")


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = _NULL


class _Call(msgspec.Struct):
    function: _Function | None = None
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    model: str | None = None
    created_at: str | None = None
    message: _Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


class _Fault(msgspec.Struct):
    error: Any = None


class _Model(msgspec.Struct):
    name: str = ""
    model: str = ""


class _Models(msgspec.Struct):
    models: list[_Model]


_line = msgspec.json.Decoder(_Line, strict=False)  # 12.0 and "12" are counts, too
_fault = msgspec.json.Decoder(_Fault)
_models = msgspec.json.Decoder(_Models)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


class Ollama:
    name = NAME
    operation: Operation = "chat"

    def render(self, asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
        """Raises BadRequest naming the message that cannot be said."""
        body: JSON = {"model": model, "messages": _messages(asked.messages), "stream": asked.stream}
        if asked.tools and not (asked.tool_choice and asked.tool_choice.mode == "none"):
            body["tools"] = [_tool(tool) for tool in asked.tools]
        if (wanted := _format(asked.response_format)) is not None:
            body["format"] = wanted
        if asked.effort is not None:
            body["think"] = _LEVELS[asked.effort] if "gpt-oss" in model else asked.effort != "none"
        if options := _options(asked):
            body["options"] = options
        return msgspec.structs.replace(_request(body, ways), dropped=lost(asked, LOSSES, NAME))

    def pass_on(self, asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
        """Values keep their bytes and their order."""
        if model == asked.model and not ways.quirks:
            return WireRequest(path=PATH, body=body, headers=HEADERS)
        fields: JSON = _json.decode(body) if ways.quirks else dict(_fields.decode(body))
        fields["model"] = model
        return _request(fields, ways)

    def splitter(self, asked: ChatRequest, content_type: bytes) -> Splitter:
        return EventsOrWhole(NDJSONDecoder if asked.stream or b"ndjson" in content_type else WholeBody)

    def reader(self, asked: ChatRequest, ways: Ways) -> Reader:  # noqa: ARG002 (a whole reply is a stream of one line)
        return OllamaReader()

    def refusal(self, status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamError:
        text = _said(body)
        kind = _class(status, text)
        message = text or f"the provider answered with status {status}"
        return kind(message, retry_after_s=retry_after_s(headers), upstream_status=status)

    def models_request(self) -> WireRequest:
        return WireRequest(path="/api/tags", method=b"GET")

    def models(self, body: bytes) -> tuple[str, ...]:
        try:
            models = _models.decode(body).models
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadUpstream("the provider's list of models is not in Ollama's format") from error
        return tuple(model.model or model.name for model in models)


class OllamaReader:
    __slots__ = ("_calls", "_done", "_ids", "_opened")

    def __init__(self) -> None:
        self._calls = 0
        self._done = False
        self._ids = ""  # what the ids made here begin with: unique among all turns, the same each time it is read
        self._opened = False

    def read(self, frame: Frame) -> tuple[bytes, Sequence[Meaning]]:
        if self._done:
            return frame.raw, ()
        try:
            return frame.raw, [event for line in _lines(frame) for event in self._meaning(_line.decode(line))]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if type(error) is msgspec.DecodeError and frame.data[:1] == b"{" and frame.raw[-1:] != b"\n":
                raise _cut() from error
            raise BadUpstream("the provider's reply is not in Ollama's format") from error

    def end(self) -> Sequence[Meaning]:
        if not self._done:
            raise _cut()
        return ()

    def _meaning(self, line: _Line) -> list[Meaning]:
        if line.error:
            raise _in_reply(_text(line.error))
        events: list[Meaning] = []
        if not self._opened:
            self._opened = True
            digits = "".join(char for char in line.created_at or "" if char.isdecimal())[:20]
            self._ids = f"call_{digits}_" if digits else "call_"
            events.append(Opened(model=line.model or ""))
        if line.message is not None:
            self._message(line.message, events)
        if line.done:
            self._end(line, events)
        return events

    def _message(self, message: _Message, events: list[Meaning]) -> None:
        if message.thinking:
            events.append(Reasoning(message.thinking))
        if message.content:
            events.append(Text(message.content))
        for call in message.tool_calls or ():
            function = call.function or _Function()
            call_id = call.id or f"{self._ids}{self._calls}"
            name = function.name or ""
            events.append(ToolDelta(self._calls, call_id, name, _arguments_text(function.arguments)))
            self._calls += 1

    def _end(self, line: _Line, events: list[Meaning]) -> None:
        self._done = True
        if line.prompt_eval_count is not None or line.eval_count is not None:
            source: Source = "reported" if line.eval_count is not None else "estimated"
            # A prompt that is in the cache is not counted again.
            usage = Usage(input=line.prompt_eval_count or 0, output=line.eval_count or 0, source=source)
            events.append(Metered(usage))
        reason = _FINISH.get(line.done_reason or "", "stop")
        events.append(Finish("tool_calls" if self._calls and reason == "stop" else reason))


def _lines(frame: Frame) -> list[bytes]:
    """A server may stream though it was asked not to: then a whole body is lines."""
    data = frame.data
    if frame.raw is not frame.data or b"}\n{" not in data.replace(b"\r", b""):
        return [data]
    return [line for line in data.split(b"\n") if line.strip()]


def _request(body: JSON, ways: Ways) -> WireRequest:
    for quirk in ways.quirks:
        quirk(body)
    return WireRequest(path=PATH, body=_encode(body), headers=HEADERS)


def _messages(messages: tuple[Message, ...]) -> list[JSON]:
    said: list[JSON] = []
    names: dict[str, str] = {}
    for i, message in enumerate(messages):
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        names |= {call.id: call.name for call in calls}
        said += [_result(i, result, names) for result in results]
        if results and not message.text:
            continue
        fields: JSON = {"role": "system" if message.role == "developer" else message.role, "content": message.text}
        if images := _images(i, message.parts):
            fields["images"] = images
        if thoughts := "".join(part.text for part in message.parts if isinstance(part, ReasoningPart)):
            fields["thinking"] = thoughts
        if calls:
            fields["tool_calls"] = [_call(i, call) for call in calls]
        said.append(fields)
    return said


def _result(i: int, result: ToolResult, names: dict[str, str]) -> JSON:
    """Calls have ids since 0.12.10; older servers know answers by name and order alone and skip the field."""
    text = "".join(part.text for part in result.parts if isinstance(part, TextPart))
    fields: JSON = {"role": "tool", "content": text}
    if name := result.name or names.get(result.call_id):
        fields["tool_name"] = name
    if result.call_id:
        fields["tool_call_id"] = result.call_id
    if images := _images(i, result.parts):
        fields["images"] = images
    return fields


def _call(i: int, call: ToolCall) -> JSON:
    text = call.arguments.strip()
    if text in ("", "null"):
        text = "{}"
    try:
        _fields.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        where = f"messages[{i}].tool_calls"
        raise BadRequest(f"{where}: the arguments of a call must be a JSON object", param=where) from error
    fields: JSON = {"id": call.id} if call.id else {}
    return fields | {"function": {"name": call.name, "arguments": msgspec.Raw(text.encode())}}


def _images(i: int, parts: Sequence[object]) -> list[str]:
    images = [part for part in parts if isinstance(part, ImagePart)]
    if any(image.url for image in images):
        where = f"messages[{i}].content"
        raise BadRequest(f"{where}: Ollama takes inline images only (a data: URL), no address", param=where)
    return [image.data for image in images]


def _tool(tool: Tool) -> JSON:
    function: JSON = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    # Templates walk over the properties and fail without any.
    schema = tool.schema if tool.schema.strip() not in (b"", b"{}", b"null") else b'{"type":"object","properties":{}}'
    function["parameters"] = msgspec.Raw(schema)
    return {"type": "function", "function": function}


def _format(wanted: ResponseFormat | None) -> object:
    if wanted is None or wanted.kind == "text":
        return None
    return msgspec.Raw(wanted.schema) if wanted.schema else "json"


def _options(asked: ChatRequest) -> JSON:
    given = asked.sampling
    values = {
        "num_predict": asked.max_output_tokens,
        "temperature": given.temperature,
        "top_p": given.top_p,
        "top_k": given.top_k,
        "min_p": given.min_p,
        "seed": given.seed,
        "stop": given.stop or None,
        "presence_penalty": given.presence_penalty,
        "frequency_penalty": given.frequency_penalty,
    }
    return {name: value for name, value in values.items() if value is not None}


def _arguments_text(arguments: msgspec.Raw) -> str:
    """Some models' parsers leave the arguments as text: not to be encoded twice."""
    value = bytes(arguments)
    if value[:1] == b'"':
        value = str(_json.decode(value)).encode()
    return "{}" if value.strip() in (b"", b"null") else value.decode()


def _cut() -> Truncated:
    return Truncated("the provider's reply ended before it was complete")


def _class(status: int, text: str) -> type[UpstreamError]:
    if status == 402:
        return OutOfCredit
    if status in (401, 403):
        return CredentialRefused
    if status == 404:
        return ModelGone
    if status == 429:
        return Throttled
    if status == 503:  # "server busy, please try again. maximum pending requests exceeded"
        return Overloaded
    if status >= 500:
        return BadUpstream
    return ContextTooLong if _TOO_LONG in text.lower() else Refused


def _in_reply(text: str) -> UpstreamError:
    gone = "not found" in text and "model" in text
    return ModelGone(text, upstream_status=404) if gone else BadUpstream(text, upstream_status=500)


def _said(body: bytes) -> str:
    try:
        return _text(_fault.decode(body).error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[: 4 * MAX_MESSAGE_CHARS].decode(errors="replace").strip()
        return "" if text.startswith(("<", "{", "[")) else text[:MAX_MESSAGE_CHARS]


def _text(error: object) -> str:
    """Ollama says {"error": "text"}; a server in its place may say {"error": {"message": "text"}}."""
    if isinstance(error, dict):
        error = error.get("message")
    return error.strip()[:MAX_MESSAGE_CHARS] if isinstance(error, str) else ""


DIALECT = Ollama()
