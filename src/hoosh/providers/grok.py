"""Grok (xAI): https://docs.x.ai/docs/api-reference (read 2026-11-23)."""

from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="grok",
    title="Grok (xAI)",
    dialect=DIALECT,
    base_url="https://api.x.ai/v1",
    docs="https://docs.x.ai/docs/api-reference",
    aliases=("xai",),
    env=("XAI_API_KEY",),
    serves=("grok-*",),
)
