"""Official SDKs against `hoosh serve` before a real llama.cpp: the embedded engine, and one found on its port.

The model is tiny and random, so that its words mean nothing and all else is real.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import ollama
import openai
import pytest

import tiny_gguf
from gateway import PATIENCE_S, Running, clean_environ, serving

HI: list[Any] = [{"role": "user", "content": "Say something."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "verdict",
        "schema": {
            "type": "object",
            "properties": {"answer": {"type": "string", "maxLength": 12}, "ok": {"type": "boolean"}},
            "required": ["answer", "ok"],
        },
    },
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.make(tmp_path_factory.mktemp("weights") / "tiny.gguf")


@pytest.fixture(scope="module")
def gateway(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = f'[discovery]\nenabled = false\nenv_keys = false\n[embedded]\nmodel = "tiny"\nmodel_path = "{weights}"\n'
    with serving(tmp_path_factory.mktemp("real"), config) as running:
        yield running


@pytest.fixture
def client(gateway: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", timeout=PATIENCE_S, max_retries=0) as made:
        yield made


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="llama3", messages=HI, temperature=0, max_tokens=8)
    assert answer.model == "tiny"
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_chat_raw_response(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="tiny", messages=HI, temperature=0, max_tokens=4)
    assert raw.headers["x-hoosh-provider"] == "embedded"
    assert raw.headers["x-hoosh-model"] == "tiny"
    assert raw.parse().usage is not None


def test_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="default", messages=HI, temperature=0, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


def test_async_client(gateway: Running) -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", timeout=PATIENCE_S) as client:
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(model="tiny", messages=HI, temperature=0, max_tokens=4)
                    for _ in range(4)
                )
            )
            assert len({answer.id for answer in answers}) == 4
            async with await client.chat.completions.create(
                model="tiny", messages=HI, temperature=0, max_tokens=8, stream=True
            ) as stream:
                assert [chunk async for chunk in stream]

    asyncio.run(main())


def test_json_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=HI, temperature=0, max_tokens=200, response_format=SCHEMA
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"answer", "ok"}


def test_tools_of_two_rounds(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="tiny", messages=HI, tools=[WEATHER], temperature=0, max_tokens=8)
    assert first.choices
    called = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rasht"}'}}
    history = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    second = client.chat.completions.create(
        model="tiny", messages=history, tools=[WEATHER], temperature=0, max_tokens=8
    )
    assert second.choices


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "embedded"


def test_errors_are_the_sdks_own_types(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="tinny", messages=HI)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "word " * 9000}])
    assert long.value.code == "context_length_exceeded"


def engine_pid(gateway: Running) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == gateway.process.pid and b"llama_child" in line:
                return int(entry.name)
    raise AssertionError("no engine runs")


def test_an_engine_that_is_killed_in_the_middle_of_a_stream(client: openai.OpenAI, gateway: Running) -> None:
    pid = engine_pid(gateway)
    endless: dict[str, Any] = {"ignore_eos": True}
    stream = client.chat.completions.create(
        model="tiny", messages=HI, temperature=0, max_tokens=1900, stream=True, extra_body=endless
    )
    pieces = iter(stream)
    next(pieces)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(openai.APIError):
        list(pieces)
    answer = client.chat.completions.create(model="tiny", messages=HI, temperature=0, max_tokens=4)
    assert answer.choices
    assert gateway.process.poll() is None


FOUND = """
import json, sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = 0
params.model_alias = {"llama3:latest"}
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""

FRONT = """
import http.client, json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
behind = sys.argv[1]
class Ollama(BaseHTTPRequestHandler):
    '''Ollama's shapes over the text of a real llama.cpp.'''
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.reply({"models": [{"name": "llama3:latest", "model": "llama3:latest"}]})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        connection = http.client.HTTPConnection(behind)
        body = {"messages": asked["messages"], "max_tokens": asked["options"]["num_predict"], "temperature": 0}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        text, used = answer["choices"][0]["message"]["content"], answer["usage"]
        end = {"model": asked["model"], "done": True, "done_reason": "stop",
               "prompt_eval_count": used["prompt_tokens"], "eval_count": used["completion_tokens"]}
        self.reply({**end, "message": {"role": "assistant", "content": text}})
    def reply(self, value):
        data = json.dumps(value).encode() + b"\\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Ollama)
print("127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
"""


def _started(code: str, argument: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip().removeprefix("http://")


def test_a_local_server_is_found_on_its_port_and_answers_the_default_name(weights: Path, tmp_path: Path) -> None:
    behind, address = _started(FOUND, str(weights))
    front, host = _started(FRONT, address)
    try:
        # What `ollama` itself reads to find its server, hoosh reads too.
        with ollama.Client(host=f"http://{host}") as official:
            assert [model.model for model in official.list().models] == ["llama3:latest"]
        with serving(tmp_path, "[embedded]\nenabled = false\n", OLLAMA_HOST=host) as gateway:
            assert "ollama" in gateway.banner
            answer = gateway.json({"model": "llama3", "messages": HI, "max_tokens": 8})
            assert answer.status == 200, answer.body
            assert answer.headers["x-hoosh-provider"] == "ollama"
            assert answer.headers["x-hoosh-model"] == "llama3:latest"
            assert answer.value["usage"]["completion_tokens"] > 0
    finally:
        for process in (front, behind):
            process.kill()
            process.communicate()


def test_infer_without_a_server(weights: Path, tmp_path: Path) -> None:
    config = tmp_path / "hoosh.toml"
    config.write_text(f'[discovery]\nenabled = false\n[embedded]\nmodel = "tiny"\nmodel_path = "{weights}"\n')
    schema = [sys.executable, "-m", "hoosh", "infer", "--config", str(config), "--json", "Hello"]
    done = subprocess.run(schema, env=clean_environ(tmp_path), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "tiny"


# Which this SDK has no parameter for any more.
COLD = {"temperature": 0}


@pytest.fixture
def claude(gateway: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key="any", timeout=PATIENCE_S, max_retries=0) as made:
        yield made


def test_messages(claude: anthropic.Anthropic) -> None:
    message = claude.messages.create(model="llama3", messages=HI, extra_body=COLD, max_tokens=8)
    assert message.model == "tiny"
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.output_tokens > 0
    counted = claude.messages.count_tokens(model="llama3", messages=HI)
    assert counted.input_tokens > 0


def test_messages_streamed_with_tools_of_two_rounds(claude: anthropic.Anthropic) -> None:
    function = WEATHER["function"]
    tool: Any = {"name": "weather", "description": function["description"], "input_schema": function["parameters"]}
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rasht"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "rain"}]}
    turns: list[Any] = [*HI, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    with claude.messages.stream(
        model="tiny", messages=turns, system="Be brief.", tools=[tool], extra_body=COLD, max_tokens=8
    ) as stream:
        message = stream.get_final_message()
    assert message.stop_reason
    assert message.usage.output_tokens > 0
    assert message.usage.input_tokens > 0
