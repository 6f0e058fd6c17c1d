"""The canon as a body of this dialect. `parse(body(r)) == r` for all that the dialect can say; see request.LOSSES."""

from collections.abc import Iterator

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
from hoosh.dialects.openai_responses.tools import NAME, Names, unwrapped

# The gateway keeps what is to be kept; and thoughts come back only where the client brings them.
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_objects = msgspec.json.Decoder(dict[str, msgspec.Raw])
_strings = msgspec.json.Decoder(list[str])


def body(asked: ChatRequest, model: str) -> JSON:
    extra = {name: value for name, value in asked.extra if asked.dialect == NAME}
    instructions, messages = _instructions(asked.messages)
    fields: JSON = {"model": model}
    if instructions:
        fields["instructions"] = instructions
    fields["input"] = list(_Items(asked).of(messages))
    if tools := [*_tools(asked.tools), *_foreign_tools(asked)]:
        fields["tools"] = tools
    if asked.tool_choice:
        fields["tool_choice"] = _choice(asked.tool_choice, Names(asked.tools))
    sampling = asked.sampling
    values = {
        "parallel_tool_calls": asked.parallel_tools,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_logprobs": sampling.top_logprobs,
        "max_output_tokens": asked.max_output_tokens,
        "stream": asked.stream or None,
        "user": asked.user or None,
        "text": _text(asked, extra) or None,
        "reasoning": _reasoning(asked, extra) or None,
        "include": _include(asked, extra) or None,
        "store": False,
    }
    fields.update((name, value) for name, value in values.items() if value is not None)
    fields.update((name, msgspec.Raw(value)) for name, value in extra.items() if name not in fields)
    return fields


def _instructions(messages: tuple[Message, ...]) -> tuple[str, tuple[Message, ...]]:
    """The first message where it is plain text of the system's, and not all that there is: an input must be."""
    first = messages[0] if len(messages) > 1 else Message("user")
    if first.role == "system" and len(first.parts) == 1 and (text := first.text):
        return text, messages[1:]
    return "", messages


class _Items:
    def __init__(self, asked: ChatRequest) -> None:
        self._names = Names(asked.tools)
        self._custom: set[str] = set()  # ids of calls of custom tools

    def of(self, messages: tuple[Message, ...]) -> Iterator[object]:
        for message in messages:
            said: list[object] = []
            for part in message.parts:
                if isinstance(part, TextPart | ImagePart | FilePart):
                    said.append(_part(part, message.role))
                elif isinstance(part, ForeignPart):
                    if part.dialect != NAME:
                        continue
                    if message.role in ("assistant", "tool"):
                        yield from _told(message, said)
                        yield msgspec.Raw(part.json)
                    else:
                        said.append(msgspec.Raw(part.json))
                else:
                    yield from _told(message, said)
                    yield from self._item(part)
            yield from _told(message, said, even_empty=not message.parts)

    def _item(self, part: Part) -> Iterator[JSON]:
        match part:
            case ReasoningPart() if part.text or part.redacted:
                yield _reasoned(part)
            case ToolCall():
                yield self._call(part)
            case ToolResult():
                custom = part.call_id in self._custom
                kind = "custom_tool_call_output" if custom else "function_call_output"
                yield {"type": kind, "call_id": part.call_id, "output": _output(part)}

    def _call(self, call: ToolCall) -> JSON:
        called = self._names.of(call.name)
        fields: JSON = {"type": "function_call", "call_id": call.id, "name": called.name}
        if called.namespace:
            fields["namespace"] = called.namespace
        if called.custom:
            self._custom.add(call.id)
            return fields | {"type": "custom_tool_call", "input": unwrapped(call.arguments)}
        return fields | {"arguments": call.arguments}


def _told(message: Message, said: list[object], *, even_empty: bool = False) -> Iterator[JSON]:
    """What has been said so far, as one item; `said` begins anew."""
    if not said and (not even_empty or message.role in ("assistant", "tool")):
        return
    content: object = list(said)
    only = said[0] if len(said) == 1 else None
    if isinstance(only, dict) and only["type"] in ("input_text", "output_text") and only["text"]:
        content = only["text"]
    said.clear()
    yield {"role": message.role, "content": content or ""}


