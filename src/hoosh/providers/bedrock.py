"""Amazon Bedrock: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html (as of 2026-11).

Its OpenAI endpoint at https://bedrock-runtime.REGION.amazonaws.com/openai/v1, with a Bedrock API key.
"""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="bedrock",
    title="Amazon Bedrock",
    dialect=DIALECT,
    base_url="",
    docs="https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html",
    env=("AWS_BEARER_TOKEN_BEDROCK",),
    ways=Ways(quirks=quirks.COMPATIBLE),
)
