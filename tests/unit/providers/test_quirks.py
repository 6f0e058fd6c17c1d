"""What providers are asked otherwise than OpenAI: the small functions, and each provider's set of them."""

import json
from typing import Any

import msgspec
import pytest

from hoosh.core.asked import ChatRequest, Message, TextPart, ToolCall, ToolResult
from hoosh.dialects import JSON, Quirk, Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.providers import quirks
from hoosh.providers.registry import find


def raws(body: JSON) -> JSON:
    """As a body that is passed on: each value at the top is JSON text."""
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}


def after(quirk: Quirk, body: JSON) -> JSON:
    """The body that the quirk makes of both kinds of values."""
    text, objects = raws(body), json.loads(json.dumps(body))
    quirk(text)
    quirk(objects)
    made: JSON = json.loads(msgspec.json.encode(text))
    assert made == json.loads(msgspec.json.encode(objects))
    return made


@pytest.mark.parametrize(
    ("quirk", "body", "made"),
    [
        (quirks.drop("a", "b"), {"a": 1, "c": 2}, {"c": 2}),
        (quirks.rename("a", "b"), {"a": 1}, {"b": 1}),
        (quirks.rename("a", "b"), {"b": 2}, {"b": 2}),
        (quirks.rename("a", "b"), {"b": 2, "a": 1}, {"b": 1}),
        (quirks.say("a", {"x": "y"}), {"a": "x"}, {"a": "y"}),
        (quirks.say("a", {"x": "y"}), {"a": "z"}, {"a": "z"}),
        (quirks.say("a", {"x": "y"}), {"a": {"x": 1}}, {"a": {"x": 1}}),
        (quirks.say("a", {"x": "y"}), {}, {}),
        (quirks.for_models("x|y", quirks.drop("a")), {"model": "xyz", "a": 1}, {"model": "xyz"}),
        (quirks.for_models("x|y", quirks.drop("a")), {"model": "zxy", "a": 1}, {"model": "zxy", "a": 1}),
        (quirks.cap_output(5), {"max_tokens": 9, "max_completion_tokens": 3}, {"max_tokens": 5, "max_completion_tokens": 3}),
        (quirks.cap_output(5), {"generationConfig": {"maxOutputTokens": 9, "x": 1}},
         {"generationConfig": {"maxOutputTokens": 5, "x": 1}}),
        (quirks.cap_output(5), {"options": {"num_predict": 9}}, {"options": {"num_predict": 5}}),
        (quirks.cap_output(5), {"options": None, "max_tokens": None}, {"options": None, "max_tokens": None}),
    ],
)  # fmt: skip
def test_fields(quirk: Quirk, body: JSON, made: JSON) -> None:
    assert after(quirk, body) == made


def test_what_a_quirk_does_not_touch_keeps_its_bytes() -> None:
    body: JSON = {"max_tokens": msgspec.Raw(b"3 "), "x": msgspec.Raw(b"[1.0, 2]")}
    quirks.cap_output(5)(body)
    quirks.say("x", {"a": "b"})(body)
    quirks.in_messages(quirks.developer_is_system, mark=b"developer")(body)
    assert {name: bytes(value) if isinstance(value, msgspec.Raw) else value for name, value in body.items()} == {
        "max_tokens": b"3 ",
        "x": b"[1.0, 2]",
        "messages": None,
    }


def message(quirk: Quirk, said: JSON) -> Any:
    return after(quirk, {"messages": [said]})["messages"][0]


def test_messages_without_the_mark_are_not_even_read() -> None:
    text = b'[{"role" : "user"}]'
    body: JSON = {"messages": msgspec.Raw(text)}
    quirks.in_messages(quirks.text_only, mark=b"developer")(body)
    assert bytes(body["messages"]) == text


