"""
Events: the only thing that flows from a provider to a client once a plan is made.

`index` is the choice (OpenAI's n > 1). `Raw` carries bytes of the client's own dialect that pass
through unchanged, beside the events that they mean.
"""

from typing import Literal, TypeAlias

import msgspec

from hoosh.core.usage import Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The provider named its reply. `model` is the provider's word for what answers."""

    id: str = ""
    model: str = ""


class Text(msgspec.Struct, frozen=True, gc=False):
    text: str
    index: int = 0


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The model declined in words (OpenAI's `refusal`)."""

    text: str
    index: int = 0


class Reasoning(msgspec.Struct, frozen=True, gc=False):
    """`signature` and `redacted` must come back unchanged on the next turn where a provider gave them."""

    text: str = ""
    signature: str = ""
    redacted: str = ""
    index: int = 0


class ToolDelta(msgspec.Struct, frozen=True, gc=False):
    """
    A piece of a tool call. `call` counts the calls of one choice from 0; `id` and `name` come with the first piece.

    `arguments` is a piece of JSON text; the pieces of one call add up to one JSON object, "{}" at least.
    """

    call: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str = ""
    index: int = 0


class Finish(msgspec.Struct, frozen=True, gc=False):
    reason: FinishReason
    index: int = 0


class Metered(msgspec.Struct, frozen=True):
    """What the provider says was used so far. A later one replaces an earlier one."""

    usage: Usage


Meaning: TypeAlias = Opened | Text | Refusal | Reasoning | ToolDelta | Finish | Metered


class Raw(msgspec.Struct, frozen=True):
    data: bytes
    events: tuple[Meaning, ...] = ()


Event: TypeAlias = Meaning | Raw

CONTENT = frozenset((Text, Refusal, Reasoning, ToolDelta, Finish))


def has_content(event: Event) -> bool:
    """Does a client see the model's answer begin (or end) here? Until then a plan may still change its mind."""
    if type(event) is Raw:
        for inner in event.events:  # noqa: SIM110 - a generator costs more than the rest of this
            if type(inner) in CONTENT:
                return True
        return False
    return type(event) in CONTENT
