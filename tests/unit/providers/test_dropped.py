"""What a provider's quirks take out of a request is declared."""

import json

import pytest

from hoosh.codecs.json import JSON
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers.registry import find

ASKED: JSON = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_completion_tokens": 5,
    "seed": 7,
    "user": "u",
    "logprobs": True,
    "logit_bias": {"1": 2},
    "presence_penalty": 0.5,
    "service_tier": None,
}


@pytest.mark.parametrize(
    ("provider", "dropped"),
    [
        ("openai", ()),
        ("openrouter", ()),
        ("mistral", ("user", "sampling.logprobs", "extra.logit_bias")),
        ("groq", ("sampling.logprobs", "extra.logit_bias")),
        ("cerebras", ("extra.logit_bias", "sampling.presence_penalty")),
        ("vllm", ()),
    ],
)
def test_what_goes_missing_is_named(provider: str, dropped: tuple[str, ...]) -> None:
    kind = find(provider)
    assert kind is not None
    body = json.dumps(ASKED).encode()
    asked = DIALECT.parse(body)
    assert set(DIALECT.pass_on(asked, body, "m", kind.ways).dropped) == set(dropped)
    assert set(DIALECT.render(asked, "m", kind.ways).dropped) == set(dropped)
