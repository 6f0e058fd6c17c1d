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
from hoosh.dialects.gemini.client import CLIENT as GEMINI
from hoosh.dialects.ollama import client as ollama
from hoosh.dialects.ollama import embedding as ollama_embedding

_ALL: tuple[ClientDialect, ...] = (
    openai_chat.DIALECT,
    anthropic_messages.DIALECT,
    openai_completions.DIALECT,
    openai_embeddings.DIALECT,
    openai_moderations.DIALECT,
    openai_responses.DIALECT,
    rerank.DIALECT,
    GEMINI.at("m:streamGenerateContent?alt=sse"),
    ollama.CHAT,
    ollama.GENERATE,
    ollama_embedding.SEVERAL,
    ollama_embedding.ONE,
)
# Gemini's name is one for all of its methods.
CLIENTS: dict[str, ClientDialect] = {dialect.name: dialect for dialect in _ALL} | {
    f"gemini.{method}": GEMINI.at(f"m:{method}") for method in ("countTokens", "batchEmbedContents", "embedContent")
}
