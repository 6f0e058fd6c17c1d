"""Groq: https://console.groq.com/docs/openai (read 2026-11-23)."""

from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="groq",
    title="Groq",
    dialect=DIALECT,
    base_url="https://api.groq.com/openai/v1",
    docs="https://console.groq.com/docs/openai",
    env=("GROQ_API_KEY",),
)
