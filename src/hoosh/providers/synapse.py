"""Synapse: https://github.com/MacCracken/ifran (read 2026-11-23). Its messages are a role and one text."""

from hoosh.dialects import Tongue, Ways, openai_embeddings
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

PROVIDER = Provider(
    name="synapse",
    title="Synapse",
    dialect=DIALECT,
    base_url="http://localhost:8420/v1",
    docs="https://github.com/MacCracken/ifran",
    local=True,
    needs_key=False,
    ways=Ways(
        quirks=(
            quirks.rename("max_completion_tokens", "max_tokens"),
            quirks.in_messages(quirks.developer_is_system, quirks.text_only),
        ),
        stream_usage=False,
    ),
    also=(Tongue(dialect=openai_embeddings.DIALECT),),
)
