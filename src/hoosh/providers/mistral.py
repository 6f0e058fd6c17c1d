"""Mistral: https://docs.mistral.ai/api (read 2026-11-23). A field that it does not know is refused with a 422."""

from hoosh.dialects import Tongue, Ways, openai_embeddings, openai_moderations
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, mends, quirks

_KEPT = quirks.keeps_only("role", "content", "prefix", "tool_calls", "tool_call_id")
_QUIRKS = (
    quirks.rename("seed", "random_seed"),
    quirks.rename("max_completion_tokens", "max_tokens"),
    quirks.say("tool_choice", {"required": "any"}),
    quirks.drop(*quirks.OPENAI_ALONE),
    quirks.in_messages(quirks.developer_is_system, _KEPT, quirks.nine_character_ids),
)
PROVIDER = Provider(
    name="mistral",
    title="Mistral",
    dialect=DIALECT,
    base_url="https://api.mistral.ai/v1",
    docs="https://docs.mistral.ai/api",
    env=("MISTRAL_API_KEY",),
    # mistral-embed, codestral-embed and mistral-moderation are among them.
    serves=("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*", "open-mi*tral-*"),
    ways=Ways(quirks=_QUIRKS, mends=(mends.no_empty_calls,), stream_usage=False),
    also=(
        Tongue(
            dialect=openai_embeddings.DIALECT,
            ways=Ways(quirks=(quirks.rename("dimensions", "output_dimension"), quirks.drop("user", "input_type"))),
        ),
        Tongue(dialect=openai_moderations.DIALECT),
    ),
)
