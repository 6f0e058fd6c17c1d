"""Azure OpenAI: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (as of 2026-11).

Its v1 API at https://RESOURCE.openai.azure.com/openai/v1; `model` is a deployment's name.
"""

from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider
from hoosh.providers.auth import api_key

PROVIDER = Provider(
    name="azure",
    title="Azure OpenAI",
    dialect=DIALECT,
    base_url="",
    docs="https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
    sign=api_key,
    env=("AZURE_OPENAI_API_KEY",),
)
