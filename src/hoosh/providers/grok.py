"""Grok (xAI): https://docs.x.ai/docs/api-reference (read 2026-11-23). Reasoning models refuse the penalties."""

from hoosh.dialects import Tongue, Ways, openai_responses
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="grok",
    title="Grok (xAI)",
    dialect=DIALECT,
    base_url="https://api.x.ai/v1",
    docs="https://docs.x.ai/docs/api-reference",
    aliases=("xai",),
    env=("XAI_API_KEY",),
    serves=("grok-*",),
    also=(Tongue(dialect=openai_responses.DIALECT),),
    ways=Ways(
        quirks=(
            quirks.for_models(r"grok-(3-mini|[4-9]|code)", quirks.drop("presence_penalty", "frequency_penalty")),
            quirks.in_messages(quirks.only_users_have_names, mark=b'"name"'),
        ),
    ),
)
