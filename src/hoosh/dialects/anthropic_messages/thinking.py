"""How hard to think and how long to answer, in the words of each generation of Claude.

Sources, read 2026-11, below https://platform.claude.com/docs/en/: build-with-claude/{effort,extended-thinking,
adaptive-thinking}, about-claude/models/overview (the most output of each model).
"""

import re
from types import MappingProxyType
from typing import Any

import msgspec

from hoosh.core.asked import ChatRequest, Effort, Message, ReasoningPart, ToolCall

Generation = tuple[int, int]
JSON = dict[str, Any]

# Adaptive thinking and effort; before it, thinking needs a budget, which later models refuse.
_EFFORT_SINCE: Generation = (4, 6)
_BUDGET_SINCE: Generation = (3, 7)
# Thinks unless told not to.
_THINKS_SINCE: Generation = (5, 0)

# max_tokens is required and there is no "as much as possible": what every model since then takes.
_OUTPUT_TOKENS: tuple[tuple[Generation, int], ...] = (((3, 7), 32_000), ((3, 5), 8192))
_OLDEST_OUTPUT_TOKENS = 4096
# Thoughts count towards it: with less they could leave nothing for the answer.
_THINKING_TOKENS = 16_384
_BUDGETS: MappingProxyType[Effort, int] = MappingProxyType(
    {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576}
)
_LEAST_BUDGET = 1024

# claude-3-7-sonnet-20250219, claude-opus-4-1, claude-sonnet-4-20250514, anthropic.claude-fable-5-1, claude-2.1
_NAME = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


class Thinking(msgspec.Struct, frozen=True):
    """`fields` stand at the top of the body, `effort` in its output_config."""

    fields: JSON
    effort: str = ""
    max_tokens: int = _OLDEST_OUTPUT_TOKENS

    @property
    def on(self) -> bool:
        """Thinking pins the temperature."""
        return bool(self.effort) or self.fields.get("thinking", {}).get("type", "disabled") != "disabled"


def generation_of(model: str) -> Generation | None:
    """None for a name that is not Claude's: a server of this dialect with models of its own."""
    found = _NAME.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def thinking(asked: ChatRequest, generation: Generation | None) -> Thinking:
    most = asked.max_output_tokens or _most(generation)
    if asked.thinking_tokens == 0:
        return Thinking({"thinking": {"type": "disabled"}}, max_tokens=most)
    if asked.effort == "none":
        off = generation is not None and generation >= _THINKS_SINCE
        return Thinking({"thinking": {"type": "disabled"}} if off else {}, max_tokens=most)
    if asked.effort is None and not asked.thinking_tokens:
        return Thinking({}, max_tokens=most)
    if generation and generation < _EFFORT_SINCE:
        most = asked.max_output_tokens or most + (asked.thinking_tokens or 0)
        fields = {} if generation < _BUDGET_SINCE or _may_not_think(asked) else _budget(asked, most)
        return Thinking(fields, max_tokens=most)
    if generation is None and asked.thinking_tokens:
        most = asked.max_output_tokens or most + asked.thinking_tokens
        return Thinking(_budget(asked, most), _word(asked.effort, None), most)
    # Since 4.7 the text of a thought stays empty unless it is asked for.
    adaptive = {} if _is_forced(asked) else {"thinking": {"type": "adaptive", "display": "summarized"}}
    room = asked.max_output_tokens or max(most, _THINKING_TOKENS)
    return Thinking(adaptive, _word(asked.effort, generation), room)


def _most(generation: Generation | None) -> int:
    for since, tokens in _OUTPUT_TOKENS:
        if generation and generation >= since:
            return tokens
    return _OLDEST_OUTPUT_TOKENS


def _word(effort: Effort | None, generation: Generation | None) -> str:
    if effort == "minimal":
        return "low"
    # "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium." (Opus 4.6)
    return "high" if effort == "xhigh" and generation == _EFFORT_SINCE else effort or ""


def _budget(asked: ChatRequest, most: int) -> JSON:
    """Thoughts count towards max_tokens: where nobody counted them, half of it is left for the answer."""
    if asked.thinking_tokens:
        tokens = min(max(asked.thinking_tokens, _LEAST_BUDGET), most - 1)
    else:
        tokens = min(_BUDGETS.get(asked.effort or "none", 0), most // 2)
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}} if tokens >= _LEAST_BUDGET else {}


def _may_not_think(asked: ChatRequest) -> bool:
    return _is_forced(asked) or _lacks_proof(asked.messages)


def _is_forced(asked: ChatRequest) -> bool:
    """The API says so: "Thinking may not be enabled when tool_choice forces tool use."."""
    return asked.tool_choice is not None and asked.tool_choice.mode in ("required", "named")


def _lacks_proof(messages: tuple[Message, ...]) -> bool:
    """A turn whose calls are being answered must begin with its thoughts ("Expected `thinking` or `redacted_thinking`,
    but found `tool_use`"), and a client of another dialect may not have kept them.
    """
    for message in reversed(messages):
        if message.role == "assistant":
            called = any(isinstance(part, ToolCall) for part in message.parts)
            thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
            return called and not any(part.signature or part.redacted for part in thoughts)
        if message.role != "tool":
            return False
    return False
