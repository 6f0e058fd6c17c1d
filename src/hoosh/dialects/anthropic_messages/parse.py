"""A client's Messages body as the canon.

Source: https://platform.claude.com/docs/en/api/messages and api/messages/count-tokens (read 2026-11). What only Claude
has (server tools and their results, files by id, betas) stays JSON text, so that nothing that a client may send to
Anthropic is refused here. Errors name the place as Anthropic does: "messages.0.content.1.text: ...".
"""

import base64
import re
from typing import Any, TypeVar, cast

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
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from hoosh.core.errors import BadRequest
from hoosh.dialects.anthropic_messages.words import CALL_PROOF, NAME
from hoosh.dialects.openai.once import check_once

_T = TypeVar("_T")

# Anthropic takes a hundred thousand; the bound only stops abuse.
MAX_MESSAGES = 100_000
MAX_MODEL_CHARS = 256
# Formats have no name here, and OpenAI wants one.
FORMAT_NAME = "answer"
_ABSENT = msgspec.Raw()


class _Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    source: _Source | None = None
    title: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = _ABSENT
    tool_use_id: str | None = None
    content: msgspec.Raw = _ABSENT
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: msgspec.Raw = _ABSENT


class _Tagged(msgspec.Struct):
    type: str


class _Message(msgspec.Struct):
    role: str
    content: str | list[msgspec.Raw]


class _Tool(msgspec.Struct):
    name: str
    description: str | None = None
    input_schema: msgspec.Raw = _ABSENT
    strict: bool | None = None
    cache_control: msgspec.Raw = _ABSENT


class _ToolKind(msgspec.Struct):
    type: str | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class _Format(msgspec.Struct):
    type: str
    schema: msgspec.Raw = _ABSENT


class _Output(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    max_tokens: int | None = None
    messages: list[_Message] | None = None
    system: str | list[msgspec.Raw] | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    output_format: _Format | None = None
    stop_sequences: list[str] | None = None
    metadata: _Metadata | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stream: bool | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
_BLOCKS = frozenset({"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"})
# "high" is what Claude does where nobody says a word (build-with-claude/effort, read 2026-11), and what Claude Code
# says to every model. Others answer 400 to it where a model does not think, so it stays a word of this dialect alone.
_EFFORTS: dict[str, Effort] = {"low": "low", "medium": "medium", "xhigh": "xhigh", "max": "xhigh"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}
_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_MISMATCH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")
_body = msgspec.json.Decoder(_Body)
_block = msgspec.json.Decoder(_Block)
_tagged = msgspec.json.Decoder(_Tagged)
_tool = msgspec.json.Decoder(_Tool)
_kind = msgspec.json.Decoder(_ToolKind)
_content: "msgspec.json.Decoder[str | list[msgspec.Raw] | None]" = msgspec.json.Decoder(str | list[msgspec.Raw] | None)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def parse(body: bytes) -> ChatRequest:
    """Raises BadRequest naming the field."""
    asked = _read(body)
    if asked.max_output_tokens is None:
        raise BadRequest("max_tokens: Field required", param="max_tokens")
    return asked


def parse_count(body: bytes) -> ChatRequest:
    """What is to be counted: a request that needs no `max_tokens`. Raises BadRequest naming the field."""
    return _read(body)


def _read(body: bytes) -> ChatRequest:
    try:
        body.decode()
        asked = _body.decode(body)
        fields = _fields.decode(body)
        check_once(body, fields)
        return _request(asked, fields)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the request body is not valid UTF-8 (byte {error.start})", param="body") from error
    except msgspec.ValidationError as error:
        raise _wrong(error) from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"the request body is not valid JSON: {error}", param="body") from error
    except RecursionError as error:
        raise BadRequest("the request body is nested too deep", param="body") from error


def _request(asked: _Body, fields: dict[str, msgspec.Raw]) -> ChatRequest:
    _check(asked)
    tools = [_read_tool(k, raw) for k, raw in enumerate(asked.tools or ())]
    output, choice = asked.output_config or _Output(), asked.tool_choice
    return ChatRequest(
        model=asked.model or "",
        messages=(*_system(asked.system), *_messages(asked.messages or [])),
        tools=tuple(tool for tool in tools if isinstance(tool, Tool)),
        foreign_tools=tuple(tool for tool in tools if isinstance(tool, ForeignTool)),
        tool_choice=_choice(choice),
        parallel_tools=None if choice is None or not choice.disable_parallel_tool_use else False,
        response_format=_format(output.format or asked.output_format),
        sampling=Sampling(
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=asked.top_k,
            stop=tuple(asked.stop_sequences or ()),
        ),
        max_output_tokens=asked.max_tokens,
        stream=bool(asked.stream),
        effort=_EFFORTS.get(output.effort or ""),
        thinking_tokens=_thinking_tokens(asked.thinking),
        user=(asked.metadata.user_id if asked.metadata else None) or "",
        dialect=NAME,
        extra=tuple(_extra(asked, fields)),
    )


