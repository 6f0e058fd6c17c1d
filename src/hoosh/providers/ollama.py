"""Ollama, read 2026-11. Needs no key itself; a proxy before it, or ollama.com, may."""

from hoosh.dialects import Tongue, ollama, ollama_embed
from hoosh.providers import Provider

PROVIDER = Provider(
    name="ollama",
    title="Ollama",
    dialect=ollama.DIALECT,
    base_url="http://localhost:11434",
    docs="https://docs.ollama.com/api/chat",
    local=True,
    needs_key=False,
    host_env="OLLAMA_HOST",
    also=(Tongue(dialect=ollama_embed.DIALECT),),
)
