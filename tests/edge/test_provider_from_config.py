"""An OpenAI-compatible provider that nobody has heard of: a table in the file is all it takes."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from compat.scripted import ANSWER, USAGE, Scripted, scripted
from gateway import PATIENCE_S, QUIET, Running, serving

# A provider of the registry in its shortest form is this long at most, import and all.
MAX_LINES = 20


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: Scripted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    table = f'[[providers]]\ntype = "openai"\nname = "office"\nbase_url = "{upstream.url}"\n'
    with serving(tmp_path_factory.mktemp("office"), f"{QUIET}\n{table}") as running:
        yield running


def test_a_table_in_the_file_is_a_provider(gateway: Running) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", timeout=PATIENCE_S, max_retries=0) as client:
        assert "say" in [model.id for model in client.models.list()]
        reply = client.chat.completions.with_raw_response.create(
            model="office/say", messages=[{"role": "user", "content": "Hi"}]
        )
        assert reply.headers["x-hoosh-provider"] == "office"
        assert reply.parse().choices[0].message.content == ANSWER
        stream = client.chat.completions.create(
            model="say",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]


def test_it_is_asked_in_openais_words_without_a_key(gateway: Running, upstream: Scripted) -> None:
    upstream.asked.clear()
    answer = gateway.json({"model": "office/say", "messages": [{"role": "user", "content": "Hi"}], "frobnicate": [1]})
    assert answer.status == 200
    (asked,) = upstream.asked
    assert asked == {"model": "say", "messages": [{"role": "user", "content": "Hi"}], "frobnicate": [1]}


def test_the_recipe_for_one_of_the_registry_is_short() -> None:
    recipe = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
    code = recipe.partition("```python\n")[2].partition("```")[0]
    assert "PROVIDER = Provider(" in code
    assert len(code.splitlines()) <= MAX_LINES
