"""Anthropic, read 2026-11."""

from hoosh.dialects import Tongue, anthropic_messages
from hoosh.providers import Provider
from hoosh.providers.auth import x_api_key

PROVIDER = Provider(
    name="anthropic",
    title="Anthropic",
    dialect=anthropic_messages.DIALECT,
    also=(Tongue(dialect=anthropic_messages.COUNT),),
    base_url="https://api.anthropic.com",
    docs="https://platform.claude.com/docs/en/api/messages",
    sign=x_api_key,
    env=("ANTHROPIC_API_KEY",),
    serves=("claude-*",),
)
