"""The list of providers, and what every one of them must be."""

import importlib
import re
from fnmatch import fnmatchcase

import pytest

from hoosh.core.asked import ChatRequest, Message, TextPart
from hoosh.core.features import EMBED_FEATURES, FEATURES, REPLY_FEATURES
from hoosh.dialects import ProviderDialect
from hoosh.engine.backend import tongues_of
from hoosh.providers import Provider
from hoosh.providers.registry import PROVIDERS, find

ADDRESSES = {
    "ollama": "http://localhost:11434",
    "llamacpp": "http://localhost:8080/v1",
    "lmstudio": "http://localhost:1234/v1",
    "localai": "http://localhost:8080/v1",
    "synapse": "http://localhost:8420/v1",
    "vllm": "http://localhost:8000/v1",
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
    "deepseek": "https://api.deepseek.com",
    "mistral": "https://api.mistral.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "grok": "https://api.x.ai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "azure": "",
    "vertex": "https://aiplatform.googleapis.com/v1/publishers/google",
    "bedrock": "",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "together": "https://api.together.xyz/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "huggingface": "https://router.huggingface.co/v1",
    "nvidia": "https://integrate.api.nvidia.com/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "sambanova": "https://api.sambanova.ai/v1",
    "perplexity": "https://api.perplexity.ai",
    "embedded": "embedded://",
}
KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GEMINI_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "groq": "GROQ_API_KEY",
    "grok": "XAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "azure": "AZURE_OPENAI_API_KEY",
    "vertex": "VERTEX_API_KEY",
    "bedrock": "AWS_BEARER_TOKEN_BEDROCK",
    "cohere": "CO_API_KEY",
    "together": "TOGETHER_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "deepinfra": "DEEPINFRA_TOKEN",
    "huggingface": "HF_TOKEN",
    "nvidia": "NVIDIA_API_KEY",
    "cerebras": "CEREBRAS_API_KEY",
    "sambanova": "SAMBANOVA_API_KEY",
    "perplexity": "PERPLEXITY_API_KEY",
}


def test_names_addresses_and_keys() -> None:
    assert {kind.name: kind.base_url for kind in PROVIDERS} == ADDRESSES
    assert {kind.name: kind.env[0] for kind in PROVIDERS if kind.env} == KEYS


def test_local_servers_are_looked_for_first_and_need_no_key() -> None:
    kinds = [kind for kind in PROVIDERS if kind.name != "embedded"]
    assert [kind.local for kind in kinds] == sorted((kind.local for kind in kinds), reverse=True)
    for kind in PROVIDERS:
        assert kind.local is not kind.needs_key
        assert kind.local is not bool(kind.env)


@pytest.mark.parametrize("kind", PROVIDERS, ids=lambda kind: kind.name)
def test_every_provider(kind: Provider) -> None:
    assert kind.title
    assert kind.docs.startswith("https://")
    assert not kind.base_url.removesuffix("://").endswith("/")
    assert not re.search(r"\s", kind.base_url)
    ((name, value),) = kind.sign("the-key")
    assert name == name.lower()
    assert b"the-key" in value
    asked = ChatRequest(model="m", messages=(Message("user", (TextPart("hi"),)),), max_output_tokens=5, stream=True)
    request = kind.dialect.render(asked, "m", kind.ways)
    assert request.path.startswith("/")
    assert b"the-key" not in request.body
    assert kind.dialect.models_request().path.startswith("/")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("openai", "openai"),
        ("OpenAi", "openai"),
        ("Ollama", "ollama"),
        ("LlamaCpp", "llamacpp"),
        ("LmStudio", "lmstudio"),
        ("LocalAi", "localai"),
        ("Synapse", "synapse"),
        ("Anthropic", "anthropic"),
        ("DeepSeek", "deepseek"),
        ("Mistral", "mistral"),
        ("Google", "google"),
        ("Groq", "groq"),
        ("Grok", "grok"),
        ("xai", "grok"),
        ("XAI", "grok"),
        ("OpenRouter", "openrouter"),
        ("vLLM", "vllm"),
    ],
)
def test_types_as_configurations_say_them(said: str, name: str) -> None:
    kind = find(said)
    assert kind is not None
    assert kind.name == name


def test_an_unknown_type() -> None:
    assert find("nope") is None


@pytest.mark.parametrize(
    ("model", "vendors"),
    [
        ("gpt-4o", {"openai"}),
        ("o3-mini", {"openai"}),
        ("chatgpt-4o-latest", {"openai"}),
        ("codex-mini", {"openai"}),
        ("text-embedding-3-small", {"openai"}),
        ("mistral-embed", {"mistral"}),
        ("codestral-embed-2505", {"mistral"}),
        ("claude-sonnet-4-5", {"anthropic"}),
        ("gemini-2.5-flash", {"google"}),
        ("gemma-3-27b-it", {"google"}),
        ("mistral-large-latest", {"mistral"}),
        ("open-mixtral-8x7b", {"mistral"}),
        ("open-mistral-nemo", {"mistral"}),
        ("devstral-small", {"mistral"}),
        ("deepseek-chat", {"deepseek"}),
        ("grok-4", {"grok"}),
        ("anthropic/claude-haiku-4.5", {"openrouter"}),
        ("sonar-pro", {"perplexity"}),
        ("command-a-03-2025", {"cohere"}),
        ("llama3", set()),
    ],
)
def test_whose_model_it_is(model: str, vendors: set[str]) -> None:
    known = {kind.name for kind in PROVIDERS if any(fnmatchcase(model, glob) for glob in kind.serves)}
    assert known == vendors


@pytest.mark.parametrize("kind", [kind for kind in PROVIDERS if kind.local], ids=lambda kind: kind.name)
def test_what_a_local_server_has_is_not_known_beforehand(kind: Provider) -> None:
    assert kind.serves == ()


def test_what_a_dialect_loses_is_said_in_the_words_that_all_share() -> None:
    for kind in PROVIDERS:
        for tongue in tongues_of(kind):
            assert {*FEATURES, *EMBED_FEATURES, *REPLY_FEATURES} >= _losses(tongue.dialect), kind.name


def _losses(dialect: ProviderDialect) -> frozenset[str]:
    """Of the file that it is written in, or of its package."""
    name = type(getattr(dialect, "asked", dialect)).__module__  # what a provider is asked in, not how it may answer
    while not hasattr(module := importlib.import_module(name), "LOSSES"):
        name = name.rpartition(".")[0]
    losses: frozenset[str] = module.LOSSES
    return losses


def test_a_provider_speaks_its_main_dialect_first_and_no_dialect_twice() -> None:
    for kind in PROVIDERS:
        names = [(tongue.dialect.operation, tongue.dialect.name) for tongue in tongues_of(kind)]
        assert names[0] == ("chat", kind.dialect.name)
        assert len(names) == len(set(names)), kind.name
