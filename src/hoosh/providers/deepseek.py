"""DeepSeek: https://api-docs.deepseek.com/api/create-chat-completion (read 2026-11-23)."""

from hoosh.dialects import Tongue, Ways, openai_completions, openai_responses
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="deepseek",
    title="DeepSeek",
    dialect=DIALECT,
    base_url="https://api.deepseek.com",
    docs="https://api-docs.deepseek.com/api/create-chat-completion",
    env=("DEEPSEEK_API_KEY",),
    serves=("deepseek-*",),
    ways=Ways(quirks=quirks.COMPATIBLE),
    also=(
        Tongue(dialect=openai_responses.DIALECT),
        *(Tongue(dialect=one, root="/beta") for one in openai_completions.BOTH),
    ),
)
