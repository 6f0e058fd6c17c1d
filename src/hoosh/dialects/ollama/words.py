"""The names of this dialect's operations, for both faces."""

GENERATE = "ollama_generate"
EMBED = "ollama_embed"
EMBED_ONE = "ollama_embeddings"
