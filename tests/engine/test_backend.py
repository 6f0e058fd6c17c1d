"""Which dialect a backend is asked in, and where."""

import msgspec
import pytest

from hoosh.core.asked import Operation
from hoosh.dialects import Tongue, openai_completions, openai_embeddings
from hoosh.engine.backend import Backend, tongues_of
from hoosh.providers.registry import find


def backend(kind: str, base_url: str = "") -> Backend:
    provider = find(kind)
    assert provider is not None
    return Backend(name=kind, provider=provider, base_url=base_url or provider.base_url, tongues=tongues_of(provider))


@pytest.mark.parametrize(
    ("kind", "operation", "client", "model", "spoken"),
    [
        ("openai", "chat", "openai_chat", "gpt-4o", "openai_chat"),
        ("openai", "chat", "openai_completions", "gpt-4o", "openai_chat"),
        ("openai", "chat", "openai_completions", "gpt-3.5-turbo-instruct-0914", "openai_completions"),
        ("openai", "complete", "openai_completions", "gpt-4o", "openai_completions"),
        ("vllm", "chat", "openai_completions", "any", "openai_completions"),
        ("vllm", "chat", "anthropic_messages", "any", "openai_chat"),
        ("groq", "chat", "openai_completions", "any", "openai_chat"),
        ("groq", "complete", "openai_completions", "any", None),
        ("ollama", "embed", "openai_embeddings", "any", "ollama_embed"),
        ("deepseek", "embed", "openai_embeddings", "any", None),
    ],
)
def test_the_clients_own_dialect_first_then_the_first_of_the_operation(
    kind: str, operation: Operation, client: str, model: str, spoken: str | None
) -> None:
    tongue = backend(kind).tongue(operation, client, model)
    assert (tongue.dialect.name if tongue else None) == spoken


@pytest.mark.parametrize(
    ("base_url", "root", "address"),
    [
        ("https://e.com/v1", "", "https://e.com/v1"),
        ("https://e.com:8/a/v1", "/beta", "https://e.com:8/beta"),
        ("https://e.com", "/beta", "https://e.com/beta"),
        ("embedded://", "", "embedded://m"),
        ("embedded://other", "", "embedded://other"),
    ],
)
def test_where_an_api_is_found(base_url: str, root: str, address: str) -> None:
    tongue = Tongue(dialect=openai_embeddings.DIALECT, root=root)
    asked = msgspec.structs.replace(backend("embedded", base_url), tongues=(tongue,))
    assert asked.address(tongue, "m") == address
    assert asked.is_at(address)
    assert not asked.is_at("https://elsewhere.com")


def test_what_the_configuration_adds_is_in_every_tongue_and_takes_nothing_away() -> None:
    provider = find("deepseek")
    assert provider is not None
    tongues = tongues_of(provider, lambda body: body.clear())
    assert all(len(tongue.ways.quirks) >= 1 for tongue in tongues)
    assert {tongue.root for tongue in tongues if tongue.dialect in openai_completions.BOTH} == {"/beta"}
