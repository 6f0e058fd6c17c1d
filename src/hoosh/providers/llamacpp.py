"""llama.cpp server: https://github.com/ggml-org/llama.cpp/tree/master/tools/server (read 2026-11-23)."""

from hoosh.dialects import Tongue, Ways, openai_completions, openai_embeddings, rerank
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, mends, quirks

_COMPLETING = Ways(mends=(mends.model_without_path,), usage_each=True)
PROVIDER = Provider(
    name="llamacpp",
    title="llama.cpp server",
    dialect=DIALECT,
    base_url="http://localhost:8080/v1",
    docs="https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
    local=True,
    needs_key=False,
    signature=b'"llamacpp"',
    # Before 2026-02 it did not know `max_completion_tokens`.
    ways=Ways(quirks=(quirks.rename("max_completion_tokens", "max_tokens"),), mends=(mends.model_without_path,)),
    also=(
        *(Tongue(dialect=one, ways=_COMPLETING) for one in openai_completions.BOTH),
        Tongue(  # it does not know `dimensions`: the reader shortens
            dialect=openai_embeddings.DIALECT,
            ways=Ways(quirks=(quirks.drop("dimensions", "user"),), mends=(mends.model_without_path,)),
        ),
        Tongue(dialect=rerank.DIALECT, ways=Ways(mends=(mends.model_without_path,))),
    ),
)
