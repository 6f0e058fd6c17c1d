"""Embedded llama.cpp: https://github.com/xorbitsai/xllamacpp (read 2026-11-23)."""

from hoosh.dialects import Tongue, Ways, openai_completions, openai_embeddings
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, mends, quirks

_COMPLETING = Ways(mends=(mends.model_without_path,), usage_each=True)
PROVIDER = Provider(
    name="embedded",
    title="Embedded llama.cpp",
    dialect=DIALECT,
    base_url="embedded://",
    docs="https://github.com/xorbitsai/xllamacpp",
    local=True,
    needs_key=False,
    ways=Ways(mends=(mends.model_without_path,)),
    also=(
        *(Tongue(dialect=one, ways=_COMPLETING) for one in openai_completions.BOTH),
        Tongue(  # it does not know `dimensions`: the reader shortens
            dialect=openai_embeddings.DIALECT,
            ways=Ways(quirks=(quirks.drop("dimensions", "user"),), mends=(mends.model_without_path,)),
        ),
    ),
)
