"""OpenAI: https://platform.openai.com/docs/api-reference/chat (read 2026-11-23)."""

from hoosh.dialects import Tongue, Ways, openai_completions, openai_embeddings, openai_moderations, openai_responses
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import Provider, quirks

_COMPLETERS = ("gpt-3.5-turbo-instruct*", "davinci-002", "babbage-002")
PROVIDER = Provider(
    name="openai",
    title="OpenAI",
    dialect=DIALECT,
    base_url="https://api.openai.com/v1",
    docs="https://platform.openai.com/docs/api-reference/chat",
    env=("OPENAI_API_KEY",),
    serves=(
        *("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "codex-*"),
        *("text-embedding-*", "omni-moderation-*", "text-moderation-*", *_COMPLETERS[1:]),
    ),
    # Reasoning models answer 400 to `max_tokens`; every model takes its successor.
    ways=Ways(quirks=(quirks.for_models(r"o\d|gpt-[5-9]", quirks.rename("max_tokens", "max_completion_tokens")),)),
    also=(
        Tongue(dialect=openai_responses.DIALECT),
        # Chat models are refused there, and these refuse chats.
        Tongue(dialect=openai_completions.DIALECT, models=_COMPLETERS),
        Tongue(dialect=openai_completions.MANY),
        Tongue(dialect=openai_embeddings.DIALECT),
        Tongue(dialect=openai_moderations.DIALECT),
    ),
)
