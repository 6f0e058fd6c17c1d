"""Fireworks AI: https://docs.fireworks.ai/tools-sdks/openai-compatibility (as of 2026-11)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="fireworks",
    title="Fireworks AI",
    dialect=DIALECT,
    base_url="https://api.fireworks.ai/inference/v1",
    docs="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    env=("FIREWORKS_API_KEY",),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