def _check(asked: _Body) -> None:
    if not asked.model:
        raise BadRequest("model: Field required", param="model")
    if len(asked.model) > MAX_MODEL_CHARS or not asked.model.isprintable() or set(asked.model) & {"\\", '"'}:
        raise BadRequest("model: this cannot be the name of a model", param="model")
    if asked.messages is None:
        raise BadRequest("messages: Field required", param="messages")
    if not asked.messages:
        raise BadRequest("messages: at least one message is required", param="messages")
    if len(asked.messages) > MAX_MESSAGES:
        raise BadRequest(f"messages: more than {MAX_MESSAGES} messages", param="messages")
    if asked.max_tokens is not None and asked.max_tokens < 1:
        raise BadRequest("max_tokens: must be greater than or equal to 1", param="max_tokens")
    for name, value in (("temperature", asked.temperature), ("top_p", asked.top_p)):
        if value is not None and not 0.0 <= value <= 1.0:
            raise BadRequest(f"{name}: must be between 0 and 1, got {value}", param=name)
    thinking = asked.thinking
    if thinking is not None and thinking.type == "enabled" and thinking.budget_tokens is None:
        raise BadRequest("thinking.enabled.budget_tokens: Field required", param="thinking.budget_tokens")


def _wrong(error: msgspec.ValidationError, where: str = "") -> BadRequest:
    """Msgspec says "Expected `str`, got `int` - at `$.messages[0].role`"; `where` is the place that it calls $."""
    what, _, path = str(error).partition(" - at `$")
    place = (where + _INDEX.sub(r".\1", path.rstrip("`"))).removeprefix(".")
    if missing := _MISSING.fullmatch(what):
        place = f"{place}.{missing[1]}".removeprefix(".")
        return BadRequest(f"{place}: Field required", param=place)
    if mismatch := _MISMATCH.fullmatch(what):
        wanted = [_WORDS.get(word, word) for word in mismatch[1].split(" | ") if word != "null"]
        what = f"expected {' or '.join(wanted)}, got {_WORDS.get(mismatch[2], mismatch[2])}"
    place = place or "body"
    return BadRequest(f"{place}: {what[:1].lower()}{what[1:]}", param=place)


def _extra(asked: _Body, fields: dict[str, msgspec.Raw]) -> list[tuple[str, bytes]]:
    """What the canon has no word for; of `output_config` what is left of it, of `thinking` that Claude decides."""
    extra = [(name, bytes(value)) for name, value in fields.items() if name not in _KNOWN]
    output = asked.output_config or _Output()
    if asked.output_config is not None:
        said = ("format", "effort") if output.effort in (None, *_EFFORTS) else ("format",)
        given = _fields.decode(fields["output_config"])
        if rest := {name: value for name, value in given.items() if name not in said}:
            extra.append(("output_config", _encode(rest)))
    thinking = asked.thinking.type if asked.thinking else "disabled"
    if thinking not in ("enabled", "disabled") and output.effort not in _EFFORTS:
        extra.append(("thinking", bytes(fields["thinking"])))
    return extra


def _system(system: str | list[msgspec.Raw] | None) -> tuple[Message, ...]:
    if not system:
        return ()
    if isinstance(system, str):
        return (Message("system", (TextPart(system),)),)
    return (Message("system", tuple(_read_block(raw, f"system.{k}") for k, raw in enumerate(system))),)


def _messages(messages: list[_Message]) -> list[Message]:
    """The answers to calls stand in a user's turn, before what the user says; in the canon each is a message."""
    read: list[Message] = []
    for i, message in enumerate(messages):
        if message.role not in ("user", "assistant", "system"):
            where = f"messages.{i}.role"
            raise BadRequest(f'{where}: expected "user" or "assistant", got "{message.role[:64]}"', param=where)
        parts = _parts(message.content, f"messages.{i}.content")
        if message.role == "assistant":
            read.append(Message("assistant", _with_proofs(parts)))
            continue
        results = [part for part in parts if isinstance(part, ToolResult)]
        said = tuple(part for part in parts if not isinstance(part, ToolResult))
        read += [Message("tool", (result,)) for result in results]
        if said or not results:
            read.append(Message("system" if message.role == "system" else "user", said))
    return read


