"""LM Studio: https://lmstudio.ai/docs/developer/openai-compat/chat-completions (read 2026-11-23)."""

from hoosh.dialects import Tongue, Ways, openai_completions, openai_embeddings
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, mends, quirks

PROVIDER = Provider(
    name="lmstudio",
    title="LM Studio",
    dialect=DIALECT,
    base_url="http://localhost:1234/v1",
    docs="https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
    local=True,
    needs_key=False,
    ways=Ways(quirks=(quirks.rename("max_completion_tokens", "max_tokens"),), mends=(mends.no_empty_calls,)),
    also=tuple(Tongue(dialect=one) for one in (*openai_completions.BOTH, openai_embeddings.DIALECT)),
)
