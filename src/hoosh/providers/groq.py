"""Groq: https://console.groq.com/docs/openai (read 2026-11-23). The page lists what is answered with a 400."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, mends, quirks

PROVIDER = Provider(
    name="groq",
    title="Groq",
    dialect=DIALECT,
    base_url="https://api.groq.com/openai/v1",
    docs="https://console.groq.com/docs/openai",
    env=("GROQ_API_KEY",),
    ways=Ways(
        quirks=(
            quirks.drop("logprobs", "top_logprobs", "logit_bias"),
            quirks.in_messages(quirks.keeps_only("role", "content", "reasoning", "tool_calls", "tool_call_id")),
        ),
        mends=(mends.usage_on_top,),
    ),
)