def _parts(content: str | list[msgspec.Raw], where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    return tuple(_read_block(raw, f"{where}.{k}") for k, raw in enumerate(content))


def _with_proofs(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """A proof that travelled in a block of its own belongs to the call after it."""
    joined: list[Part] = []
    proof = ""
    for part in parts:
        if isinstance(part, ReasoningPart) and part.redacted.startswith(CALL_PROOF):
            proof = part.redacted.removeprefix(CALL_PROOF)
        elif isinstance(part, ToolCall) and proof:
            joined.append(ToolCall(part.id, part.name, part.arguments, proof))
            proof = ""
        else:
            joined.append(part)
    return tuple(joined)


def _read_block(raw: msgspec.Raw, where: str) -> Part:
    kind = _decoded(_tagged, raw, where).type
    if kind not in _BLOCKS:
        return ForeignPart(NAME, kind, bytes(raw))
    block = _decoded(_block, raw, where)
    cache = _text(block.cache_control)
    match kind:
        case "text":
            return TextPart(_required(block.text, where, "text"), cache)
        case "image" | "document":
            return _file(block, where, cache) or ForeignPart(NAME, kind, bytes(raw))
        case "thinking":
            return ReasoningPart(_required(block.thinking, where, "thinking"), block.signature or "")
        case "redacted_thinking":
            return ReasoningPart(redacted=_required(block.data, where, "data"))
        case "tool_use":
            return _call(block, where)
    return _result(block, where, cache)


def _file(block: _Block, where: str, cache: bytes) -> ImagePart | FilePart | None:
    """None for a source that means something to Anthropic alone: a file's id, blocks of its own."""
    source = block.source
    if source is None:
        raise BadRequest(f"{where}.source: Field required", param=f"{where}.source")
    name, image = block.title or "", block.type == "image"
    match source.type:
        case "base64" if image:
            return ImagePart(data=source.data, media_type=source.media_type, cache=cache)
        case "url" if image:
            return ImagePart(url=source.url, cache=cache)
        case "base64":
            return FilePart(media_type=source.media_type, data=source.data, name=name, cache=cache)
        case "text":
            data = base64.b64encode(source.data.encode()).decode()
            return FilePart(media_type=source.media_type or "text/plain", data=data, name=name, cache=cache)
        case "url":
            return FilePart(url=source.url, name=name, cache=cache)
    return None


def _call(block: _Block, where: str) -> ToolCall:
    name, given = _required(block.name, where, "name"), bytes(block.input)
    if given and not given.startswith(b"{"):
        raise BadRequest(f"{where}.input: expected an object", param=f"{where}.input")
    return ToolCall(_required(block.id, where, "id"), name, given.decode())


def _result(block: _Block, where: str, cache: bytes) -> ToolResult:
    call_id = _required(block.tool_use_id, where, "tool_use_id")
    given = _decoded(_content, block.content, f"{where}.content") if bytes(block.content) else None
    parts = tuple(_shown(part) for part in _parts(given or "", f"{where}.content"))
    return ToolResult(call_id, parts, is_error=bool(block.is_error), cache=cache)


def _shown(part: Part) -> TextPart | ImagePart | FilePart:
    """A block of Claude's own within a result (a search result, say) is shown to the model as the JSON that it is."""
    if isinstance(part, TextPart | ImagePart | FilePart):
        return part
    return TextPart(part.json.decode() if isinstance(part, ForeignPart) else "")


def _required(value: str | None, where: str, name: str) -> str:
    if value is None:
        raise BadRequest(f"{where}.{name}: Field required", param=f"{where}.{name}")
    return value


def _decoded(decoder: "msgspec.json.Decoder[_T]", raw: msgspec.Raw, where: str) -> _T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _wrong(error, where) from error


def _read_tool(k: int, raw: msgspec.Raw) -> Tool | ForeignTool:
    kind = _decoded(_kind, raw, f"tools.{k}").type
    if kind not in (None, "custom"):
        return ForeignTool(NAME, kind or "", bytes(raw))
    tool = _decoded(_tool, raw, f"tools.{k}")
    schema = _text(tool.input_schema)
    if schema and not schema.startswith(b"{"):
        where = f"tools.{k}.input_schema"
        raise BadRequest(f"{where}: expected a JSON Schema, which is an object", param=where)
    return Tool(tool.name, tool.description or "", schema, tool.strict, _text(tool.cache_control))


def _text(raw: msgspec.Raw) -> bytes:
    text = bytes(raw)
    return b"" if text == b"null" else text


def _choice(choice: _Choice | None) -> ToolChoice | None:
    if choice is None:
        return None
    if choice.type not in _CHOICES:
        where = "tool_choice.type"
        raise BadRequest(f'{where}: expected one of {", ".join(_CHOICES)}, got "{choice.type[:64]}"', param=where)
    if choice.type == "tool":
        return ToolChoice("named", _required(choice.name, "tool_choice", "name"))
    return ToolChoice(cast("Any", _CHOICES[choice.type]))


def _format(wanted: _Format | None) -> ResponseFormat | None:
    if wanted is None or wanted.type != "json_schema":
        return None
    return ResponseFormat("json_schema", FORMAT_NAME, _text(wanted.schema))


def _thinking_tokens(thinking: _Thinking | None) -> int | None:
    """Adaptive thinking is the model's own decision, as it is where nobody says a word."""
    if thinking is None:
        return None
    return {"enabled": thinking.budget_tokens, "disabled": 0}.get(thinking.type)
