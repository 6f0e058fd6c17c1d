"""What a call used, in one reckoning for every provider."""

from typing import Literal

import msgspec

Source = Literal["reported", "estimated"]


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
