"""Requests: parse a client's body, render the canon, or pass a body on with only the model's name changed."""

from typing import Any, cast, get_args

import msgspec

from hoosh.core.asked import ChatRequest, Effort, ResponseFormat, Sampling, Tool, ToolChoice
from hoosh.core.errors import BadRequest
from hoosh.core.features import OWN_FIELDS, lost
from hoosh.core.wire import WireRequest
from hoosh.dialects import JSON, Ways
from hoosh.dialects.openai import bodies
from hoosh.dialects.openai_responses import items, render, thoughts, tools
from hoosh.dialects.openai_responses.tools import NAME, Misplaced, Names

PATH = "/responses"
LOGPROBS = "message.output_text.logprobs"
# What a request may say that this dialect has no word for.
LOSSES = frozenset(
    {
        "cache",
        "message.name",
        "n",
        "reasoning.signature",
        "sampling.frequency_penalty",
        "sampling.min_p",
        "sampling.presence_penalty",
        "sampling.seed",
        "sampling.stop",
        "sampling.top_k",
        "thinking_tokens",
        "tool_call.signature",
        "tool_result.error",
    }
)


class _Format(msgspec.Struct):
    type: str = "text"
    name: str = ""
    schema: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None


class _NamedTool(msgspec.Struct):
    type: str
    name: str = ""
    namespace: str | None = None


class _Choice(_NamedTool):
    mode: str = "auto"
    tools: list[_NamedTool] = []


class _Body(msgspec.Struct):
    model: str | None = None
    input: str | list[msgspec.Raw] | None = None
    instructions: str | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    user: str | None = None
    # The gateway's to keep: see keep.py.
    store: bool | None = None
    previous_response_id: str | None = None
    background: bool | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
_EFFORTS = frozenset(get_args(Effort))
# Who holds what is asked about: the provider, of which these name a part.
_ELSEWHERE = ("prompt", "conversation")
_body = msgspec.json.Decoder(_Body)
_head = msgspec.json.Decoder(dict[str, Any])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(str | list[msgspec.Raw] | None)
_encode = msgspec.json.Encoder().encode


def parse(body: bytes) -> ChatRequest:
    """Raises BadRequest naming the field."""
    asked, fields = bodies.decode(_body, body)
    model = _check(asked, fields)
    try:
        declared, foreign = tools.read(asked.tools or ())
        messages = items.messages(asked.instructions, asked.input, Names(declared))
    except Misplaced as bad:
        raise bodies.wrong(bad.error, bad.where) from bad.error
    choice, allowed = _choice(asked.tool_choice, declared)
    reasoning, text = asked.reasoning or _Reasoning(), asked.text or _Text()
    effort = reasoning.effort if reasoning.effort in _EFFORTS else None
    return ChatRequest(
        model=model,
        messages=messages,
        tools=allowed,
        foreign_tools=foreign,
        tool_choice=choice,
        parallel_tools=asked.parallel_tool_calls,
        response_format=_format(text.format),
        sampling=Sampling(
            temperature=asked.temperature,
            top_p=asked.top_p,
            logprobs=True if LOGPROBS in (asked.include or ()) else None,
            top_logprobs=asked.top_logprobs,
        ),
        max_output_tokens=asked.max_output_tokens,
        stream=bool(asked.stream),
        effort=cast("Effort | None", effort),
        verbosity=text.verbosity or "",
        user=asked.user or "",
        dialect=NAME,
        extra=(*bodies.unknown(fields, _KNOWN), *_remainders(asked, fields, effort)),
    )


def _check(asked: _Body, fields: dict[str, msgspec.Raw]) -> str:
    """The model's name."""
    model = bodies.checked_model(asked.model)
    if not asked.input and not any(name in fields for name in _ELSEWHERE):
        raise BadRequest("input: expected a text or an array of items that is not empty", param="input")
    for name, value, top in (("temperature", asked.temperature, 2.0), ("top_p", asked.top_p, 1.0)):
        if value is not None and not 0.0 <= value <= top:
            raise BadRequest(f"{name} must be between 0.0 and {top}, got {value}", param=name)
    if asked.max_output_tokens is not None and asked.max_output_tokens < 1:
        raise BadRequest("max_output_tokens must be greater than 0", param="max_output_tokens")
    if asked.top_logprobs is not None and not 0 <= asked.top_logprobs <= 20:
        raise BadRequest("top_logprobs must be between 0 and 20", param="top_logprobs")
    return model


