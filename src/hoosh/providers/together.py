"""Together AI: https://docs.together.ai/docs/openai-api-compatibility (as of 2026-11)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="together",
    title="Together AI",
    dialect=DIALECT,
    base_url="https://api.together.xyz/v1",
    docs="https://docs.together.ai/docs/openai-api-compatibility",
    env=("TOGETHER_API_KEY",),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