@pytest.mark.parametrize(
    ("quirk", "said", "made"),
    [
        (quirks.in_messages(quirks.developer_is_system), {"role": "developer"}, {"role": "system"}),
        (quirks.in_messages(quirks.developer_is_system), {"role": "user"}, {"role": "user"}),
        (
            quirks.in_messages(quirks.keeps_only("role", "content", "a")),
            {"role": "user", "content": None, "a": None, "b": 1},
            {"role": "user", "content": None},
        ),
        (
            quirks.in_messages(quirks.only_users_have_names),
            {"role": "system", "name": "x"},
            {"role": "system"},
        ),
        (
            quirks.in_messages(quirks.only_users_have_names),
            {"role": "user", "name": "x"},
            {"role": "user", "name": "x"},
        ),
        (quirks.in_messages(quirks.text_only), {"content": "a"}, {"content": "a"}),
        (quirks.in_messages(quirks.text_only), {"content": None}, {"content": ""}),
        (
            quirks.in_messages(quirks.text_only),
            {"content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text"}, {"type": "text", "text": "b"}]},
            {"content": "a\n\nb"},
        ),
    ],
)  # fmt: skip
def test_messages(quirk: Quirk, said: JSON, made: JSON) -> None:
    assert message(quirk, said) == made


def test_parts_that_are_json_text() -> None:
    body: JSON = {
        "messages": [{"content": [msgspec.Raw(b'{"type":"text","text":"a"}'), {"type": "text", "text": "b"}]}]
    }
    quirks.in_messages(quirks.text_only)(body)
    assert body["messages"] == [{"content": "a\nb"}]


def test_ids_of_nine_characters() -> None:
    quirk = quirks.in_messages(quirks.nine_character_ids)
    foreign = ["call_R1Zq", "call_abcdefghijklmnopqrstuvwx", "a-b", "", "äbcdefghi", "toolu_01"]
    made = {given: message(quirk, {"tool_calls": [{"id": given}]})["tool_calls"][0]["id"] for given in foreign}
    for given, ident in made.items():
        assert len(ident) == 9
        assert ident.isascii()
        assert ident.isalnum()
        assert message(quirk, {"tool_call_id": given}) == {"tool_call_id": ident}
    assert len(set(made.values())) == len(foreign)
    own = {"tool_calls": [{"id": "pcZFHqej8"}], "tool_call_id": "aX2gaLIyo"}
    assert message(quirk, own) == own
    assert message(quirk, {"role": "user", "tool_calls": None}) == {"role": "user", "tool_calls": None}


HELLO = [{"role": "user", "content": "hi"}]
ASSISTANT = {"role": "assistant", "content": None, "reasoning_content": "t", "refusal": None, "name": "x"}


def sent(provider: str, **fields: object) -> Any:
    kind = find(provider)
    assert kind is not None
    body = json.dumps({"model": "m", "messages": HELLO, **fields}).encode()
    asked = DIALECT.parse(body)
    return json.loads(DIALECT.pass_on(asked, body, asked.model, kind.ways).body)


def test_mistral() -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    body = sent(
        "mistral",
        messages=[
            {"role": "developer", "content": "d"},
            {"role": "user", "content": "hi", "name": "ann"},
            {**ASSISTANT, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "ok", "name": "f"},
            {"role": "assistant", "content": "so", "prefix": True},
        ],
        seed=7,
        max_completion_tokens=5,
        tool_choice="required",
        stream=True,
        stream_options={"include_usage": True},
        user="u",
        logprobs=True,
        top_logprobs=1,
        logit_bias={},
        store=False,
        service_tier="auto",
        parallel_tool_calls=True,
        safe_prompt=True,
        prompt_cache_key="k",
        n=2,
    )
    ident = body["messages"][2]["tool_calls"][0]["id"]
    assert ident != "call_1"
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "d"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": [{**calls[0], "id": ident}]},
            {"role": "tool", "tool_call_id": ident, "content": "ok"},
            {"role": "assistant", "content": "so", "prefix": True},
        ],
        "random_seed": 7,
        "max_tokens": 5,
        "tool_choice": "any",
        "stream": True,
        "parallel_tool_calls": True,
        "safe_prompt": True,
        "prompt_cache_key": "k",
        "n": 2,
    }


