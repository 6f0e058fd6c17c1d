"""Perplexity: https://docs.perplexity.ai/guides/chat-completions-guide (as of 2026-11)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="perplexity",
    title="Perplexity",
    dialect=DIALECT,
    base_url="https://api.perplexity.ai",
    docs="https://docs.perplexity.ai/guides/chat-completions-guide",
    env=("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
    serves=("sonar*",),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
