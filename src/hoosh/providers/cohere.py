"""Cohere: https://docs.cohere.com/docs/compatibility-api (read 2026-11-25). `stream_options` is refused."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="cohere",
    title="Cohere",
    dialect=DIALECT,
    base_url="https://api.cohere.ai/compatibility/v1",
    docs="https://docs.cohere.com/docs/compatibility-api",
    env=("CO_API_KEY", "COHERE_API_KEY"),
    serves=("command-*",),
    ways=Ways(quirks=quirks.COMPATIBLE, stream_usage=False),
)
