"""Vectors as Google's and Ollama's official clients ask for them, from a provider of OpenAI's dialect."""

import json
from collections.abc import Iterator

import ollama
import pytest
from google import genai
from google.genai import errors, types

from edge.test_embeddings import Vectors
from gateway import PATIENCE_S, QUIET, Provider, Running, provider, serving


@pytest.fixture(scope="module")
def behind() -> Iterator[Provider]:
    with provider(Vectors) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(behind: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = (
        f'{QUIET}\n[retry]\ntries = 1\n[[providers]]\ntype = "openai"\nname = "fake"\nbase_url = "{behind.url}"\n'
        'api_key = "sk-of-the-gateway"\nmodels = ["m", "broken"]\n'
    )
    with serving(tmp_path_factory.mktemp("vectors"), config) as running:
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


def test_google(google: genai.Client, behind: Provider) -> None:
    told = google.models.embed_content(
        model="m", contents=["a", "bcd"], config=types.EmbedContentConfig(task_type="RETRIEVAL_QUERY")
    )
    assert [one.values for one in told.embeddings or ()] == [[0.0, 2.0, 1.0], [1.0, 2.0, 3.0]]
    assert json.loads(behind.bodies[-1])["input"] == ["a", "bcd"]
    with pytest.raises(errors.APIError):
        google.models.embed_content(model="broken", contents="a")
    with pytest.raises(errors.ClientError) as unknown:
        google.models.embed_content(model="nothing", contents="a")
    assert unknown.value.status == "NOT_FOUND"


def test_ollama(llama: ollama.Client, behind: Provider) -> None:
    assert [list(one) for one in llama.embed(model="m", input="a").embeddings] == [[0.0, 1.0, 1.0]]
    told = llama.embed(model="fake/m", input=["a", "bcd"])
    assert [list(one) for one in told.embeddings] == [[0.0, 2.0, 1.0], [1.0, 2.0, 3.0]]
    assert list(llama.embeddings(model="m", prompt="bcd").embedding) == [0.0, 1.0, 3.0]
    with pytest.raises(ollama.ResponseError) as unknown:
        llama.embed(model="nothing", input="a")
    assert unknown.value.status_code == 404
