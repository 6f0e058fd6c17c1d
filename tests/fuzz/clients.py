"""Every dialect that a client may speak, by name."""

from hoosh.dialects import (
    ClientDialect,
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_moderations,
    openai_responses,
    rerank,
)

_ALL: tuple[ClientDialect, ...] = (
    openai_chat.DIALECT,
    anthropic_messages.DIALECT,
    openai_completions.DIALECT,
    openai_embeddings.DIALECT,
    openai_moderations.DIALECT,
    openai_responses.DIALECT,
    rerank.DIALECT,
)
CLIENTS: dict[str, ClientDialect] = {dialect.name: dialect for dialect in _ALL}
