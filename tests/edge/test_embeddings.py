"""Embeddings as the official SDK asks for them, through a real `hoosh serve`."""

import base64
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway import PATIENCE_S, QUIET, Chat, Provider, Running, provider, serving

PATH = "/v1/embeddings"


class Vectors(Chat):
    """An OpenAI-shaped provider and Ollama in one: the n-th of N texts gets the vector [n, N, length of the text]."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)
        asked = json.loads(body)
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        vectors = [[float(i), float(len(texts)), float(len(text))] for i, text in enumerate(texts)]
        if asked["model"] == "silent":
            self._wait_for_the_end()
        elif asked["model"] == "broken":
            self._reply(200, {"data": [], "model": "broken"})
        elif self.path == "/v1/api/embed":
            self._reply(200, {"model": "m", "embeddings": vectors, "prompt_eval_count": 9})
        else:
            is_packed = asked.get("encoding_format") == "base64"
            given = [packed(vector) if is_packed else vector for vector in vectors]
            data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(given)]
            usage = {} if asked["model"] == "unmetered" else {"usage": {"prompt_tokens": 5, "total_tokens": 5}}
            self._reply(200, {"object": "list", "data": data, "model": asked["model"], **usage})


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider(Vectors) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = QUIET + "".join(
        f'[[providers]]\ntype = "{kind}"\nname = "{name}"\nbase_url = "{fake.url}"\nmodels = {models}\n'
        for kind, name, models in (
            ("vllm", "lists", '["m", "silent", "broken", "unmetered"]'),
            ("ollama", "lines", '["nomic"]'),
            ("deepseek", "chats", '["talker"]'),
        )
    )
    budgets = '[[budgets]]\nname = "small"\ncapacity = 40\n[[budgets]]\nname = "default"\ncapacity = 1000000\n'
    with serving(tmp_path_factory.mktemp("embeddings"), config + budgets) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0, timeout=PATIENCE_S) as made:
        yield made


@pytest.mark.parametrize("model", ["m", "nomic", "lines/nomic"])
def test_a_list_gives_a_vector_for_each_text_in_order(client: openai.OpenAI, model: str) -> None:
    # The SDK asks for base64 by itself and unpacks it.
    got = client.embeddings.create(model=model, input=["a", "bb", "ccc"])
    assert [item.embedding for item in got.data] == [[0.0, 3.0, 1.0], [1.0, 3.0, 2.0], [2.0, 3.0, 3.0]]
    assert [item.index for item in got.data] == [0, 1, 2]
    assert got.object == "list"
    assert got.usage.prompt_tokens == got.usage.total_tokens == (5 if model == "m" else 9)


@pytest.mark.parametrize("model", ["m", "nomic"])
def test_plain_numbers(client: openai.OpenAI, model: str) -> None:
    got = client.embeddings.create(model=model, input="four", encoding_format="float")
    assert got.data[0].embedding == [0.0, 1.0, 4.0]


@pytest.mark.parametrize("model", ["m", "nomic"])
def test_dimensions(client: openai.OpenAI, model: str) -> None:
    got = client.embeddings.create(model=model, input="four", dimensions=2)
    assert got.data[0].embedding == [0.0, 1.0]
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=model, input="four", dimensions=4)
    assert caught.value.param == "dimensions"


def test_tokens_go_where_they_are_understood(client: openai.OpenAI, fake: Provider) -> None:
    client.embeddings.create(model="m", input=[[1, 2], [3]])
    assert json.loads(fake.bodies[-1])["input"] == [[1, 2], [3]]
    with pytest.raises(openai.BadRequestError, match="texts only"):
        client.embeddings.create(model="nomic", input=[1, 2])


def test_errors_are_those_that_the_sdk_knows(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="m", input=["a", ""])
    assert caught.value.param == "input[1]"
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="nobodys", input="a")
    with pytest.raises(openai.BadRequestError, match="cannot embed"):
        client.embeddings.create(model="talker", input="a")
    with pytest.raises(openai.InternalServerError, match="0 vectors for 1 inputs"):
        client.embeddings.create(model="broken", input="a")


def test_the_head_says_who_did_it(gateway: Running) -> None:
    answer = gateway.json({"model": "nomic", "input": "a", "user": "u"}, path=PATH)
    assert answer.headers["x-hoosh-provider"] == "lines"
    assert answer.headers["x-hoosh-dropped"] == "user"
    assert answer.value["usage"]["provider"] == "lines"


def test_what_is_used_is_what_is_charged(gateway: Running) -> None:
    def ask(model: str, text: str) -> Any:
        return gateway.json({"model": model, "input": text, "pool": "small"}, path=PATH)

    assert ask("m", "a" * 30).status == 200  # 30 tokens at most were held, 5 are booked
    assert ask("m", "a" * 35).status == 200
    assert ask("m", "a" * 35).error["code"] == "budget_exceeded"  # 30 are left
    told = ask("unmetered", "a" * 20).value["usage"]
    assert (told["estimated"], told["prompt_tokens"]) == (True, 5)
    assert ask("m", "a" * 26).error["code"] == "budget_exceeded"  # 25 are left
    assert ask("m", "a" * 25).status == 200


def test_a_client_that_leaves_ends_the_providers_work(gateway: Running, fake: Provider) -> None:
    fake.hung_up.clear()
    body = b'{"model": "silent", "input": "a"}'
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    seen = len(fake.bodies)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head % (PATH.encode(), len(body)) + body)
        while len(fake.bodies) == seen:
            pass
    assert fake.hung_up.wait(PATIENCE_S)


def test_a_path_without_its_version_and_another_method(gateway: Running) -> None:
    assert gateway.json({"model": "m", "input": "a"}, path="/embeddings").status == 200
    assert gateway.ask(b"", path=PATH, method="GET").status == 405


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":"m"}', b'{"input":"a"}', b'{"model":"m","input":[[]]}'])
def test_a_bad_body_is_told_in_openais_words(gateway: Running, body: bytes) -> None:
    answer = gateway.ask(body, "content-type: application/json", path=PATH)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["param"] in ("body", "model", "input", "input[0]")


def test_the_log_has_its_line(tmp_path: Path, fake: Provider) -> None:
    config = f'{QUIET}[[providers]]\ntype = "vllm"\nbase_url = "{fake.url}"\nmodels = ["m"]\n'
    with serving(tmp_path, config) as running:
        running.json({"model": "m", "input": "a"}, path=PATH)
    lines = [json.loads(line) for line in (tmp_path / "stderr.log").read_text().splitlines()]
    (line,) = [line for line in lines if line.get("model") == "m"]
    assert line["input_tokens"] == 5, line
