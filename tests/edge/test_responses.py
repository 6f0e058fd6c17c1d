"""`/v1/responses` of a real gateway, before a provider that only chats, as the official client uses it."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from compat.scripted import scripted
from gateway import PATIENCE_S, Answer, Provider, Running, one_provider, provider, serving

LAPTOP, PHONE = "a-token-of-good-length-1", "a-token-of-good-length-2"
KEYS = "".join(
    f'[[keys]]\nname = "{name}"\ntoken = "{token}"\n' for name, token in (("laptop", LAPTOP), ("phone", PHONE))
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("home"), one_provider(upstream.url) + KEYS) as running:
        yield running


def client_of(running: Running, token: str = LAPTOP) -> OpenAI:
    return OpenAI(api_key=token, base_url=f"{running.url}/v1", max_retries=0, timeout=PATIENCE_S)


@pytest.fixture
def client(gateway: Running) -> Iterator[OpenAI]:
    with client_of(gateway) as made:
        yield made


def messages(upstream: Provider) -> list[Any]:
    found: list[Any] = json.loads(upstream.bodies[-1])["messages"]
    return found


def settled(client: OpenAI, identity: str, status: str) -> Response:
    """Polled as clients poll."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := client.responses.retrieve(identity)).status != status:
        assert time.monotonic() < deadline, found.status
        time.sleep(0.02)
    return found


def test_a_conversation_by_the_last_response_alone(client: OpenAI, upstream: Provider) -> None:
    first = client.responses.create(model="echo", input="one", instructions="Be brief.")
    second = client.responses.create(model="echo", input="two", previous_response_id=first.id)
    with client.responses.stream(model="echo", input="three", previous_response_id=second.id) as stream:
        third = stream.get_final_response()
    assert [said.output_text for said in (first, second, third)] == ["one", "two", "three"]
    assert third.previous_response_id == second.id
    assert messages(upstream) == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert client.responses.retrieve(third.id).output_text == "three"


def test_the_items_that_led_to_a_response(client: OpenAI) -> None:
    first = client.responses.create(model="echo", input="one")
    second = client.responses.create(
        model="echo", input=[{"role": "user", "content": "two"}], previous_response_id=first.id
    )
    pages = client.responses.input_items.list(second.id, order="asc", limit=2)
    assert [json.loads(item.to_json())["content"][0]["text"] for item in pages] == ["one", "one", "two"]
    newest = next(iter(client.responses.input_items.list(second.id)))
    assert json.loads(newest.to_json())["content"] == [{"type": "input_text", "text": "two"}]


def test_what_is_not_to_be_stored_is_not(client: OpenAI) -> None:
    said = client.responses.create(model="echo", input="one", store=False)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(said.id)


def test_what_is_deleted_is_gone(client: OpenAI) -> None:
    said = client.responses.create(model="echo", input="one")
    client.responses.delete(said.id)
    for again in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(NotFoundError):
            again(said.id)
    with pytest.raises(NotFoundError) as caught:
        client.responses.create(model="echo", input="two", previous_response_id=said.id)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


def test_a_key_sees_only_its_own(client: OpenAI, gateway: Running) -> None:
    said = client.responses.create(model="echo", input="one")
    with client_of(gateway, PHONE) as other:
        with pytest.raises(NotFoundError):
            other.responses.retrieve(said.id)
        with pytest.raises(NotFoundError):
            other.responses.create(model="echo", input="two", previous_response_id=said.id)
    assert ask(gateway, f"/v1/responses/{said.id}", method="GET", token="wrong").status == 401


def ask(
    gateway: Running, path: str = "/v1/responses", *, method: str = "POST", token: str = LAPTOP, body: object = None
) -> Answer:
    data = json.dumps(body).encode() if body else b""
    return gateway.ask(data, f"authorization: Bearer {token}", path=path, method=method)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "echo"}, "input"),
        ({"model": "echo", "input": [{"role": "cat", "content": "x"}]}, "input[0].role"),
        ({"model": "echo", "input": "x", "background": True, "store": False}, "background"),
        ({"model": "echo", "input": "x", "background": True, "stream": True}, "stream"),
        ({"model": "echo", "input": "x", "store": "yes"}, "store"),
        ({"model": "echo", "input": 5, "previous_response_id": "resp_none"}, "previous_response_id"),
    ],
)
def test_bad_input_is_told_by_name(gateway: Running, body: dict[str, object], param: str) -> None:
    answer = ask(gateway, body=body)
    assert answer.status in (400, 404)
    assert answer.error["param"] == param


