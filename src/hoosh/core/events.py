"""
Events: the only thing that flows from a provider to a client once a plan is made.

`index` is the choice (OpenAI's n > 1). `Raw` carries bytes of the client's own dialect that pass
through unchanged, beside the events that they mean. Each has its name as a tag, for those that are kept.
"""

from typing import Literal, TypeAlias

import msgspec

Source = Literal["reported", "estimated"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """
    Tokens of one attempt. `input` includes `cached` and `cache_write`; `output` includes `reasoning`.

    xAI and Gemini report reasoning apart from output, Anthropic reports cached apart from input: their
    dialects add them up, so that a sum over `input + output` never loses a token. `cache_write_1h` is a part of
    `cache_write`, `audio_input` of `input` and `audio_output` of `output`: they only matter for what they cost.
    """

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    source: Source = "reported"

    @property
    def total(self) -> int:
        return self.input + self.output


class Opened(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The provider named its reply. `model` is the provider's word for what answers."""

    id: str = ""
    model: str = ""


class Text(msgspec.Struct, frozen=True, tag=True, gc=False):
    text: str
    index: int = 0


class Refusal(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The model declined in words (OpenAI's `refusal`)."""

    text: str
    index: int = 0


class Reasoning(msgspec.Struct, frozen=True, tag=True, gc=False):
    """`signature` and `redacted` must come back unchanged on the next turn where a provider gave them."""

    text: str = ""
    signature: str = ""
    redacted: str = ""
    index: int = 0


class ToolDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
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


class Logprobs(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Of the tokens just said: JSON text of an array in OpenAI's form ({token, logprob, bytes, top_logprobs})."""

    content: bytes
    index: int = 0


class Citation(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A source of what was said. `start` and `end` count characters of the whole answer, 0 and 0 where not told."""

    url: str
    title: str = ""
    quote: str = ""
    start: int = 0
    end: int = 0
    index: int = 0


class Media(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A picture or a sound that the model made: `data` in base64, or an address."""

    media_type: str = ""
    data: str = ""
    url: str = ""
    index: int = 0


class Finish(msgspec.Struct, frozen=True, tag=True, gc=False):
    """`stop` is the stop sequence that ended the answer, where the provider tells it."""

    reason: FinishReason
    index: int = 0
    stop: str = ""


class Metered(msgspec.Struct, frozen=True, tag=True):
    """What the provider says was used so far. A later one replaces an earlier one."""

    usage: Usage


class Vector(msgspec.Struct, frozen=True, tag=True):
    """The embedding of the `index`-th input."""

    values: tuple[float, ...]
    index: int = 0


class Ranked(msgspec.Struct, frozen=True, tag=True):
    """How well the `index`-th document answers the query; best first."""

    score: float
    index: int = 0


class Judged(msgspec.Struct, frozen=True, tag=True):
    """A moderation of the `index`-th input. `scores` by category, in the provider's words."""

    flagged: bool
    flags: tuple[tuple[str, bool], ...] = ()
    scores: tuple[tuple[str, float], ...] = ()
    index: int = 0


class Counted(msgspec.Struct, frozen=True, tag=True):
    """How many input tokens a request would take."""

    tokens: int
    index: int = 0


Spoken: TypeAlias = Text | Refusal | Reasoning | ToolDelta | Logprobs | Citation | Media | Finish
Found: TypeAlias = Vector | Ranked | Judged | Counted
Meaning: TypeAlias = Opened | Spoken | Found | Metered


class Raw(msgspec.Struct, frozen=True, tag=True):
    data: bytes
    events: tuple[Meaning, ...] = ()


Event: TypeAlias = Meaning | Raw

CONTENT = frozenset((Text, Refusal, Reasoning, ToolDelta, Media, Finish, Vector, Ranked, Judged, Counted))


def has_content(event: Event) -> bool:
    """Does a client see the model's answer begin (or end) here? Until then a plan may still change its mind."""
    if type(event) is Raw:
        for inner in event.events:  # noqa: SIM110 - a generator costs more than the rest of this
            if type(inner) in CONTENT:
                return True
        return False
    return type(event) in CONTENT