def _remainders(asked: _Body, fields: dict[str, msgspec.Raw], effort: str | None) -> list[tuple[str, bytes]]:
    """What is left of fields that the canon has words for a part of."""
    left: list[tuple[str, bytes]] = []
    for name, said in (("reasoning", {"effort"} if effort else set()), ("text", {"format", "verbosity"})):
        if getattr(asked, name) is not None:
            inner = _fields.decode(fields[name])
            if rest := {key: value for key, value in inner.items() if key not in said and value != b"null"}:
                left.append((name, _encode(rest)))
    if include := [what for what in asked.include or () if what != LOGPROBS]:
        left.append(("include", _encode(include)))
    return left


def _choice(choice: str | _Choice | None, declared: tuple[Tool, ...]) -> tuple[ToolChoice | None, tuple[Tool, ...]]:
    """Which tool must be called, and of which: `allowed_tools` is a shorter list of tools to all others."""
    if choice is None:
        return None, declared
    if isinstance(choice, str):
        if choice not in ("auto", "none", "required"):
            message = f'tool_choice: unknown choice "{choice[:64]}", use one of auto, none, required'
            raise BadRequest(message, param="tool_choice")
        return ToolChoice(cast("Any", choice)), declared
    names = Names(declared)
    if choice.type == "allowed_tools":
        allowed = {names.flat(tool.namespace or "", tool.name) for tool in choice.tools}
        mode = "required" if choice.mode == "required" else "auto"
        return ToolChoice(cast("Any", mode)), tuple(tool for tool in declared if tool.name in allowed)
    if choice.name:
        return ToolChoice("named", names.flat(choice.namespace or "", choice.name)), declared
    return ToolChoice("required"), declared  # one of the provider's own tools


def _format(wanted: _Format | None) -> ResponseFormat | None:
    if wanted is None or wanted.type not in ("text", "json_object", "json_schema"):
        return None
    schema = bytes(wanted.schema)
    return ResponseFormat(cast("Any", wanted.type), wanted.name, b"" if schema == b"null" else schema, wanted.strict)


def pass_on(asked: ChatRequest, body: bytes, model: str, ways: Ways) -> WireRequest:
    """Values keep their bytes and their order. What other vendors' models thought stays here: a provider would refuse
    the proof that comes with it. Raises BadRequest.
    """
    own = any(name in OWN_FIELDS for name, _ in asked.extra)
    thought = thoughts.MARK.encode() in body or thoughts.ID_MARK.encode() in body
    if model == asked.model and not own and not thought and not ways.quirks:
        return WireRequest(path=PATH, body=body, headers=(bodies.JSON_TYPE,))
    fields: JSON = {**_fields.decode(body), "model": model}
    left_out: tuple[str, ...] = ()
    if thought and "input" in fields and isinstance(given := _items.decode(fields["input"]), list):
        fields["input"] = [raw for raw in given if not _is_carried(raw)]
        left_out = ("reasoning",) if len(fields["input"]) < len(given) else ()
    return msgspec.structs.replace(bodies.request(PATH, fields, ways.quirks), dropped=left_out)


def _is_carried(raw: msgspec.Raw) -> bool:
    item = _head.decode(raw)
    if item.get("type") != "reasoning":
        return False
    ours = str(item.get("encrypted_content") or "").startswith(thoughts.MARK)
    return ours or str(item.get("id") or "").startswith(thoughts.ID_MARK)


def rendered(asked: ChatRequest, model: str, ways: Ways) -> WireRequest:
    """Raises BadRequest."""
    dropped = lost(asked, LOSSES, NAME)
    request = bodies.request(PATH, render.body(asked, model), ways.quirks)
    return msgspec.structs.replace(request, dropped=dropped)
