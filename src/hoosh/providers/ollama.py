"""Ollama, read 2026-11. Needs no key itself; a proxy before it, or ollama.com, may.

llama.cpp's server stands in for it: it has `/api/tags`, too, and answers `/api/chat` as OpenAI would (tools/server,
read 2026-11).
"""

from hoosh.dialects import Tongue, Ways
from hoosh.dialects.ollama import chat, embed, generate
from hoosh.dialects.openai_chat import DIALECT as OPENAI_CHAT
from hoosh.providers import Provider, mends
from hoosh.providers.either import Either

PROVIDER = Provider(
    name="ollama",
    title="Ollama",
    dialect=Either(chat.DIALECT, OPENAI_CHAT, "choices", Ways(mends=(mends.model_without_path,))),
    base_url="http://localhost:11434",
    docs="https://docs.ollama.com/api/chat",
    local=True,
    needs_key=False,
    host_env="OLLAMA_HOST",
    also=(Tongue(dialect=generate.DIALECT), Tongue(dialect=embed.DIALECT)),
)
