"""Google's and Ollama's official clients before the embedded engine: real llama.cpp, weights tiny and random."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from google import genai
from google.genai import types

import tiny_gguf
from gateway import PATIENCE_S, Running, serving
from hoosh.local.embedded import has_engine

pytestmark = pytest.mark.skipif(not has_engine(), reason="the engine (hoosh[llama]) is not installed")
HI: list[Any] = [{"role": "user", "content": "Say something."}]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 12}, "ok": {"type": "boolean"}},
    "required": ["answer", "ok"],
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("real")
    weights = tiny_gguf.make(home / "tiny.gguf")
    config = f'[discovery]\nenabled = false\nenv_keys = false\n[embedded]\nmodel = "tiny"\nmodel_path = "{weights}"\n'
    with serving(home, config) as running:
        yield running


@pytest.fixture
def google(gateway: Running) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=gateway.url, timeout=int(PATIENCE_S * 1e3))
    with genai.Client(api_key="any", vertexai=False, http_options=options) as made:
        yield made


@pytest.fixture
def llama(gateway: Running) -> Iterator[ollama.Client]:
    with ollama.Client(host=gateway.url, timeout=PATIENCE_S) as made:
        yield made


def test_google(google: genai.Client) -> None:
    config = types.GenerateContentConfig(max_output_tokens=8, temperature=0)
    whole = google.models.generate_content(model="tiny", contents="Say something.", config=config)
    assert whole.usage_metadata is not None
    assert (whole.usage_metadata.candidates_token_count or 0) > 0
    chunks = list(google.models.generate_content_stream(model="default", contents="Say something.", config=config))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert [model.name for model in google.models.list()] == ["models/tiny"]


def test_googles_schema_binds_the_engine(google: genai.Client) -> None:
    config = types.GenerateContentConfig(
        max_output_tokens=64, temperature=0, response_mime_type="application/json", response_json_schema=SCHEMA
    )
    answer = google.models.generate_content(model="tiny", contents="?", config=config)
    assert set(json.loads(answer.text or "")) == {"answer", "ok"}


def test_ollama(llama: ollama.Client) -> None:
    options = {"num_predict": 8, "temperature": 0}
    whole = llama.chat(model="tiny", messages=HI, options=options)
    assert (whole.eval_count or 0) > 0
    chunks = list(llama.chat(model="llama3", messages=HI, options=options, stream=True))
    assert "".join(chunk.message.content or "" for chunk in chunks) == whole.message.content
    assert 0 < (chunks[-1].prompt_eval_duration or 0) < (chunks[-1].total_duration or 0)
    assert set(json.loads(llama.chat(model="tiny", messages=HI, format=SCHEMA).message.content or "")) == {
        "answer",
        "ok",
    }


def test_the_engine_is_among_what_runs(llama: ollama.Client) -> None:
    llama.chat(model="tiny", messages=HI, options={"num_predict": 1})
    (running,) = llama.ps().models
    (listed,) = llama.list().models
    assert (running.model, running.digest) == (listed.model, listed.digest) == ("tiny", running.digest)
    assert (running.size or 0) > 0
    info = llama.show("tiny").modelinfo or {}
    assert info[f"{info['general.architecture']}.context_length"] == running.context_length == 4096
