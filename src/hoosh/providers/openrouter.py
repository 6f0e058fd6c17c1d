"""OpenRouter: https://openrouter.ai/docs/api-reference (read 2026-11-23)."""

from hoosh.dialects import Tongue, Ways, openai_completions, openai_embeddings, openai_responses, rerank
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="openrouter",
    title="OpenRouter",
    dialect=DIALECT,
    base_url="https://openrouter.ai/api/v1",
    docs="https://openrouter.ai/docs/api-reference",
    env=("OPENROUTER_API_KEY",),
    serves=("*/*",),
    also=tuple(
        Tongue(dialect=one)
        for one in (
            openai_responses.DIALECT,
            *openai_completions.BOTH,
            openai_embeddings.DIALECT,
            rerank.DIALECT,
        )
    ),
    ways=Ways(cache_marks=True),
)
