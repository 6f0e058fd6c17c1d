"""Hugging Face router: https://huggingface.co/docs/inference-providers (as of 2026-11)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="huggingface",
    title="Hugging Face router",
    dialect=DIALECT,
    base_url="https://router.huggingface.co/v1",
    docs="https://huggingface.co/docs/inference-providers",
    env=("HF_TOKEN",),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
