"""All providers: one explicit import each, local ones first."""

from types import MappingProxyType

from hoosh.providers import (
    Provider,
    anthropic,
    azure,
    bedrock,
    cerebras,
    cohere,
    deepinfra,
    deepseek,
    embedded,
    fireworks,
    google,
    grok,
    groq,
    huggingface,
    llamacpp,
    lmstudio,
    localai,
    mistral,
    nvidia,
    ollama,
    openai,
    openrouter,
    perplexity,
    sambanova,
    synapse,
    together,
    vertex,
    vllm,
)

PROVIDERS: tuple[Provider, ...] = (
    ollama.PROVIDER,
    llamacpp.PROVIDER,
    lmstudio.PROVIDER,
    localai.PROVIDER,
    synapse.PROVIDER,
    vllm.PROVIDER,
    openai.PROVIDER,
    anthropic.PROVIDER,
    google.PROVIDER,
    deepseek.PROVIDER,
    mistral.PROVIDER,
    groq.PROVIDER,
    grok.PROVIDER,
    openrouter.PROVIDER,
    azure.PROVIDER,
    vertex.PROVIDER,
    bedrock.PROVIDER,
    cohere.PROVIDER,
    together.PROVIDER,
    fireworks.PROVIDER,
    deepinfra.PROVIDER,
    huggingface.PROVIDER,
    nvidia.PROVIDER,
    cerebras.PROVIDER,
    sambanova.PROVIDER,
    perplexity.PROVIDER,
    embedded.PROVIDER,
)
_BY_NAME = MappingProxyType({name: kind for kind in PROVIDERS for name in (kind.name, *kind.aliases)})


def find(type_name: str) -> Provider | None:
    """By name or alias, in any case: configurations of the first hoosh say "OpenAi" and "LmStudio"."""
    return _BY_NAME.get(type_name.lower())


def known_types() -> frozenset[str]:
    """The names that a provider's `type` may have in a configuration."""
    return frozenset(name for kind in PROVIDERS for name in (kind.name, *kind.aliases))
