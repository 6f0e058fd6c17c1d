"""Ollama's official client, unmodified, against `hoosh serve` before a provider of another dialect."""

import json
from collections.abc import Iterator
from typing import Any

import ollama
import pytest

from compat.scripted import ANSWER, JSON_ANSWER, MODELS, Scripted, scripted
from gateway import PATIENCE_S, QUIET, Running, serving

PNG = b"\x89PNG\r\n\x1a\n"
HI: list[Any] = [{"role": "user", "content": "Capital of France?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(provider: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = (
        f'{QUIET}\n[retry]\ntries = 1\n[[providers]]\ntype = "openai"\nname = "scripted"\nbase_url = "{provider.url}"\n'
        f'api_key = "sk-of-the-gateway"\nmodels = {json.dumps(MODELS)}\n'
    )
    with serving(tmp_path_factory.mktemp("ollama"), config) as running:
        yield running


@pytest.fixture
def client(gateway: Running) -> Iterator[ollama.Client]:
    with ollama.Client(host=gateway.url, timeout=PATIENCE_S) as made:
        yield made


def test_chat(client: ollama.Client) -> None:
    answer = client.chat(model="say", messages=HI)
    assert answer.message.content == ANSWER
    assert (answer.model, answer.done, answer.done_reason) == ("say", True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (9, 7)
    assert (answer.total_duration or 0) > 0
    assert (answer.eval_duration or 0) > 0


def test_stream(client: ollama.Client) -> None:
    chunks = list(client.chat(model="scripted/say", messages=HI, stream=True))
    assert "".join(chunk.message.content or "" for chunk in chunks) == ANSWER
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len(chunks) > 3
    assert chunks[-1].eval_count == 7


@pytest.mark.anyio
async def test_asynchronously(gateway: Running) -> None:
    async with ollama.AsyncClient(host=gateway.url, timeout=PATIENCE_S) as client:
        stream = await client.chat(model="say", messages=HI, stream=True)
        assert "".join([chunk.message.content or "" async for chunk in stream]) == ANSWER


def test_generate(client: ollama.Client) -> None:
    answer = client.generate(model="say", prompt="Capital of France?", system="Be brief.")
    assert (answer.response, answer.done_reason) == (ANSWER, "stop")
    chunks = list(client.generate(model="say", prompt="Capital of France?", stream=True))
    assert "".join(chunk.response or "" for chunk in chunks) == ANSWER
    assert chunks[-1].done


def test_a_request_without_a_prompt_loads_the_model(client: ollama.Client, provider: Scripted) -> None:
    asked = len(provider.asked)
    assert client.generate(model="say", prompt="").done_reason == "load"
    assert client.chat(model="say", messages=[], keep_alive=0).done_reason == "unload"
    assert len(provider.asked) == asked
    with pytest.raises(ollama.ResponseError) as caught:
        client.generate(model="nothing", prompt="")
    assert caught.value.status_code == 404


def test_settings_reach_the_provider(client: ollama.Client, provider: Scripted) -> None:
    options = {"temperature": 0.5, "top_p": 0.9, "num_predict": 32, "seed": 7, "stop": ["END"], "num_ctx": 4096}
    client.chat(model="say", messages=HI, options=options, think="low")
    asked = provider.asked[-1]
    assert (asked["temperature"], asked["top_p"], asked["seed"], asked["stop"]) == (0.5, 0.9, 7, ["END"])
    assert asked["reasoning_effort"] == "low"
    assert 32 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_over_two_rounds(client: ollama.Client, provider: Scripted, streamed: bool) -> None:
    messages: list[Any] = [*HI]
    if streamed:
        chunks = list(client.chat(model="tools", messages=messages, tools=[WEATHER], stream=True))
        (message,) = [chunk.message for chunk in chunks if chunk.message.tool_calls]
    else:
        message = client.chat(model="tools", messages=messages, tools=[WEATHER]).message
    calls = message.tool_calls or []
    assert len(calls) == 1
    call = calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Paris"})
    messages += [message, {"role": "tool", "content": "sunny", "tool_name": "weather"}]
    assert client.chat(model="tools", messages=messages, tools=[WEATHER]).message.content == "The tool says: sunny"
    said, result = provider.asked[-1]["messages"][-2:]
    assert said["tool_calls"][0]["id"] == result["tool_call_id"]


def test_json_by_schema(client: ollama.Client, provider: Scripted) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    answer = client.chat(model="json", messages=HI, format=schema)
    assert json.loads(answer.message.content or "") == json.loads(JSON_ANSWER)
    wanted = provider.asked[-1]["response_format"]["json_schema"]
    assert wanted["schema"] == schema
    assert wanted["name"]
    client.chat(model="json", messages=HI, format="json")
    assert provider.asked[-1]["response_format"] == {"type": "json_object"}


def test_an_image(client: ollama.Client, provider: Scripted) -> None:
    message = {"role": "user", "content": "What is it?", "images": [PNG]}
    assert client.chat(model="say", messages=[message]).message.content == ANSWER
    said = provider.asked[-1]["messages"][-1]["content"]
    assert said[1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


def test_models(client: ollama.Client) -> None:
    models = client.list().models
    assert {model.model for model in models} == set(MODELS)
    assert all(len(model.digest or "") == 64 and model.modified_at for model in models)
    shown = client.show("say")
    assert "completion" in (shown.capabilities or ())
    assert client.ps().models == []
    with pytest.raises(ollama.ResponseError) as caught:
        client.show("nothing")
    assert caught.value.status_code == 404


def test_errors_have_their_status(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as unknown:
        client.chat(model="nothing", messages=HI)
    assert unknown.value.status_code == 404
    assert "nothing" in unknown.value.error
    with pytest.raises(ollama.ResponseError) as limited:
        client.chat(model="limited", messages=HI)
    assert limited.value.status_code == 429
    with pytest.raises(ollama.ResponseError) as wrong:
        client.chat(model="say", messages=HI, think="much")
    assert wrong.value.status_code == 400


def test_a_cut_stream_is_an_error(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError):
        list(client.chat(model="cut", messages=HI, stream=True))


def test_what_cannot_be_pulled_or_deleted_says_why(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as pull:
        client.pull("llama3")
    assert pull.value.status_code == 404
    assert "no Ollama server" in pull.value.error
    with pytest.raises(ollama.ResponseError) as delete:
        client.delete("llama3")
    assert delete.value.status_code == 404
