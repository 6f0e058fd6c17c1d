"""NVIDIA NIM: https://docs.api.nvidia.com/nim/reference/llm-apis (as of 2026-11)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="nvidia",
    title="NVIDIA NIM",
    dialect=DIALECT,
    base_url="https://integrate.api.nvidia.com/v1",
    docs="https://docs.api.nvidia.com/nim/reference/llm-apis",
    env=("NVIDIA_API_KEY",),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
