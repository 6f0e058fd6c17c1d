"""Mistral: https://docs.mistral.ai/api (read 2026-11-23)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="mistral",
    title="Mistral",
    dialect=DIALECT,
    base_url="https://api.mistral.ai/v1",
    docs="https://docs.mistral.ai/api",
    env=("MISTRAL_API_KEY",),
    serves=("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "open-mi*"),
    ways=Ways(stream_usage=False),
)
