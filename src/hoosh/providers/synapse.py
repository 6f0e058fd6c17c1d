"""Synapse: https://github.com/MacCracken/ifran (read 2026-11-23)."""

from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider

PROVIDER = Provider(
    name="synapse",
    title="Synapse",
    dialect=DIALECT,
    base_url="http://localhost:8420/v1",
    docs="https://github.com/MacCracken/ifran",
    local=True,
    needs_key=False,
)
