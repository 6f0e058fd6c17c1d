"""Mistral: https://docs.mistral.ai/api (read 2026-11-23). A field that it does not know is refused with a 422."""

from hoosh.dialects import Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, mends, quirks

_FOREIGN = (
    *("stream_options", "user", "safety_identifier", "logprobs", "top_logprobs", "logit_bias", "top_k", "min_p"),
    *("store", "service_tier", "modalities", "audio", "verbosity", "web_search_options", "functions", "function_call"),
)
PROVIDER = Provider(
    name="mistral",
    title="Mistral",
    dialect=DIALECT,
    base_url="https://api.mistral.ai/v1",
    docs="https://docs.mistral.ai/api",
    env=("MISTRAL_API_KEY",),
    serves=("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "open-mi*tral-*"),
    ways=Ways(
        stream_usage=False,
        quirks=(
            quirks.rename("seed", "random_seed"),
            quirks.rename("max_completion_tokens", "max_tokens"),
            quirks.say("tool_choice", {"required": "any"}),
            quirks.drop(*_FOREIGN),
            quirks.in_messages(
                quirks.developer_is_system,
                quirks.keeps_only("role", "content", "prefix", "tool_calls", "tool_call_id"),
                quirks.nine_character_ids,
            ),
        ),
        mends=(mends.thinking_apart, mends.calls_in_full, mends.no_empty_calls),
    ),
)
