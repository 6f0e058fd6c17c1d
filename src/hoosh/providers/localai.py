"""LocalAI: https://localai.io/features/text-generation (read 2026-11-23)."""

from hoosh.dialects import Tongue, Ways, openai_completions, openai_embeddings, rerank
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="localai",
    title="LocalAI",
    dialect=DIALECT,
    base_url="http://localhost:8080/v1",
    docs="https://localai.io/features/text-generation",
    local=True,
    needs_key=False,
    ways=Ways(quirks=(quirks.rename("max_completion_tokens", "max_tokens"),)),
    also=tuple(Tongue(dialect=one) for one in (*openai_completions.BOTH, openai_embeddings.DIALECT, rerank.DIALECT)),
)
