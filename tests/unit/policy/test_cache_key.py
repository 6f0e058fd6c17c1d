"""What is the same request, and what may be kept."""

import json
import random
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.core.asked import ChatRequest, CompleteRequest, CountRequest, EmbedRequest, Request
from hoosh.core.cache_wish import CacheWish
from hoosh.core.cached import CacheRules
from hoosh.core.call import Call, Wishes
from hoosh.core.events import Event, Finish, Raw, Text, ToolDelta
from hoosh.core.principal import Principal
from hoosh.dialects.anthropic_messages import DIALECT as ANTHROPIC
from hoosh.dialects.openai_chat import DIALECT
from hoosh.policy.cache_key import cache_key, is_keepable, tenant_of, why_not

RULES = CacheRules()
WHOLE: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "x": 1}}},
    "temperature": 0,
    "top_p": 0.5,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
    "seed": 3,
    "stop": ["a"],
    "logprobs": True,
    "top_logprobs": 2,
    "max_tokens": 9,
    "n": 1,
    "reasoning_effort": "low",
    "verbosity": "low",
    "user": "u",
    "own": {"b": [1, 2], "a": {"d": 1, "c": 2}},
    "other": None,
}
OTHER: dict[str, Any] = {
    "model": "n",
    "tool_choice": "none",
    "parallel_tool_calls": False,
    "temperature": 0.5,
    "top_p": 0.4,
    "presence_penalty": 0.3,
    "frequency_penalty": 0.4,
    "seed": 4,
    "stop": ["b"],
    "logprobs": False,
    "top_logprobs": 3,
    "max_tokens": 10,
    "n": 2,
    "reasoning_effort": "high",
    "verbosity": "high",
    "user": "v",
    "other": 1,
}


def call(body: dict[str, Any] | bytes, **fields: Any) -> Call:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Call(**{"id": "1", "dialect": "openai_chat", "request": DIALECT.parse(data), "body": data, **fields})


def key(body: dict[str, Any] | bytes, **fields: Any) -> bytes:
    found = cache_key(call(body, **fields), "")
    assert found is not None
    assert len(found) == 32
    return found


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: shuffled(value[name], chance) for name in names}
    return [shuffled(one, chance) for one in value] if isinstance(value, list) else value


@given(st.randoms(use_true_random=False), st.sampled_from([None, 0, 1, 7, "\t"]))
def test_neither_the_order_of_keys_nor_whitespace_matters(chance: random.Random, indent: Any) -> None:
    body = json.dumps(shuffled(WHOLE, chance), indent=indent).encode()
    assert key(body) == key(WHOLE)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of all scalars."""
    if isinstance(value, dict):
        return [place for name, one in value.items() for place in places(one, (*path, name))]
    if isinstance(value, list):
        return [place for n, one in enumerate(value) for place in places(one, (*path, n))]
    return [path]


def changed(path: tuple[Any, ...]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(WHOLE))
    at: Any = body
    for name in path[:-1]:
        at = at[name]
    was = at[path[-1]]
    at[path[-1]] = f"{was}x" if isinstance(was, str) else (was or 0) + 1
    return body


# Words with a meaning of their own, and those that go with them.
FIXED = {"role", "type"}
SCALARS = [path for path in places(WHOLE) if not FIXED & set(path) and path[0] not in OTHER]


@pytest.mark.parametrize("path", SCALARS, ids=lambda path: ".".join(map(str, path)))
def test_each_scalar_separates(path: tuple[Any, ...]) -> None:
    assert key(changed(path)) != key(WHOLE)


@pytest.mark.parametrize("name", OTHER)
def test_each_field_separates(name: str) -> None:
    assert key({**WHOLE, name: OTHER[name]}) != key(WHOLE)
    assert key({field: one for field, one in WHOLE.items() if field != name} | {"model": "k"}) != key(
        {**WHOLE, "model": "k", name: OTHER[name]}
    )


@pytest.mark.parametrize("kind", get_args(Request))
def test_no_field_of_the_canon_is_forgotten(kind: Any) -> None:
    """Whatever its type: a value that is no default, in place of the default."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    chat = ChatRequest(model="m", messages=())
    least: dict[str, Any] = {
        name: {"model": "m", "query": "q", "chat": chat}.get(name, ())
        for name, field in fields.items()
        if field.required
    }
    plain = cache_key(Call(id="1", dialect="d", request=kind(**least), body=b""), "")
    for name in fields:
        other = (
            ChatRequest(model="n", messages=()) if name == "chat" else (("x", b"1"),) if name == "extra" else "other"
        )
        told = cache_key(Call(id="1", dialect="d", request=kind(**{**least, name: other}), body=b""), "")
        assert (told == plain) == (name in {"stream", "include_usage"}), name


