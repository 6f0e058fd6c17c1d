"""Requests: the canon as a Messages body, or a client's own body passed on with only the model's name changed.

Sources, read 2026-11, below https://platform.claude.com/docs/en/: api/messages, api/openai-sdk (system messages),
build-with-claude/{structured-outputs,effort,adaptive-thinking}, models/sonnet-5/migration-guide (sampling).
Structured outputs: `output_config.format`, generally available; the beta's top-level `output_format` is deprecated.
"""

import base64
import re
from typing import cast

import msgspec

from hoosh.core.asked import (
    ChatRequest,
    FilePart,
    ForeignPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCall,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.core.features import OWN_FIELDS, lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.anthropic_messages.thinking import Generation, Thinking, generation_of, thinking
from hoosh.dialects.anthropic_messages.words import NAME

PATH = "/v1/messages"
VERSION = (b"anthropic-version", b"2023-06-01")
HEADERS = ((b"content-type", b"application/json"), VERSION)

# What a request, or a reply, may say that this dialect has no word for.
LOSSES = frozenset(
    {
        "audio",
        "file.id",
        "image.detail",
        "message.name",
        "n",
        "reasoning.unsigned",
        "reply.choices",
        "reply.logprobs",
        "reply.media",
        "reply.refusal",
        "response_format.json_object",
        "response_format.name",
        "sampling.frequency_penalty",
        "sampling.logprobs",
        "sampling.min_p",
        "sampling.presence_penalty",
        "sampling.seed",
        "sampling.top_logprobs",
        "system.position",
        "tool_call.signature",
        "verbosity",
    }
)

# One more is a 400: "Too many strict tools (21). The maximum number of strict tools supported is 20."
MAX_STRICT_TOOLS = 20

# temperature and top_p exclude each other.
_ONE_SAMPLER_SINCE: Generation = (4, 5)
# "temperature is deprecated for this model", and so are top_p and top_k.
_NO_SAMPLING_SINCE: Generation = (4, 7)
_NOT_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_json = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def render(asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
    """Raises BadRequest naming the message or the tool that cannot be said."""
    generation = generation_of(model)
    thoughts = thinking(asked, generation)
    body = _body(asked, model, generation, thoughts)
    dropped = lost(asked, LOSSES | _unsaid(asked, body, thoughts), NAME)
    return msgspec.structs.replace(_request(body, ways), dropped=dropped)


def pass_on(asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
    """Values keep their bytes and their order: a prompt cache hit depends on both."""
    own = any(name in OWN_FIELDS for name, _ in asked.extra)
    if ways.quirks:
        fields: JSON = _json.decode(body)
    elif model == asked.model and not own:
        return WireRequest(path=PATH, body=body, headers=HEADERS)
    else:
        fields = _fields.decode(body)
    for name in OWN_FIELDS:
        fields.pop(name, None)
    fields["model"] = model
    return _request(fields, ways)


def _request(body: JSON, ways: Ways) -> WireRequest:
    for quirk in ways.quirks:
        quirk(body)
    return WireRequest(path=PATH, body=_encode(body), headers=HEADERS)


def _body(asked: ChatRequest, model: str, generation: Generation | None, thoughts: Thinking) -> JSON:
    system, turns = _conversation(asked.messages)
    body: JSON = {"model": model, "max_tokens": thoughts.max_tokens}
    if system:
        body["system"] = system
    body["messages"] = turns
    if asked.stream:
        body["stream"] = True
    foreign = [msgspec.Raw(tool.json) for tool in asked.foreign_tools if tool.dialect == NAME]
    if asked.tools or foreign:
        body["tools"] = [*_tools(asked.tools), *foreign]
        if (choice := _choice(asked)) is not None:
            body["tool_choice"] = choice
    body |= thoughts.fields
    if not thoughts.on:
        body |= _sampling(asked, generation)
    if output := _output(asked, thoughts.effort):
        body["output_config"] = output
    if stop := [text for text in asked.sampling.stop if text.strip()]:
        body["stop_sequences"] = stop
    if asked.user:
        body["metadata"] = {"user_id": asked.user}
    if asked.dialect == NAME:
        _add(body, asked.extra)
    return body


def _add(body: JSON, extra: tuple[tuple[str, bytes], ...]) -> None:
    """The client's own fields; of `output_config` the part that the canon has no word for."""
    for name, value in extra:
        if name == "output_config":
            body[name] = {**_fields.decode(value), **body.get(name, {})}
        elif name not in OWN_FIELDS:
            body.setdefault(name, msgspec.Raw(value))


def _unsaid(asked: ChatRequest, body: JSON, thoughts: Thinking) -> set[str]:
    """What this model takes no word of, or none beside what else is asked."""
    words = {f"sampling.{name}" for name in ("temperature", "top_p", "top_k") if name not in body}
    if not thoughts.on and asked.effort != "none":
        words |= {"effort", "effort.level"}
    if asked.thinking_tokens and "budget_tokens" not in thoughts.fields.get(
        "thinking", ()
    ):  # such a model measures for itself
        words.add("thinking_tokens")
    return words


def _sampling(asked: ChatRequest, generation: Generation | None) -> JSON:
    """Only without thinking, which pins the temperature."""
    given = asked.sampling
    if generation and generation >= _NO_SAMPLING_SINCE:
        return {}
    said: JSON = {}
    if given.temperature is not None:
        said["temperature"] = max(0.0, min(given.temperature, 1.0))
    if given.top_p is not None and not (said and generation and generation >= _ONE_SAMPLER_SINCE):
        said["top_p"] = given.top_p
    if given.top_k is not None:
        said["top_k"] = given.top_k
    return said


def _output(asked: ChatRequest, effort: str) -> JSON:
    output: JSON = {}
    if effort:
        output["effort"] = effort
    wanted = asked.response_format
    if wanted is not None and wanted.kind == "json_schema" and wanted.schema:
        output["format"] = {"type": "json_schema", "schema": msgspec.Raw(wanted.schema)}
    return output


def _tools(tools: tuple[Tool, ...]) -> list[JSON]:
    strict = sum(tool.strict is True for tool in tools) <= MAX_STRICT_TOOLS
    said = []
    for k, tool in enumerate(tools):
        spec: JSON = {"name": tool.name}
        if tool.description:
            spec["description"] = tool.description
        spec["input_schema"] = _schema(k, tool.schema)
        if tool.strict and strict:
            spec["strict"] = True
        said.append(_marked(spec, tool.cache))
    return said


def _schema(k: int, schema: bytes) -> JSON:
    try:
        # `true` is JSON Schema's word for anything at all.
        fields: JSON = dict(_fields.decode(schema)) if schema not in (b"", b"null", b"true") else {}
    except msgspec.DecodeError as error:
        where = f"tools[{k}].function.parameters"
        raise BadRequest(f"{where}: expected a JSON Schema, which is an object", param=where) from error
    fields["type"] = "object"  # "tools.0.custom.input_schema.type: Field required"
    return fields


def _choice(asked: ChatRequest) -> JSON | None:
    choice, parallel = asked.tool_choice, asked.parallel_tools
    if choice is None and parallel is not False:
        return None
    mode = choice.mode if choice else "auto"
    said: JSON = {"type": _CHOICES[mode]}
    if choice and mode == "named":
        said["name"] = choice.name
    if parallel is False and mode != "none":
        said["disable_parallel_tool_use"] = True
    return said


def _conversation(messages: tuple[Message, ...]) -> tuple[str | list[JSON], list[JSON]]:
    """System and developer messages, wherever they stand, are one text before the conversation, joined by a line
    break as Anthropic's own endpoint for OpenAI clients joins them, or blocks where one has a mark. A turn holds all
    that one side said in a row.
    """
    system: list[Message] = []
    turns: list[JSON] = []
    for i, message in enumerate(messages):
        if message.role in ("system", "developer"):
            if message.text.strip():
                system.append(message)
            continue
        blocks = [block for part in message.parts if (block := _block(i, part)) is not None]
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        # The answers to a turn's calls must open the next turn.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    if not turns and system:  # messages must not be empty: a lone system message is the question
        return "", [{"role": "user", "content": [{"type": "text", "text": _joined(system)}]}]
    parts = [part for message in system for part in message.parts if isinstance(part, TextPart) and part.text.strip()]
    if any(part.cache for part in parts):
        return [_marked({"type": "text", "text": part.text}, part.cache) for part in parts], turns
    return _joined(system), turns


def _joined(messages: list[Message]) -> str:
    return "\n".join(message.text for message in messages)


def _marked(block: JSON, cache: bytes) -> JSON:
    if cache:
        block["cache_control"] = msgspec.Raw(cache)
    return block


def _block(i: int, part: Part) -> JSON | None:
    """None for what the dialect cannot say; an empty text among it, which the API refuses."""
    match part:
        case TextPart(text=text):
            return _marked({"type": "text", "text": text}, part.cache) if text.strip() else None
        case ImagePart():
            return _marked({"type": "image", "source": _source(part)}, part.cache)
        case ReasoningPart():
            return _thought(part)
        case ToolCall():
            return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": _input(i, part.arguments)}
        case ToolResult():
            result: JSON = {"type": "tool_result", "tool_use_id": _id(part.call_id)}
            if content := [block for inner in part.parts if (block := _block(i, inner)) is not None]:
                result["content"] = content
            if part.is_error:
                result["is_error"] = True
            return _marked(result, part.cache)
        case FilePart():
            return _document(i, part)
        case ForeignPart(dialect=dialect):
            return cast("JSON", _json.decode(part.json)) if dialect == NAME else None


def _source(image: ImagePart) -> JSON:
    if image.url:
        return {"type": "url", "url": image.url}
    # Only the registered name is taken.
    media_type = "image/jpeg" if image.media_type == "image/jpg" else image.media_type
    return {"type": "base64", "media_type": media_type, "data": image.data}


def _thought(part: ReasoningPart) -> JSON | None:
    """Taken back only unchanged and with its proof."""
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _id(call_id: str) -> str:
    """An id that another provider made may hold what "^[a-zA-Z0-9_-]+$" does not allow."""
    return _NOT_IN_ID.sub("_", call_id)


def _input(i: int, arguments: str) -> msgspec.Raw:
    text = arguments.strip()
    if text in ("", "null"):
        return msgspec.Raw(b"{}")
    try:
        _fields.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        where = f"messages[{i}].tool_calls"
        raise BadRequest(f"{where}: the arguments of a call must be a JSON object", param=where) from error
    return msgspec.Raw(text.encode())


def _document(i: int, file: FilePart) -> JSON | None:
    """PDF and plain text are all that a document may be; None for the rest: sound, another vendor's id."""
    source: JSON
    if file.url:
        source = {"type": "url", "url": file.url}
    elif file.media_type == "application/pdf":
        source = {"type": "base64", "media_type": file.media_type, "data": file.data}
    elif file.media_type == "text/plain":
        source = {"type": "text", "media_type": file.media_type, "data": _plain(i, file.data)}
    else:
        return None
    document: JSON = {"type": "document", "source": source}
    if file.name:
        document["title"] = file.name
    return _marked(document, file.cache)


def _plain(i: int, data: str) -> str:
    try:
        return base64.b64decode(data).decode(errors="replace")
    except ValueError as error:
        where = f"messages[{i}].content"
        raise BadRequest(f"{where}: the data of a file must be base64", param=where) from error
