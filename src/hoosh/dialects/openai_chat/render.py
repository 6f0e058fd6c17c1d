"""The canon as an OpenAI body. `parse(body(r)) == r` for all that the dialect can say; see LOSSES."""

import hashlib
from types import MappingProxyType

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.asked import (
    ChatRequest,
    FilePart,
    ForeignPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

NAME = "openai_chat"
# "Invalid 'user': string too long. Expected a string with maximum length 64"; Claude Code's is twice as long.
MAX_USER_CHARS = 64
# OpenAI's words for what media types call otherwise.
_AUDIO = MappingProxyType({"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"})


def body(asked: ChatRequest, model: str) -> JSON:
    fields: JSON = {
        "model": model,
        "messages": [written for message in asked.messages for written in _messages(message)],
    }
    if tools := [*map(_tool, asked.tools), *_foreign_tools(asked)]:
        fields["tools"] = tools
    if asked.tool_choice:
        fields["tool_choice"] = _choice(asked.tool_choice)
    if asked.response_format:
        fields["response_format"] = _format(asked.response_format)
    sampling = asked.sampling
    values = {
        "parallel_tool_calls": asked.parallel_tools,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "max_completion_tokens": asked.max_output_tokens,
        "n": None if asked.n == 1 else asked.n,
        "stream": asked.stream or None,
        "stream_options": {"include_usage": True} if asked.stream and asked.include_usage else None,
        "reasoning_effort": asked.effort,
        "verbosity": asked.verbosity or None,
        "user": _user(asked.user),
    }
    fields.update((name, value) for name, value in values.items() if value is not None)
    if asked.dialect == NAME:
        fields.update((name, msgspec.Raw(value)) for name, value in asked.extra)
    return fields


def without_marks(asked: ChatRequest) -> ChatRequest:
    """The same without marks of what is worth caching, which a provider with a closed list of fields refuses."""
    messages = tuple(
        msgspec.structs.replace(message, parts=tuple(map(_without_mark, message.parts))) for message in asked.messages
    )
    tools = tuple(msgspec.structs.replace(tool, cache=b"") for tool in asked.tools)
    return msgspec.structs.replace(asked, messages=messages, tools=tools)


def _without_mark(part: Part) -> Part:
    match part:
        case TextPart() | ImagePart() | FilePart():
            return msgspec.structs.replace(part, cache=b"")
        case ToolResult(parts=parts):
            return msgspec.structs.replace(part, cache=b"", parts=tuple(map(_without_mark, parts)))
    return part


def _user(given: str) -> str | None:
    """The same user keeps the same name."""
    return (given if len(given) <= MAX_USER_CHARS else hashlib.sha256(given.encode()).hexdigest()) or None


def _foreign_tools(asked: ChatRequest) -> list[object]:
    return [msgspec.Raw(tool.json) for tool in asked.foreign_tools if tool.dialect == NAME]


def _messages(message: Message) -> list[JSON]:
    """One canonical message; tool results are messages of their own in this dialect."""
    written = [_result(part) for part in message.parts if isinstance(part, ToolResult)]
    if message.role == "tool":
        return written
    fields: JSON = {"role": message.role, "content": _content(message)}
    if message.name:
        fields["name"] = message.name
    if calls := [_call(part) for part in message.parts if isinstance(part, ToolCall)]:
        fields["tool_calls"] = calls
    thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
    if any(thought.signature or thought.redacted for thought in thoughts):
        fields["reasoning_details"] = [
            detail(thought.text, thought.signature, thought.redacted) for thought in thoughts
        ]
    elif thoughts:
        fields["reasoning_content"] = "".join(thought.text for thought in thoughts)
    return [*written, fields]


def _content(message: Message) -> str | list[object] | None:
    parts = [
        part
        for part in message.parts
        if isinstance(part, TextPart | ImagePart | FilePart) or (isinstance(part, ForeignPart) and part.dialect == NAME)
    ]
    if not parts:
        return None if message.role == "assistant" else ""
    if len(parts) == 1 and isinstance(parts[0], TextPart) and not parts[0].cache:
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: TextPart | ImagePart | FilePart | ForeignPart) -> object:
    if isinstance(part, ForeignPart):
        return msgspec.Raw(part.json)
    said = _file(part) if isinstance(part, FilePart) else _shown(part)
    if part.cache:
        said["cache_control"] = msgspec.Raw(part.cache)
    return said


def _shown(part: TextPart | ImagePart) -> JSON:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    return {"type": "image_url", "image_url": {"url": url, "detail": part.detail} if part.detail else {"url": url}}


def _file(part: FilePart) -> JSON:
    if part.media_type.startswith("audio/"):
        kind = part.media_type.removeprefix("audio/")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": _AUDIO.get(kind, kind)}}
    inline = f"data:{part.media_type};base64,{part.data}" if part.media_type and part.data else part.data
    file = {"file_data": part.url or inline, "file_id": part.file_id, "filename": part.name}
    return {"type": "file", "file": {name: value for name, value in file.items() if value}}


def _result(result: ToolResult) -> JSON:
    parts = result.parts
    plain = len(parts) == 1 and isinstance(parts[0], TextPart) and not parts[0].cache
    content: object = parts[0].text if plain and isinstance(parts[0], TextPart) else [_part(part) for part in parts]
    fields: JSON = {"role": "tool", "tool_call_id": result.call_id, "content": content if parts else ""}
    if result.name:
        fields["name"] = result.name
    return fields


def _call(call: ToolCall) -> JSON:
    fields: JSON = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if call.signature:
        fields["extra_content"] = {"google": {"thought_signature": call.signature}}
    return fields


def detail(text: str, signature: str, redacted: str) -> JSON:
    """One entry of `reasoning_details`, the form in which OpenRouter carries thoughts and their proofs."""
    if redacted:
        return {"type": "reasoning.encrypted", "data": redacted}
    fields: JSON = {"type": "reasoning.text", "text": text}
    if signature:
        fields["signature"] = signature
    return fields


def _tool(tool: Tool) -> JSON:
    function: JSON = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.schema:
        function["parameters"] = msgspec.Raw(tool.schema)
    if tool.strict is not None:
        function["strict"] = tool.strict
    said: JSON = {"type": "function", "function": function}
    if tool.cache:
        said["cache_control"] = msgspec.Raw(tool.cache)
    return said


def _choice(choice: ToolChoice) -> object:
    return {"type": "function", "function": {"name": choice.name}} if choice.mode == "named" else choice.mode


def _format(wanted: ResponseFormat) -> JSON:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema: JSON = {"name": wanted.name or "response"}  # OpenAI insists on a name, others have none
    if wanted.schema:
        schema["schema"] = msgspec.Raw(wanted.schema)
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