def test_whether_it_is_streamed_does_not_matter() -> None:
    assert key({**WHOLE, "stream": True, "stream_options": {"include_usage": True}}) == key(WHOLE)


def test_what_only_the_gateway_reads_does_not_matter() -> None:
    assert key({**WHOLE, "pool": "p"}) == key(WHOLE)
    assert key(WHOLE, id="2", request_id="r", arrived_ns=7, deadline_ns=9) == key(WHOLE)
    wish = CacheWish(max_age_s=3)
    assert key(WHOLE, wishes=Wishes(pool="p", agent="a", session="s", tags=("t",), cache=wish)) == key(WHOLE)


@pytest.mark.parametrize(
    "fields",
    [
        {"dialect": "other"},
        {"headers": ((b"anthropic-beta", b"x"),)},
        {"wishes": Wishes(provider="p")},
        {"wishes": Wishes(local_only=True)},
    ],
)
def test_what_stands_outside_the_body_separates(fields: dict[str, Any]) -> None:
    assert key(WHOLE, **fields) != key(WHOLE)


def test_tenants_separate() -> None:
    asked = call(WHOLE)
    assert len({cache_key(asked, tenant) for tenant in ("key:a", "key:b", "pool:a", "")}) == 4
    asked = call(WHOLE, principal=Principal(key_id="k", pool="own"))
    assert tenant_of(CacheRules(scope="key"), asked) == "key:k"
    assert tenant_of(CacheRules(scope="pool"), asked) == "pool:own"
    assert tenant_of(CacheRules(scope="pool"), call(WHOLE, wishes=Wishes(pool="other"))) == "pool:other"
    assert tenant_of(CacheRules(scope="global"), asked) == ""


def test_arguments_of_calls_are_the_same_in_whatever_form_a_dialect_has_them() -> None:
    def asked(arguments: str) -> Call:
        call = b'{"type":"tool_use","id":"1","name":"f","input":%b}' % arguments.encode()
        body = b'{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[%b]}]}' % call
        return Call(id="1", dialect="a", request=ANTHROPIC.parse(body), body=body)

    assert cache_key(asked('{"a": 1, "b": 2}'), "") == cache_key(asked('{"b":2,"a":1}'), "")
    assert cache_key(asked('{"a": 1}'), "") != cache_key(asked('{"a": 2}'), "")


def test_what_is_no_json_stays_apart_from_what_is() -> None:
    def asked(value: bytes) -> Call:
        return Call(id="1", dialect="d", request=ChatRequest(model="m", messages=(), extra=(("x", value),)), body=b"")

    values = (b"", b"null", b'""', b"{}", b"[]", b"{", b'"{"', b"[1]", b"1", b'"1"', b"\xff")
    assert len({cache_key(asked(value), "") for value in values}) == len(values)


def test_half_of_a_surrogate_pair_has_no_key() -> None:
    asked = ChatRequest(model="m\ud800", messages=())
    assert cache_key(Call(id="1", dialect="d", request=asked, body=b""), "") is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, ""),
        ({"temperature": 0}, ""),
        ({"temperature": 0.1}, "its temperature is above 0"),
        ({"n": 2}, "it wants several answers"),
        ({"web_search_options": {}}, "it has tools of the provider"),
        ({"tools": [{"type": "web_search"}]}, "it has tools of the provider"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ""),
    ],
)
def test_what_is_cacheable(body: dict[str, Any], why: str) -> None:
    asked = call({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body}).request
    assert why_not(asked, RULES, is_asked=False) == why


def test_what_else_is_cacheable() -> None:
    chat = ChatRequest(model="m", messages=(), n=2)
    assert why_not(chat, RULES, is_asked=True) == ""
    assert why_not(CountRequest(chat=chat), RULES, is_asked=True) == "it counts"
    assert why_not(EmbedRequest(model="m", inputs=("a",)), RULES, is_asked=False) == ""
    told = CompleteRequest(model="m", prompts=("a",), extra=(("temperature", b"0.5"),))
    assert why_not(told, RULES, is_asked=False) == "its temperature is above 0"
    assert why_not(told, CacheRules(sampled=True), is_asked=False) == ""


@pytest.mark.parametrize(
    ("events", "is_kept"),
    [
        ((Text("a"), Finish("stop")), True),
        ((Text("a"), Finish("length")), True),
        ((Text("a"), Finish("content_filter")), False),
        ((Raw(b"x", (Text("a"), Finish("content_filter"))),), False),
        ((ToolDelta(0, "1", "f"), Finish("stop")), False),
        ((Raw(b"x", (ToolDelta(0, "1", "f"),)),), False),
    ],
)
def test_what_is_keepable(events: tuple[Event, ...], is_kept: bool) -> None:
    assert is_keepable(events, RULES) == is_kept
    assert is_keepable((ToolDelta(0, "1", "f"), Finish("tool_calls")), CacheRules(tool_calls=True))
