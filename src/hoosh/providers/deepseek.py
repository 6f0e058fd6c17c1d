"""DeepSeek: https://api-docs.deepseek.com (read 2026-11-23)."""

from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="deepseek",
    title="DeepSeek",
    dialect=DIALECT,
    base_url="https://api.deepseek.com",
    docs="https://api-docs.deepseek.com",
    env=("DEEPSEEK_API_KEY",),
    serves=("deepseek-*",),
)
