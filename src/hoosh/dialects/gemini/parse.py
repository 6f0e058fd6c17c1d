"""
A client's request: generateContent and countTokens bodies as the canon. The model's name stands in the path.

Source: https://ai.google.dev/api/generate-content, api/tokens and gemini-api/docs/{thinking,structured-output} there
(read 2026-11). What no other dialect has a word for (safetySettings, cachedContent, speechConfig, ...) is `extra`.
"""

import re
from types import MappingProxyType
from typing import cast

import msgspec

from hoosh.core.asked import ChatRequest, CountRequest, Effort, ForeignTool, ResponseFormat, Sampling, Tool, ToolChoice
from hoosh.core.errors import BadRequest
from hoosh.dialects.gemini.request import NAME
from hoosh.dialects.gemini.schema import json_schema
from hoosh.dialects.gemini.spelling import in_camel
from hoosh.dialects.gemini.turns import listed, messages, system
from hoosh.dialects.openai.bodies import checked_model, decode, wrong

# Agents send hundreds of turns; the bound only stops abuse.
MAX_CONTENTS = 10_000
_NULL = msgspec.Raw(b"null")
_NONE = (b"", b"null")


class _Calling(msgspec.Struct, rename="camel"):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class _ToolConfig(msgspec.Struct, rename="camel"):
    function_calling_config: _Calling | None = None


class _Thinking(msgspec.Struct, rename="camel"):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class _Generation(msgspec.Struct, rename="camel"):
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str | None = None
    response_schema: msgspec.Raw = _NULL
    response_json_schema: msgspec.Raw = _NULL
    thinking_config: _Thinking | None = None


class _Body(msgspec.Struct, rename="camel"):
    contents: msgspec.Raw = _NULL
    system_instruction: msgspec.Raw = _NULL
    tools: msgspec.Raw = _NULL
    tool_config: _ToolConfig | None = None
    generation_config: _Generation | None = None


class _Counting(msgspec.Struct, rename="camel"):
    contents: msgspec.Raw = _NULL
    generate_content_request: msgspec.Raw = _NULL


class _Declaration(msgspec.Struct, rename="camel"):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = _NULL
    parameters_json_schema: msgspec.Raw = _NULL