def _part(part: TextPart | ImagePart | FilePart, role: str) -> JSON:
    if isinstance(part, TextPart):
        if role == "assistant":
            return {"type": "output_text", "text": part.text, "annotations": []}
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ImagePart):
        url = part.url or f"data:{part.media_type};base64,{part.data}"
        return {"type": "input_image", "image_url": url} | ({"detail": part.detail} if part.detail else {})
    if part.media_type.startswith("audio/"):
        kind = part.media_type.removeprefix("audio/")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": kind}}
    inline = f"data:{part.media_type};base64,{part.data}" if part.media_type and part.data else part.data
    file = {"file_data": inline, "file_url": part.url, "file_id": part.file_id, "filename": part.name}
    return {"type": "input_file"} | {name: value for name, value in file.items() if value}


def _output(result: ToolResult) -> object:
    parts = result.parts
    if len(parts) == 1 and isinstance(parts[0], TextPart) and parts[0].text:
        return parts[0].text
    return [_part(part, "tool") for part in parts]


def _reasoned(part: ReasoningPart) -> JSON:
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    fields: JSON = {"type": "reasoning", "summary": summary}
    if part.id:
        fields["id"] = part.id
    if part.redacted:
        fields["encrypted_content"] = part.redacted
    return fields


def _tools(tools: tuple[Tool, ...]) -> Iterator[object]:
    """A namespace stands once for all its functions."""
    seen: set[bytes] = set()
    for tool in tools:
        if tool.native is None or tool.native.dialect != NAME:
            yield _function(tool)
        elif tool.native.json not in seen:
            seen.add(tool.native.json)
            yield msgspec.Raw(tool.native.json)


def _function(tool: Tool) -> JSON:
    fields: JSON = {"type": "function", "name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    fields["parameters"] = msgspec.Raw(tool.schema) if tool.schema else None
    # Without a word a provider takes it for true, and refuses schemas that a chat takes.
    fields["strict"] = tool.strict
    return fields


def _foreign_tools(asked: ChatRequest) -> list[object]:
    return [msgspec.Raw(tool.json) for tool in asked.foreign_tools if tool.dialect == NAME]


def _choice(choice: ToolChoice, names: Names) -> object:
    if choice.mode != "named":
        return choice.mode
    called = names.of(choice.name)
    fields: JSON = {"type": "custom" if called.custom else "function", "name": called.name}
    return fields | ({"namespace": called.namespace} if called.namespace else {})


def _text(asked: ChatRequest, extra: dict[str, bytes]) -> JSON:
    fields: JSON = dict(_objects.decode(extra["text"])) if "text" in extra else {}
    if asked.response_format:
        fields["format"] = _format(asked.response_format)
    if asked.verbosity:
        fields["verbosity"] = asked.verbosity
    return fields


def _format(wanted: ResponseFormat) -> JSON:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    fields: JSON = {"type": "json_schema", "name": wanted.name}
    if wanted.schema:
        fields["schema"] = msgspec.Raw(wanted.schema)
    if wanted.strict is not None:
        fields["strict"] = wanted.strict
    return fields


def _reasoning(asked: ChatRequest, extra: dict[str, bytes]) -> JSON:
    fields: JSON = {"effort": asked.effort} if asked.effort else {}
    return fields | (_objects.decode(extra["reasoning"]) if "reasoning" in extra else {})


def _include(asked: ChatRequest, extra: dict[str, bytes]) -> list[str]:
    """Models that do not think refuse to hand out their thoughts: it takes an effort to know that one does."""
    include = _strings.decode(extra["include"]) if "include" in extra else []
    if asked.dialect != NAME and asked.effort not in (None, "none"):
        include.append(_ENCRYPTED)
    if asked.sampling.logprobs:
        include.append(_LOGPROBS)
    return include