def test_paths_that_are_not_there(gateway: Running, client: OpenAI) -> None:
    said = client.responses.create(model="echo", input="one")
    assert ask(gateway, f"/v1/responses/{said.id}/more", method="GET").status == 404
    assert ask(gateway, f"/v1/responses/{said.id}/more").status == 404
    assert ask(gateway, f"/v1/responses/{said.id}?stream=true", method="GET").error["param"] == "stream"
    for query in ("limit=0", "limit=" + "9" * 5000, "limit=many", "after=none"):
        answer = ask(gateway, f"/v1/responses/{said.id}/input_items?{query}", method="GET")
        assert (answer.status, answer.error["param"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize("stored", [True, False])
def test_tools_over_two_rounds(stored: bool, tmp_path: Path) -> None:
    """By the last response's id, or by sending all items back."""
    tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    with scripted() as model:
        config = one_provider(model.url).replace('models = ["echo", "silent", "cut", "slow"]', 'models = ["tools"]')
        with serving(tmp_path, config) as running, client_of(running) as client:
            with client.responses.stream(model="tools", input="Rain?", tools=[tool], store=stored) as stream:
                first = stream.get_final_response()
            (call,) = [item for item in first.output if item.type == "function_call"]
            assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})
            result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
            if stored:
                second = client.responses.create(
                    model="tools", input=[result], tools=[tool], previous_response_id=first.id
                )
            else:
                items: Any = [{"role": "user", "content": "Rain?"}, call.to_dict(), result]
                second = client.responses.create(model="tools", input=items, tools=[tool], store=False)
    assert second.output_text == "The tool says: sunny"


class Weather(BaseModel):
    city: str


def test_structured_output(client: OpenAI, upstream: Provider) -> None:
    said = client.responses.parse(model="echo", input='{"city":"Paris"}', text_format=Weather)
    assert said.output_parsed == Weather(city="Paris")
    wanted = json.loads(upstream.bodies[-1])["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]) == (
        "json_schema",
        "Weather",
        True,
    )


def test_in_the_background(client: OpenAI) -> None:
    begun = client.responses.create(model="echo", input="one", background=True)
    assert (begun.status, begun.background, begun.output) == ("in_progress", True, [])
    assert settled(client, begun.id, "completed").output_text == "one"
    following = client.responses.create(model="echo", input="two", previous_response_id=begun.id)
    assert following.output_text == "two"
    assert client.responses.cancel(begun.id).status == "completed"


def test_what_fails_in_the_background_says_why(client: OpenAI) -> None:
    begun = client.responses.create(model="cut", input="one", background=True, extra_body={"max_output_tokens": 5})
    found = settled(client, begun.id, "completed")  # a whole reply of the provider is never cut
    assert found.output_text == "one"
    begun = client.responses.create(model="nowhere", input="one", background=True)
    found = settled(client, begun.id, "failed")
    assert found.error is not None
    assert "nowhere" in found.error.message


def test_cancelling_ends_the_call_upstream(client: OpenAI, upstream: Provider) -> None:
    upstream.hung_up.clear()
    asked = len(upstream.bodies)
    begun = client.responses.create(model="silent", input="one", background=True)
    _wait(lambda: len(upstream.bodies) > asked)
    with pytest.raises(BadRequestError, match="still in progress"):
        client.responses.create(model="echo", input="two", previous_response_id=begun.id)
    assert client.responses.cancel(begun.id).status == "cancelled"
    assert upstream.hung_up.wait(PATIENCE_S)
    assert client.responses.retrieve(begun.id).status == "cancelled"
    other = client.responses.create(model="echo", input="one")
    with pytest.raises(BadRequestError, match="background"):
        client.responses.cancel(other.id)


