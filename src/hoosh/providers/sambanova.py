"""SambaNova: https://docs.sambanova.ai/cloud/docs/capabilities/openai-compatibility (as of 2026-11)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="sambanova",
    title="SambaNova",
    dialect=DIALECT,
    base_url="https://api.sambanova.ai/v1",
    docs="https://docs.sambanova.ai/cloud/docs/capabilities/openai-compatibility",
    env=("SAMBANOVA_API_KEY",),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