def test_groq() -> None:
    body = sent("groq", messages=[*HELLO, ASSISTANT], logprobs=True, top_logprobs=2, logit_bias={}, seed=1)
    assert body == {"model": "m", "messages": [*HELLO, {"role": "assistant", "content": None}], "seed": 1}


@pytest.mark.parametrize(("model", "kept"), [("grok-4-fast", False), ("grok-3-mini", False), ("grok-3", True)])
def test_grok(model: str, kept: bool) -> None:
    messages = [{"role": "system", "content": "s", "name": "x"}, {"role": "user", "content": "hi", "name": "ann"}]
    body = sent("grok", model=model, messages=messages, presence_penalty=0, frequency_penalty=0, stop=["x"])
    assert ("presence_penalty" in body, "frequency_penalty" in body, body["stop"]) == (kept, kept, ["x"])
    assert body["messages"] == [{"role": "system", "content": "s"}, messages[1]]


def test_deepseek() -> None:
    messages = [{"role": "developer", "content": "d"}, *HELLO]
    body = sent("deepseek", messages=messages, max_completion_tokens=5, max_tokens=9)
    assert body == {"model": "m", "messages": [{"role": "system", "content": "d"}, *HELLO], "max_tokens": 5}


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5.2", "gpt-6"])
def test_openai_reasoning_models(model: str) -> None:
    body = sent("openai", model=model, max_tokens=5, stop=["x"])
    assert body == {"model": model, "messages": HELLO, "stop": ["x"], "max_completion_tokens": 5}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "gpt-3.5-turbo", "chatgpt-4o-latest", "omni"])
def test_openai_models_of_old(model: str) -> None:
    assert sent("openai", model=model, max_tokens=5)["max_tokens"] == 5


@pytest.mark.parametrize("provider", ["llamacpp", "lmstudio", "localai", "synapse", "deepseek", "mistral"])
def test_who_does_not_know_max_completion_tokens(provider: str) -> None:
    body = sent(provider, max_completion_tokens=5)
    assert (body.pop("max_tokens"), "max_completion_tokens" in body) == (5, False)
    asked = ChatRequest(model="m", messages=(Message("user", (TextPart("hi"),)),), max_output_tokens=5)
    kind = find(provider)
    assert kind is not None
    assert json.loads(DIALECT.render(asked, "m", kind.ways).body)["max_tokens"] == 5


def test_synapse() -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        *HELLO,
    ]
    body = sent("synapse", messages=messages, stream=True, stream_options={"include_usage": True})
    assert body == {"model": "m", "messages": [{"role": "system", "content": "a\nb"}, *HELLO], "stream": True}


@pytest.mark.parametrize("provider", ["openrouter", "vllm", "embedded"])
def test_who_needs_nothing(provider: str) -> None:
    kind = find(provider)
    assert kind is not None
    assert kind.ways.quirks == ()


def test_ids_are_the_same_in_a_rendered_request() -> None:
    asked = ChatRequest(
        model="m",
        messages=(
            Message("assistant", (ToolCall("toolu_01", "f", "{}"),)),
            Message("tool", (ToolResult("toolu_01", (TextPart("ok"),), "f"),)),
        ),
    )
    kind = find("mistral")
    assert kind is not None
    first, second = json.loads(DIALECT.render(asked, "m", kind.ways).body)["messages"]
    assert first["tool_calls"][0]["id"] == second["tool_call_id"] != "toolu_01"


def test_the_order_of_quirks_and_a_cap() -> None:
    """What the configuration adds comes after the provider's own."""
    kind = find("deepseek")
    assert kind is not None
    ways = Ways(quirks=(*kind.ways.quirks, quirks.cap_output(3)))
    body = json.dumps({"model": "m", "messages": HELLO, "max_completion_tokens": 5}).encode()
    assert json.loads(DIALECT.pass_on(DIALECT.parse(body), body, "m", ways).body)["max_tokens"] == 3