def _wait(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def begin(gateway: Running, model: str) -> tuple[socket.socket, str]:
    """A stream whose first words have come, and the response's id."""
    body = json.dumps({"model": model, "input": "some words", "stream": True}).encode()
    head = (
        f"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {LAPTOP}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S)
    connection.sendall(head.encode() + body)
    seen = b""
    while b"output_text.delta" not in seen:
        piece = connection.recv(65536)
        assert piece
        seen += piece
    return connection, "resp_" + seen.partition(b'"id":"resp_')[2].partition(b'"')[0].decode()


def test_a_client_that_leaves_ends_the_call_and_what_came_is_kept(
    client: OpenAI, gateway: Running, upstream: Provider
) -> None:
    upstream.hung_up.clear()
    connection, identity = begin(gateway, "slow")
    connection.close()
    assert upstream.hung_up.wait(PATIENCE_S)

    def is_kept() -> bool:
        return ask(gateway, f"/v1/responses/{identity}", method="GET").status == 200

    _wait(is_kept)
    found = client.responses.retrieve(identity)
    assert (found.status, found.output_text) == ("cancelled", "some words")


def test_a_stream_that_breaks_off_is_told_and_kept_as_failed(client: OpenAI) -> None:
    events = []
    with pytest.raises(APIError, match="ended early"):
        events += list(client.responses.create(model="cut", input="some words", stream=True))
    with client.responses.with_streaming_response.create(model="cut", input="some words", stream=True) as raw:
        last = [line for line in raw.iter_lines() if line.startswith("data:")][-1]
    failed = json.loads(last.removeprefix("data:"))
    assert failed["type"] == "response.failed"
    found = client.responses.retrieve(failed["response"]["id"])
    assert (found.status, found.output_text) == ("failed", "some words")


def test_a_response_is_kept_before_its_client_knows_that_it_is_complete(client: OpenAI) -> None:
    for event in client.responses.create(model="echo", input="one", stream=True):
        if event.type == "response.completed":
            assert client.responses.retrieve(event.response.id).output_text == "one"


def test_what_is_kept_outlives_the_gateway(upstream: Provider, tmp_path: Path) -> None:
    config = one_provider(upstream.url)
    with serving(tmp_path, config) as running, client_of(running) as client:
        first = client.responses.create(model="echo", input="one")
        stopped = client.responses.create(model="silent", input="x", background=True)
    with serving(tmp_path, config) as running, client_of(running) as client:
        found = client.responses.retrieve(stopped.id)
        assert found.status == "failed"
        assert found.error is not None
        assert found.error.message == "the gateway stopped"
        second = client.responses.create(model="echo", input="two", previous_response_id=first.id)
        assert second.output_text == "two"
        assert [message["content"] for message in messages(upstream)] == ["one", "one", "two"]


def test_what_ran_when_the_gateway_died_has_failed(upstream: Provider, tmp_path: Path) -> None:
    config = one_provider(upstream.url)
    told: list[Response] = []

    def die() -> None:
        with serving(tmp_path, config) as running, client_of(running) as client:
            told.append(client.responses.create(model="echo", input="one"))
            told.append(client.responses.create(model="silent", input="x", background=True))
            running.process.send_signal(signal.SIGKILL)
            running.process.wait(PATIENCE_S)

    with pytest.raises(AssertionError):  # it has not ended well
        die()
    first, died = told
    with serving(tmp_path, config) as running, client_of(running) as client:
        assert client.responses.retrieve(died.id).status == "failed"
        assert client.responses.retrieve(first.id).output_text == "one"


def test_where_nothing_can_be_kept_clients_are_answered_all_the_same(upstream: Provider, tmp_path: Path) -> None:
    (tmp_path / "hoosh" / "responses.db").mkdir(parents=True)
    with serving(tmp_path, one_provider(upstream.url)) as running, client_of(running) as client:
        assert client.responses.create(model="echo", input="one").output_text == "one"
        assert ask(running, "/v1/responses/resp_1", method="GET").status == 503
        assert ask(running, body={"model": "echo", "input": "one", "background": True}).status == 503
    assert "is not kept" in (tmp_path / "stderr.log").read_text()
