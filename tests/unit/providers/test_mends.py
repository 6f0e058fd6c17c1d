"""What providers answer otherwise than OpenAI, put right: literal payloads."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.dialects import JSON, Mend
from hoosh.providers import mends
from hoosh.providers.registry import PROVIDERS, find

EVERY: tuple[Mend, ...] = (
    mends.no_empty_calls,
    mends.usage_on_top,
    mends.model_without_path,
)


def answer(form: str, said: JSON) -> JSON:
    return {"id": "x", "choices": [{"index": 0, form: said, "finish_reason": None}]}


@pytest.mark.parametrize("form", ["delta", "message"])
@pytest.mark.parametrize(
    ("mend", "said", "made"),
    [
        (mends.no_empty_calls, {"content": "a", "tool_calls": None}, {"content": "a"}),
        (mends.no_empty_calls, {"content": "a", "tool_calls": []}, {"content": "a"}),
    ],
)
def test_answers(mend: Mend, said: JSON, made: JSON, form: str) -> None:
    payload = answer(form, copy.deepcopy(said))
    assert mend(payload) is True
    assert payload == answer(form, made)
    assert mend(payload) is False
    assert payload == answer(form, made)


@pytest.mark.parametrize(
    ("payload", "usage"),
    [
        ({"x_groq": {"id": "r", "usage": {"prompt_tokens": 3}}}, {"prompt_tokens": 3}),
        ({"usage": None, "x_groq": {"usage": {"prompt_tokens": 3}}}, {"prompt_tokens": 3}),
        ({"usage": {"prompt_tokens": 4}, "x_groq": {"usage": {"prompt_tokens": 3}}}, {"prompt_tokens": 4}),
        ({"x_groq": {"id": "r"}}, None),
        ({"x_groq": None}, None),
        ({}, None),
    ],
)
def test_usage_on_top(payload: JSON, usage: object) -> None:
    before = payload.get("usage")
    assert mends.usage_on_top(payload) is (before != usage)
    assert payload.get("usage") == usage


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("/home/u/models/Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-Q4_K_M.gguf"),
        ("models/Qwen3.gguf", "Qwen3.gguf"),
        ("./models/x", "x"),
        ("../x", "x"),
        ("~/x", "x"),
        ("C:\\models\\x.gguf", "x.gguf"),
        ("\\\\server\\share\\x", "x"),
        ("Qwen3-8B-Q4_K_M.gguf", "Qwen3-8B-Q4_K_M.gguf"),
        ("ggml-org/gemma-3-4b-it-GGUF:Q4_K_M", "ggml-org/gemma-3-4b-it-GGUF:Q4_K_M"),
        ("llama3", "llama3"),
        (None, None),
    ],
)
def test_model_without_path(model: str | None, shown: str | None) -> None:
    payload = {"model": model, "timings": {"prompt_n": 1}}
    assert mends.model_without_path(payload) is (model != shown)
    assert payload == {"model": shown, "timings": {"prompt_n": 1}}


@pytest.mark.parametrize(
    ("provider", "wanted"),
    [
        ("mistral", (mends.no_empty_calls,)),
        ("groq", (mends.usage_on_top,)),
        ("llamacpp", (mends.model_without_path,)),
        ("embedded", (mends.model_without_path,)),
        ("lmstudio", (mends.no_empty_calls,)),
    ],
)
def test_who_has_which(provider: str, wanted: tuple[Mend, ...]) -> None:
    kind = find(provider)
    assert kind is not None
    assert kind.ways.mends == wanted


def test_nobody_else_has_any() -> None:
    mended = {"mistral", "groq", "llamacpp", "embedded", "lmstudio"}
    assert {kind.name for kind in PROVIDERS if kind.ways.mends} == mended


NAMES = st.sampled_from(
    [
        "choices",
        "delta",
        "message",
        "content",
        "tool_calls",
        "function",
        "arguments",
        "type",
        "thinking",
        "text",
        "usage",
        "x_groq",
        "model",
        "completion_tokens_details",
        "reasoning_tokens",
        "completion_tokens",
        "total_tokens",
    ]
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["null", "/a.gguf", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSONS, max_size=4))
def test_any_object_can_be_looked_at_and_is_left_alone_where_nothing_is_said(payload: JSON) -> None:
    for mend in EVERY:
        before = copy.deepcopy(payload)
        assert mend(payload) or payload == before
