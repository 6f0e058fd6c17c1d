"""vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html (read 2026-11-23)."""

from hoosh.dialects import Tongue, openai_completions, openai_embeddings, rerank
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="vllm",
    title="vLLM",
    dialect=DIALECT,
    base_url="http://localhost:8000/v1",
    docs="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    local=True,
    needs_key=False,
    also=tuple(Tongue(dialect=one) for one in (*openai_completions.BOTH, openai_embeddings.DIALECT, rerank.DIALECT)),
)
