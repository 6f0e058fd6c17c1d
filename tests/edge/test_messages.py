"""Anthropic's clients against `hoosh serve` before a provider that speaks Chat Completions."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from compat.scripted import COMMAND, Scripted, scripted
from gateway import PATIENCE_S, Answer, Provider, Running, one_provider, provider, serving

HI: list[Any] = [{"role": "user", "content": "Hi"}]
VERSION = "anthropic-version: 2023-06-01"


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def model() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, model: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = (
        one_provider(fake.url)
        + f'[[providers]]\ntype = "openai"\nname = "agent"\nbase_url = "{model.url}"\nmodels = ["agent"]\n'
        + '[[budgets]]\nname = "spent"\ncapacity = 1\n'
    )
    with serving(tmp_path_factory.mktemp("messages"), config) as running:
        yield running


@pytest.fixture
def client(gateway: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key="any", timeout=PATIENCE_S, max_retries=0) as made:
        yield made


def post(gateway: Running, value: object, *headers: str, path: str = "/v1/messages") -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return gateway.ask(body, "content-type: application/json", VERSION, *headers, path=path)


def least(**more: Any) -> dict[str, Any]:
    return {"model": "echo", "max_tokens": 64, "messages": HI, **more}


def test_an_answer(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model="echo", max_tokens=64, messages=HI)
    assert message.id.startswith("msg_")
    assert [block.model_dump(exclude_none=True) for block in message.content] == [{"type": "text", "text": "Hi"}]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 3, 2)


def test_a_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="echo", max_tokens=64, messages=HI) as stream:
        assert "".join(stream.text_stream) == "Hi"
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0  # this provider reports none: an estimate


BASH: Any = {"name": "Bash", "description": "runs", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("streams", [True, False])
def test_two_rounds_with_a_tool(client: anthropic.Anthropic, model: Scripted, streams: bool) -> None:
    turns: list[Any] = [{"role": "user", "content": "Run it."}]

    def ask() -> Any:
        fields: Any = {"model": "agent", "max_tokens": 64, "messages": turns, "tools": [BASH]}
        if not streams:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as stream:
            return stream.get_final_message()

    message = ask()
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert (message.content[1].name, message.content[1].input["command"]) == ("Bash", COMMAND)
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("tool_use", 9, 7)
    result = {"type": "tool_result", "tool_use_id": message.content[1].id, "content": "hoosh-42"}
    turns += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    message = ask()
    assert message.content[0].text == "The tool says: hoosh-42"
    assert message.stop_reason == "end_turn"
    sent = model.asked[-1]["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == "call_0"


def like_claude_code() -> dict[str, Any]:
    """The shape of what Claude Code 2.1 sends, in words of our own."""
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    tools: list[Any] = [
        {
            "name": f"Tool{k}",
            "description": "d" * 500,
            "input_schema": {"type": "object", "additionalProperties": False},
        }
        for k in range(23)
    ]
    return {
        "model": "agent",
        "max_tokens": 32000,
        "stream": True,
        "system": [
            {"type": "text", "text": "billing: x"},
            {"type": "text", "text": "You are an agent.", **mark},
            {"type": "text", "text": "p" * 20_000, **mark},
        ],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "<reminder>"}, {"type": "text", "text": "Go", **mark}],
            },
            {"role": "system", "content": "Agents: none"},
        ],
        "tools": [*tools, {**BASH, **mark}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
    }


def test_what_claude_code_sends_reaches_any_provider(gateway: Running, model: Scripted) -> None:
    answer = post(gateway, like_claude_code(), "anthropic-beta: a-1,b-2", path="/v1/messages?beta=true")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert b'"name":"Bash"' in answer.body
    assert b"event: message_stop" in answer.body
    dropped = answer.headers["x-hoosh-dropped"].split(", ")
    assert {"cache", "anthropic-beta", "extra.context_management", "extra.thinking"} <= set(dropped)
    sent = model.asked[-1]
    assert len(sent["tools"]) == 24
    assert len(sent["user"]) == 64
    assert "reasoning_effort" not in sent
    assert "cache_control" not in json.dumps(sent)
    assert [one["role"] for one in sent["messages"]] == ["system", "user", "system"]


@pytest.mark.parametrize(
    ("value", "status", "kind", "words"),
    [
        (b"{", 400, "invalid_request_error", "not valid JSON"),
        ({"model": "echo", "messages": HI}, 400, "invalid_request_error", "max_tokens: Field required"),
        (
            least(messages=[{"role": "user", "content": [{"type": "text"}]}]),
            400,
            "invalid_request_error",
            "messages.0.",
        ),
        (least(model="no-such-model"), 404, "not_found_error", "no-such-model"),
    ],
)
def test_errors_are_anthropics(gateway: Running, value: Any, status: int, kind: str, words: str) -> None:
    for path in ("/v1/messages", "/v1/messages?beta=true", "/anthropic/v1/messages"):
        answer = post(gateway, value, "x-request-id: mine", path=path)
        assert answer.status == status
        assert (answer.value["type"], answer.value["request_id"], answer.error["type"]) == ("error", "mine", kind)
        assert words in answer.error["message"]


def test_errors_on_other_pages_are_anthropics_too(gateway: Running) -> None:
    for path, method, status in (
        ("/v1/nothing", "POST", 404),
        ("/v1/messages", "GET", 405),
        ("/v1/models/x", "GET", 404),
    ):
        answer = gateway.ask(b"", VERSION, path=path, method=method)
        assert (answer.status, answer.value["type"]) == (status, "error")
    assert "type" not in gateway.ask(b"", path="/v1/nothing").value
    assert "type" not in post(gateway, b"{", path="/v1/chat/completions").value


def test_a_stream_that_breaks_off_ends_in_an_error(gateway: Running) -> None:
    answer = post(gateway, least(model="cut", stream=True))
    assert answer.status == 200
    assert b'event: error\ndata: {"type":"error","error":{"type":"api_error"' in answer.body
    assert b"message_stop" not in answer.body


def test_the_sdk_raises_for_a_stream_that_breaks_off(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(client.messages.create(model="cut", max_tokens=9, messages=HI, stream=True))
    assert "ended" in caught.value.message


@pytest.mark.parametrize("name", ["silent", "slow"])
def test_a_client_that_leaves_ends_the_providers_work(gateway: Running, fake: Provider, name: str) -> None:
    fake.hung_up.clear()
    seen = len(fake.bodies)
    body = json.dumps(least(model=name, stream=True)).encode()
    head = (
        b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head % len(body) + body)
        got = b""
        while (name == "slow" and b'"Hi"' not in got) or len(fake.bodies) == seen:
            if name == "slow":
                got += connection.recv(65536)
    assert fake.hung_up.wait(PATIENCE_S)


@pytest.mark.parametrize("said", ["a\n\nevent: error\ndata: {}", "a\r\rdata: x", "\u2028\u2029\u0085\x0c", "\x00\x1f"])
def test_nothing_that_is_said_becomes_an_event(client: anthropic.Anthropic, said: str) -> None:
    turns: Any = [{"role": "user", "content": said}]
    with client.messages.stream(model="echo", max_tokens=64, messages=turns) as stream:
        kinds = [event.type for event in stream if event.type.startswith("message")]
        assert stream.get_final_text() == said
    assert kinds == ["message_start", "message_delta", "message_stop"]


def test_a_count_where_no_provider_counts_is_an_estimate(client: anthropic.Anthropic, gateway: Running) -> None:
    short = client.messages.count_tokens(model="echo", messages=HI).input_tokens
    long = client.messages.count_tokens(model="echo", messages=HI, system="p" * 4000, tools=[BASH]).input_tokens
    assert 0 < short < 20
    assert long > short + 1000
    answer = post(gateway, {"model": "echo", "messages": HI}, path="/v1/messages/count_tokens?beta=true")
    assert answer.value == {"input_tokens": short}
    assert answer.headers["x-hoosh-estimated"] == "true"


def test_a_count_is_never_charged(gateway: Running) -> None:
    pool = "x-hoosh-pool: spent"
    assert post(gateway, least(), pool).error["type"] == "rate_limit_error"
    assert post(gateway, {"model": "echo", "messages": HI}, pool, path="/v1/messages/count_tokens").status == 200


def test_a_count_of_an_unknown_model_or_a_wrong_body_is_an_error(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="no-such-model", messages=HI)
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.count_tokens(model="echo", messages=[])
    assert "messages" in caught.value.message


def test_models(client: anthropic.Anthropic, gateway: Running) -> None:
    page = client.models.list()
    assert {one.id for one in page.data} >= {"echo", "agent"}
    assert not page.has_more
    assert client.models.retrieve("echo").display_name == "echo"
    assert gateway.ask(b"", path="/v1/models", method="GET").value["object"] == "list"


def test_the_probe_before_the_first_request(gateway: Running) -> None:
    answer = gateway.ask(b"", path="/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_keys_in_both_headers(fake: Provider, tmp_path: Path) -> None:
    token = "hk-" + "k" * 29
    config = one_provider(fake.url) + f'[[keys]]\nname = "k"\ntoken = "{token}"\n'
    with serving(tmp_path, config) as running:
        for headers in ([f"x-api-key: {token}"], [f"authorization: Bearer {token}"]):
            assert post(running, least(), *headers).status == 200
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            answer = post(running, least(), path=path)
            assert (answer.status, answer.error["type"]) == (401, "authentication_error")
        answer = running.ask(b"", VERSION, path="/v1/models", method="GET")
        assert (answer.status, answer.error["type"]) == (401, "authentication_error")
