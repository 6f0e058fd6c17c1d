"""Cerebras: https://inference-docs.cerebras.ai/resources/openai (as of 2026-11). It answers 400 to what is dropped."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="cerebras",
    title="Cerebras",
    dialect=DIALECT,
    base_url="https://api.cerebras.ai/v1",
    docs="https://inference-docs.cerebras.ai/resources/openai",
    env=("CEREBRAS_API_KEY",),
    ways=Ways(
        quirks=(
            quirks.drop("frequency_penalty", "presence_penalty", "logit_bias", "service_tier"),
            *quirks.COMPATIBLE,
        )
    ),
)
