"""What a client with OpenAI's own SDK is told, in norm.py's words."""

import json
from typing import Any

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from hoosh.codecs.json import JSON
from wire_corpus import Folded

# What the SDK has an argument for; all else goes by `extra_body`.
_ARGUMENTS = frozenset(
    [
        "model",
        "messages",
        "stream",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "seed",
        "n",
        "logprobs",
        "top_logprobs",
        "stream_options",
        "reasoning_effort",
        "frequency_penalty",
        "presence_penalty",
        "user",
        "metadata",
        "store",
        "functions",
        "function_call",
        "logit_bias",
        "modalities",
        "audio",
        "prediction",
        "service_tier",
        "web_search_options",
        "verbosity",
    ]
)


def ask(client: openai.OpenAI, request: JSON) -> Folded:
    """Raises openai.APIError."""
    known = {name: value for name, value in request.items() if name in _ARGUMENTS}
    extra = {name: value for name, value in request.items() if name not in _ARGUMENTS}
    if not known.get("stream"):
        return _whole(client.chat.completions.create(**known, extra_body=extra))
    known["stream_options"] = {**(known.get("stream_options") or {}), "include_usage": True}
    told = _Stream()
    for chunk in client.chat.completions.create(**known, extra_body=extra):
        told.take(chunk)
    return told.folded()


def _whole(reply: ChatCompletion) -> Folded:
    choice = reply.choices[0]
    message = choice.message
    calls = [call for call in message.tool_calls or () if call.type == "function"]
    return {
        "text": message.content if isinstance(message.content, str) else "",
        "reasoning": _thought(message),
        "tools": [_call(call.id, call.function.name, call.function.arguments) for call in calls],
        "finish": choice.finish_reason,
        "usage": _usage(reply.usage),
        "usage_raw": _raw(reply.usage),
    }


class _Stream:
    def __init__(self) -> None:
        self._text = self._reasoning = ""
        self._finish: str | None = None
        self._usage: CompletionUsage | None = None
        self._calls: dict[int, dict[str, str]] = {}

    def take(self, chunk: ChatCompletionChunk) -> None:
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            if choice.index:
                continue
            delta = choice.delta
            self._text += delta.content if isinstance(delta.content, str) else ""
            self._reasoning += _thought(delta)
            self._finish = choice.finish_reason or self._finish
            for piece in delta.tool_calls or ():
                call = self._calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                call["id"] = piece.id or call["id"]
                if piece.function:
                    call["name"] = call["name"] or piece.function.name or ""
                    call["arguments"] += piece.function.arguments or ""

    def folded(self) -> Folded:
        calls = [call for _, call in sorted(self._calls.items())]
        return {
            "text": self._text,
            "reasoning": self._reasoning,
            "tools": [_call(call["id"], call["name"], call["arguments"]) for call in calls],
            "finish": self._finish,
            "usage": _usage(self._usage),
            "usage_raw": _raw(self._usage),
        }


def _thought(said: Any) -> str:
    """Fields that the SDK has no names for."""
    return getattr(said, "reasoning_content", None) or getattr(said, "reasoning", None) or ""


def _call(call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    try:
        read = json.loads(arguments)
    except ValueError:
        read = arguments
    return {"id": call_id, "name": name, "args": read}


def _usage(usage: CompletionUsage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    inputs, outputs = usage.prompt_tokens_details, usage.completion_tokens_details
    return {
        "in": usage.prompt_tokens,
        "out": usage.completion_tokens,
        "cached": (inputs.cached_tokens if inputs else 0) or 0,
        "reasoning": (outputs.reasoning_tokens if outputs else 0) or 0,
    }


def _raw(usage: CompletionUsage | None) -> dict[str, Any]:
    return usage.model_dump() if usage is not None else {}
