"""LM Studio: https://lmstudio.ai/docs/api/openai-api (read 2026-11-23)."""

from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="lmstudio",
    title="LM Studio",
    dialect=DIALECT,
    base_url="http://localhost:1234/v1",
    docs="https://lmstudio.ai/docs/api/openai-api",
    local=True,
    needs_key=False,
)
