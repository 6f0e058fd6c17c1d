"""
Replies as compatible servers send them, put right for clients that know OpenAI's own. Seen or documented until 2026-11:
content and thoughts as lists of parts (Mistral, Cohere), arguments as an object, calls without their number, type or
id (Mistral, Gemini's compatible endpoint, old vLLM), flat calls, choices without a delta (Azure's content filter).

`put_right` runs only on payloads that the strict reading refused, `complete` only where calls lacked something.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hoosh.codecs.json import JSON
from hoosh.core.events import ToolDelta, Usage

_encode = msgspec.json.Encoder().encode
_TEXTS = ("text", "output_text")


class Found(msgspec.Struct):
    """The calls that one choice of a payload held, in order, and what its end adds to calls without arguments."""

    calls: list[ToolDelta] = []
    rest: list[ToolDelta] = []


_NOTHING = Found()


def put_right(payload: JSON) -> None:
    """Changes types, never drops words; what it does not know it leaves for the strict reading to refuse."""
    for name in ("id", "model"):
        _as_text(payload, name)
    if isinstance(payload.get("choices"), dict):
        payload["choices"] = [payload["choices"]]
    for choice in objects(payload.get("choices")):
        _as_number(choice, "index")
        _as_text(choice, "finish_reason")
        if not isinstance(choice.get("logprobs"), dict):
            choice["logprobs"] = None
        for form in ("delta", "message"):
            if isinstance(answer := choice.get(form), dict):
                _answer(answer)


def complete(payload: JSON, found: Mapping[int, Found], *, stream: bool) -> None:
    """Each call gets its id and type, in a stream its number; a call that ended without arguments gets "{}"."""
    form = "delta" if stream else "message"
    for place, choice in enumerate(objects(payload.get("choices"))):
        said = found.get(place, _NOTHING)
        answer = choice.get(form)
        if not isinstance(answer, dict):
            if not stream or isinstance(choice.get("message"), dict):
                continue
            answer = choice[form] = {}
        calls = objects(answer.get("tool_calls"))
        for call, meant in zip(calls, said.calls, strict=False):
            _complete(call, meant, stream=stream)
        here = {meant.call: call for call, meant in zip(calls, said.calls, strict=False)}
        for end in said.rest:
            if end.call not in here:
                calls.append({"index": end.call, "function": {"arguments": end.arguments}})
            elif isinstance(function := here[end.call].get("function"), dict):
                function["arguments"] = end.arguments
        if said.rest:
            answer["tool_calls"] = calls


def complete_usage(said: JSON, usage: Usage) -> JSON:
    """The provider's usage object, and in OpenAI's words what it says in others."""
    told = {**said, "prompt_tokens": usage.input, "completion_tokens": usage.output}
    for name, key, count in (
        ("prompt_tokens_details", "cached_tokens", usage.cached),
        ("completion_tokens_details", "reasoning_tokens", usage.reasoning),
    ):
        if count:
            told[name] = {**(said.get(name) or {}), key: count}
    return told


def objects(given: object) -> list[JSON]:
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def _complete(call: JSON, meant: ToolDelta, *, stream: bool) -> None:
    if stream:
        call["index"] = meant.call
    if meant.id:
        call["id"] = meant.id
        call["type"] = call.get("type") or "function"
        function = call.get("function")
        said = function if isinstance(function, dict) else {"name": meant.name}
        call["function"] = {**said, "arguments": meant.arguments}


def _answer(answer: JSON) -> None:
    content = answer.get("content")
    if isinstance(content, list | dict):
        parts = objects(content if isinstance(content, list) else [content])
        answer["content"] = "".join(_text(part) for part in parts if part.get("type", "text") in _TEXTS)
        for name, kind in (("reasoning_content", "thinking"), ("refusal", "refusal")):
            said = "".join(_text(part.get(kind)) for part in parts if part.get("type") == kind)
            if said and not answer.get(name):
                answer[name] = said
    for name in ("refusal", "reasoning", "reasoning_content"):
        if answer.get(name) is not None:
            answer[name] = _text(answer[name])
    if "reasoning_details" in answer:
        answer["reasoning_details"] = [_detail(one) for one in objects(answer["reasoning_details"])]
    calls = answer.get("tool_calls")
    if calls is not None:
        answer["tool_calls"] = list(_calls(calls))
    if isinstance(answer.get("function_call"), dict):
        _arguments(answer["function_call"])


def _detail(detail: JSON) -> JSON:
    for name in ("text", "summary", "signature", "data"):
        if detail.get(name) is not None:
            detail[name] = _text(detail[name])
    return detail


def _calls(calls: object) -> Iterator[JSON]:
    for call in objects(calls if isinstance(calls, list) else [calls]):
        _as_number(call, "index")
        _as_text(call, "id")
        _as_text(call, "type")
        function = call.get("function")
        if not isinstance(function, dict):
            function = call["function"] = {name: call.pop(name) for name in ("name", "arguments") if name in call}
        _arguments(function)
        if not isinstance(call.get("extra_content"), dict):
            call.pop("extra_content", None)
        yield call


def _arguments(function: JSON) -> None:
    _as_text(function, "name")
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        function["arguments"] = _encode(arguments).decode()


def _text(given: Any) -> str:
    """Text, or what holds it: a part, or a list of parts."""
    if isinstance(given, list):
        return "".join(_text(part) for part in given)
    if isinstance(given, dict):
        return _text(next((given[name] for name in ("text", "content", "summary") if given.get(name)), ""))
    return given if isinstance(given, str) else ""


def _as_text(holder: JSON, name: str) -> None:
    """A number is text; null where it is neither."""
    given = holder.get(name)
    if given is not None and not isinstance(given, str):
        holder[name] = str(given) if isinstance(given, int | float) and not isinstance(given, bool) else None


def _as_number(holder: JSON, name: str) -> None:
    given = holder.get(name)
    if given is None or type(given) is int:
        return
    whole = isinstance(given, float) and given.is_integer() and abs(given) < 1 << 31
    digits = isinstance(given, str) and given.isdecimal() and len(given) < 10
    holder[name] = int(given) if whole or digits else None