_MODES = MappingProxyType(
    {"AUTO": "auto", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto", "NONE": "none", "ANY": "required"}
)
_LEVELS = frozenset({"minimal", "low", "medium", "high"})
_BODY_NAMES = frozenset({"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "model"})
_GENERATION_NAMES = frozenset(field.encode_name for field in msgspec.structs.fields(_Generation))
_TOOL_CONFIG_NAMES = frozenset({"functionCallingConfig"})
# int64 may come as text.
_body = msgspec.json.Decoder(_Body, strict=False)
_counting = msgspec.json.Decoder(_Counting)
_declaration = msgspec.json.Decoder(_Declaration)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_TITLE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def generate(body: bytes, model: str, *, stream: bool) -> ChatRequest:
    """Raises BadRequest naming the field."""
    return _generate(in_camel(body), checked_model(model), stream=stream)


def count(body: bytes, model: str) -> CountRequest:
    """Either contents alone or a whole request. Raises BadRequest."""
    said = in_camel(body)
    asked, _ = decode(_counting, said)
    whole = bytes(asked.generate_content_request)
    return CountRequest(chat=_generate(said if whole.strip() in _NONE else whole, checked_model(model), stream=False))


def _generate(body: bytes, model: str, *, stream: bool) -> ChatRequest:
    asked, fields = decode(_body, body)
    contents = listed(asked.contents)
    if not contents:
        raise BadRequest("contents is required", param="contents")
    if len(contents) > MAX_CONTENTS:
        raise BadRequest(f"too many contents: {len(contents)} (max {MAX_CONTENTS})", param="contents")
    tools, foreign = _tools(listed(asked.tools))
    choice, tools = _choice(asked.tool_config, tools)
    config = asked.generation_config or _Generation()
    _check(config)
    thinking = config.thinking_config or _Thinking()
    return ChatRequest(
        model=model,
        messages=(*system(asked.system_instruction), *messages(contents)),
        tools=tools,
        foreign_tools=foreign,
        tool_choice=choice,
        response_format=_format(config),
        sampling=_sampling(config),
        max_output_tokens=config.max_output_tokens,
        n=config.candidate_count or 1,
        stream=stream,
        include_usage=stream,
        effort=_effort(thinking),
        thinking_tokens=_budget(thinking),
        dialect=NAME,
        extra=_extra(fields, config),
    )


def _check(config: _Generation) -> None:
    bounds = (("temperature", config.temperature, 2.0), ("topP", config.top_p, 1.0))
    for name, value, top in bounds:
        if value is not None and not 0.0 <= value <= top:
            where = f"generationConfig.{name}"
            raise BadRequest(f"{where} must be between 0.0 and {top}, got {value}", param=where)
    for name, number in (("maxOutputTokens", config.max_output_tokens), ("candidateCount", config.candidate_count)):
        if number is not None and number < 1:
            where = f"generationConfig.{name}"
            raise BadRequest(f"{where} must be greater than 0", param=where)


def _tools(said: list[msgspec.Raw]) -> tuple[tuple[Tool, ...], tuple[ForeignTool, ...]]:
    tools: list[Tool] = []
    foreign: list[ForeignTool] = []
    for i, raw in enumerate(said):
        try:
            fields = _fields.decode(raw)
        except msgspec.ValidationError as error:
            raise wrong(error, f"tools[{i}]") from error
        for name, value in fields.items():
            if bytes(value) == b"null":
                continue
            if name == "functionDeclarations":
                tools += [_tool(item, f"tools[{i}].{name}[{k}]") for k, item in enumerate(listed(value))]
            else:
                foreign.append(ForeignTool(NAME, name, _encode({name: value})))
    return tuple(tools), tuple(foreign)


def _tool(raw: msgspec.Raw, where: str) -> Tool:
    try:
        said = _declaration.decode(raw)
    except msgspec.ValidationError as error:
        raise wrong(error, where) from error
    schema = bytes(said.parameters_json_schema)
    return Tool(said.name, said.description or "", json_schema(said.parameters) if schema in _NONE else schema)


def _choice(config: _ToolConfig | None, tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """Only Gemini can name several functions of which one must be called: the others are not offered then."""
    calling = config.function_calling_config if config else None
    if calling is None or calling.mode is None:
        return None, tools
    mode = _MODES.get(calling.mode.upper())
    if mode is None:
        where = "toolConfig.functionCallingConfig.mode"
        raise BadRequest(f'{where}: unknown mode "{calling.mode[:64]}", use AUTO, ANY, NONE or VALIDATED', param=where)
    names = calling.allowed_function_names or []
    if mode == "required" and len(names) == 1:
        return ToolChoice("named", names[0]), tools
    if names:
        tools = tuple(tool for tool in tools if tool.name in names)
    return (ToolChoice("required") if mode == "required" else ToolChoice("none" if mode == "none" else "auto")), tools


def _format(config: _Generation) -> ResponseFormat | None:
    """`text/x.enum` is a bare word and no JSON: it stays with Gemini."""
    kind = config.response_mime_type
    if kind == "text/plain":
        return ResponseFormat("text")
    if kind != "application/json":
        return None
    schema = bytes(config.response_json_schema)
    if schema in _NONE:
        schema = json_schema(config.response_schema)
    return ResponseFormat("json_schema", _title(schema), schema) if schema else ResponseFormat("json_object")


def _title(schema: bytes) -> str:
    """Other dialects name a schema."""
    try:
        title = msgspec.json.decode(_fields.decode(schema).get("title", _NULL))
    except msgspec.ValidationError:
        return ""
    return title if isinstance(title, str) and _TITLE.fullmatch(title) else ""


def _sampling(config: _Generation) -> Sampling:
    return Sampling(
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        presence_penalty=config.presence_penalty,
        frequency_penalty=config.frequency_penalty,
        seed=config.seed,
        stop=tuple(config.stop_sequences or ()),
        logprobs=config.response_logprobs,
        top_logprobs=config.logprobs,
    )


def _effort(thinking: _Thinking) -> Effort | None:
    level = (thinking.thinking_level or "").lower()
    return cast("Effort", level) if level in _LEVELS else None


def _budget(thinking: _Thinking) -> int | None:
    """-1 leaves it to the model."""
    budget = thinking.thinking_budget
    return None if budget is None or budget < 0 else budget


def _extra(fields: dict[str, msgspec.Raw], config: _Generation) -> tuple[tuple[str, bytes], ...]:
    """Fields without a word in the canon, those of an inner message under its name."""
    extra = [(name, bytes(value)) for name, value in fields.items() if name not in _BODY_NAMES]
    inner = (("generationConfig", _GENERATION_NAMES), ("toolConfig", _TOOL_CONFIG_NAMES))
    for outer, known in inner:
        value = fields.get(outer, _NULL)
        if bytes(value) != b"null":
            extra += [(f"{outer}.{name}", bytes(v)) for name, v in _fields.decode(value).items() if name not in known]
    if config.response_mime_type not in (None, "text/plain", "application/json"):
        extra.append(("generationConfig.responseMimeType", _encode(config.response_mime_type)))
    if config.thinking_config and config.thinking_config.include_thoughts is False:
        extra.append(("generationConfig.thinkingConfig.includeThoughts", b"false"))
    return tuple(extra)
