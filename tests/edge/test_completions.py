"""OpenAI's older Completions as the official SDK asks for them, through a real `hoosh serve`: over a provider that has
them, and over one that can only chat.
"""

import json
import socket
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from gateway import PATIENCE_S, QUIET, Chat, Provider, Running, provider, serving

PATH = "/v1/completions"
USAGE = {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}


class Completing(Chat):
    """Chats as `Chat` does; goes on with each prompt by saying it again."""

    def do_POST(self) -> None:
        if self.path.endswith("/chat/completions"):
            super().do_POST()
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        self.server.bodies.append(body)
        self.server.headers.append({"path": self.path})
        prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
        if asked["model"] == "silent":
            self._wait_for_the_end()
        elif asked.get("stream"):
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for index, prompt in enumerate(prompts):
                self._piece({"choices": [{"text": str(prompt), "index": index, "finish_reason": None}]})
                self._piece({"choices": [{"text": "", "index": index, "finish_reason": "stop"}]})
            self._piece({"choices": [], "usage": USAGE})
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True
        else:
            choices = [{"text": str(one), "index": i, "finish_reason": "stop"} for i, one in enumerate(prompts)]
            self._reply(200, {"id": "c", "model": asked["model"], "choices": choices, "usage": USAGE})

    def _piece(self, fields: dict[str, Any]) -> None:
        self.wfile.write(b"data: %b\n\n" % json.dumps({"id": "c", "object": "text_completion", **fields}).encode())


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider(Completing) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = QUIET + "".join(
        f'[[providers]]\ntype = "{kind}"\nbase_url = "{fake.url}"\nmodels = {models}\n'
        for kind, models in (
            ("vllm", '["base", "silent"]'),
            ("groq", '["echo", "cut", "slow"]'),
            ("openai", '["gpt-4o", "gpt-3.5-turbo-instruct"]'),
            ("deepseek", '["deepseek-chat"]'),
        )
    )
    with serving(tmp_path_factory.mktemp("completions"), config) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0, timeout=PATIENCE_S) as made:
        yield made


@pytest.mark.parametrize("model", ["base", "echo"])
def test_a_prompt_is_gone_on_with(client: openai.OpenAI, model: str) -> None:
    got = client.completions.create(model=model, prompt="Once upon", max_tokens=9, temperature=0)
    assert got.choices[0].text == "Once upon"
    assert got.choices[0].finish_reason == "stop"
    assert got.usage is not None
    assert got.usage.total_tokens == (10 if model == "base" else 5)


@pytest.mark.parametrize("model", ["base", "echo"])
def test_a_stream_is_one_of_text_completions(client: openai.OpenAI, model: str) -> None:
    options = {"include_usage": True}
    stream = client.completions.create(model=model, prompt="Once upon", stream=True, stream_options=options)  # type: ignore[call-overload]
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "Once upon"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.provider == ("vllm" if model == "base" else "groq")


def test_where_a_provider_has_the_api_the_body_is_its_own(gateway: Running, fake: Provider) -> None:
    asked = {"model": "base", "prompt": "a", "suffix": "z", "echo": True, "best_of": 2, "novel": 1.5}
    answer = gateway.json(asked, path=PATH)
    assert json.loads(fake.bodies[-1]) == asked
    assert "x-hoosh-dropped" not in answer.headers


def test_what_a_chat_cannot_say_is_declared(gateway: Running, fake: Provider) -> None:
    asked = {"model": "echo", "prompt": "a", "suffix": "z", "echo": True, "best_of": 2, "max_tokens": 5, "stop": ["."]}
    answer = gateway.json(asked, path=PATH)
    assert answer.headers["x-hoosh-dropped"] == "extra.suffix, extra.echo, extra.best_of"
    sent = json.loads(fake.bodies[-1])
    assert sent["messages"] == [{"role": "user", "content": "a"}]
    assert sent["stop"] == ["."]
    assert answer.value["id"].startswith("cmpl-")
    assert answer.value["object"] == "text_completion"


def test_each_model_of_openais_is_asked_where_it_answers(gateway: Running, fake: Provider) -> None:
    gateway.json({"model": "gpt-4o", "prompt": "a"}, path=PATH)
    assert "messages" in json.loads(fake.bodies[-1])
    gateway.json({"model": "gpt-3.5-turbo-instruct", "prompt": "a"}, path=PATH)
    assert json.loads(fake.bodies[-1]) == {"model": "gpt-3.5-turbo-instruct", "prompt": "a"}


def test_deepseeks_completions_are_at_a_root_of_their_own(gateway: Running, fake: Provider) -> None:
    assert gateway.json({"model": "deepseek-chat", "prompt": "a"}, path=PATH).status == 200
    assert fake.headers[-1]["path"] == "/beta/completions"


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2], [3]]])
def test_several_prompts_and_tokens_go_where_they_are_understood(
    client: openai.OpenAI, fake: Provider, prompt: Any
) -> None:
    got = client.completions.create(model="base", prompt=prompt)
    assert [choice.text for choice in got.choices] == [str(one) for one in prompt]
    assert json.loads(fake.bodies[-1])["prompt"] == prompt
    stream = client.completions.create(model="base", prompt=prompt, stream=True)
    texts = {choice.index: choice.text for chunk in stream for choice in chunk.choices if choice.text}
    assert texts == {i: str(one) for i, one in enumerate(prompt)}
    with pytest.raises(openai.BadRequestError, match="cannot complete"):
        client.completions.create(model="echo", prompt=prompt)


def test_errors_are_those_that_the_sdk_knows(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="base", prompt="")
    assert caught.value.param == "prompt"
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="nobodys", prompt="a")


def test_a_stream_that_breaks_off_ends_in_an_error_and_without_done(gateway: Running) -> None:
    answer = gateway.json({"model": "cut", "prompt": "a", "stream": True}, path=PATH)
    assert b'"error":{' in answer.body
    assert b"[DONE]" not in answer.body


@pytest.mark.parametrize(("model", "stream"), [("silent", False), ("slow", True)])
def test_a_client_that_leaves_ends_the_providers_work(
    gateway: Running, fake: Provider, model: str, stream: bool
) -> None:
    fake.hung_up.clear()
    body = json.dumps({"model": model, "prompt": "Hi", "stream": stream}).encode()
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    seen, got = len(fake.bodies), b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head % (PATH.encode(), len(body)) + body)
        while len(fake.bodies) == seen or (stream and b"Hi" not in got):
            if stream:
                got += connection.recv(65536)
    assert fake.hung_up.wait(PATIENCE_S)
