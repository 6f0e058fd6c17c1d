"""DeepInfra: https://deepinfra.com/docs/openai_api (as of 2026-11)."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="deepinfra",
    title="DeepInfra",
    dialect=DIALECT,
    base_url="https://api.deepinfra.com/v1/openai",
    docs="https://deepinfra.com/docs/openai_api",
    env=("DEEPINFRA_TOKEN", "DEEPINFRA_API_KEY"),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
