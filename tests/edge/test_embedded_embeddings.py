"""Vectors of hoosh's own: the real llama.cpp on an encoder of random weights, asked through a real `hoosh serve`."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import psutil  # type: ignore[import-untyped]
import pytest

import tiny_bert
import tiny_gguf
from gateway import PATIENCE_S, Running, serving
from hoosh.local.embedded import has_engine
from hoosh.local.store import ModelStore, default_root

pytestmark = pytest.mark.skipif(not has_engine(), reason="the engine (hoosh[llama]) is not installed")

MODEL = "all-minilm-l6-v2"
ALONE = "[discovery]\nenabled = false\nenv_keys = false\n"
# The same text is computed beside others with other roundings.
NEAR = 1e-5


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("embedded")
    tiny_bert.store(default_root({"HOOSH_HOME": str(home / "hoosh")}), MODEL)
    with serving(home, ALONE) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0, timeout=2 * PATIENCE_S) as made:
        yield made


def engines(gateway: Running) -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process(gateway.process.pid).children()
        if process.status() != psutil.STATUS_ZOMBIE and "hoosh.local.llama_child" in process.cmdline()
    ]


def test_the_engine_starts_with_the_first_call_and_the_list_of_models_is_none(tmp_path: Path) -> None:
    tiny_bert.store(default_root({"HOOSH_HOME": str(tmp_path / "hoosh")}), MODEL)
    with serving(tmp_path, ALONE) as running:
        rows = running.ask(b"", path="/v1/models", method="GET").value["data"]
        assert [(row["id"], row["owned_by"]) for row in rows] == [(MODEL, "embedded")]
        assert engines(running) == []
        assert running.json({"model": "default", "input": "a"}, path="/v1/embeddings").status == 200
        assert len(engines(running)) == 1


@pytest.mark.parametrize("model", ["default", MODEL, f"embedded/{MODEL}"])
def test_a_bare_install_makes_vectors(client: openai.OpenAI, model: str) -> None:
    got = client.embeddings.create(model=model, input=["abc", "something else", "abc"])
    vectors = [item.embedding for item in got.data]
    assert [len(vector) for vector in vectors] == [tiny_bert.WIDTH] * 3
    assert vectors[2] == pytest.approx(vectors[0], abs=NEAR)
    assert vectors[1] != pytest.approx(vectors[0], abs=0.01)
    assert sum(value * value for value in vectors[0]) == pytest.approx(1.0, abs=NEAR)
    assert got.usage.prompt_tokens == got.usage.total_tokens == 5 + 15 + 5  # letters, and two marks of each text
    assert got.model == MODEL


def test_a_text_has_the_same_vector_alone_and_in_a_list_in_both_forms(client: openai.OpenAI) -> None:
    (alone,) = client.embeddings.create(model="default", input="abc", encoding_format="float").data
    listed = client.embeddings.create(model="default", input=["x", "abc", "y" * 50], encoding_format="base64").data
    (as_numbers,) = client.embeddings.create(model="default", input=["abc"]).data
    assert as_numbers.embedding == pytest.approx(alone.embedding, abs=NEAR)
    assert isinstance(listed[1].embedding, str)


def test_vectors_are_shortened_to_length_one(client: openai.OpenAI) -> None:
    (whole,) = client.embeddings.create(model="default", input="abc").data
    (short,) = client.embeddings.create(model="default", input="abc", dimensions=8).data
    assert len(short.embedding) == 8
    assert sum(value * value for value in short.embedding) == pytest.approx(1.0, abs=NEAR)
    assert short.embedding[0] * whole.embedding[1] == pytest.approx(short.embedding[1] * whole.embedding[0], abs=NEAR)
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="default", input="abc", dimensions=tiny_bert.WIDTH + 1)
    assert caught.value.param == "dimensions"


def test_a_text_that_is_too_long_is_refused_and_the_engine_lives(gateway: Running, client: openai.OpenAI) -> None:
    client.embeddings.create(model="default", input="a " * 510)
    (before,) = engines(gateway)
    for text in ("a " * 511, "b" * 100_000):
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="default", input=["fine", text])
        assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="default", input=[[3, 99_999_999]])
    assert client.embeddings.create(model="default", input="a").data
    assert engines(gateway) == [before]


def test_a_killed_engine_is_followed_by_another(gateway: Running, client: openai.OpenAI) -> None:
    client.embeddings.create(model="default", input="a")
    (engine,) = engines(gateway)
    os.kill(engine.pid, signal.SIGKILL)
    psutil.wait_procs([engine], PATIENCE_S)
    assert client.embeddings.create(model="default", input="a").data
    (successor,) = engines(gateway)
    assert successor.pid != engine.pid


def test_a_model_that_makes_vectors_does_not_talk(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot chat"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    assert client.embeddings.create(model=MODEL, input="a").data


def test_one_engine_talks_and_another_makes_vectors(tmp_path: Path) -> None:
    tiny_bert.store(default_root({"HOOSH_HOME": str(tmp_path / "hoosh")}), MODEL)
    weights = tiny_gguf.make(tmp_path / "tiny.gguf")
    config = f"{ALONE}[embedded]\nmodel = 'talker'\nmodel_path = '{weights}'\npreload = false\n"
    with (
        serving(tmp_path, config) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="k", max_retries=0, timeout=2 * PATIENCE_S) as client,
    ):
        assert len(client.embeddings.create(model="default", input="a").data) == 1
        whole = client.completions.create(model="default", prompt="a river", max_tokens=3, temperature=0, logprobs=1)
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 3
        assert whole.choices[0].logprobs is not None
        assert "".join(whole.choices[0].logprobs.tokens or ()) == whole.choices[0].text
        options = {"include_usage": True}
        stream = list(
            client.completions.create(  # type: ignore[call-overload]
                model="default", prompt=["one", "two", "three"], max_tokens=3, stream=True, stream_options=options
            )
        )
        finished = [choice.index for chunk in stream for choice in chunk.choices if choice.finish_reason]
        assert sorted(finished) == [0, 1, 2]
        assert stream[-1].usage.completion_tokens <= 9
        assert stream[-1].usage.completion_tokens > 3
        assert len(engines(running)) == 2
        with pytest.raises(openai.NotFoundError, match=f"cannot chat with {MODEL}"):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.NotFoundError, match="cannot embed with talker"):
            client.embeddings.create(model="talker", input="a")


@pytest.mark.slow
def test_the_real_model_puts_what_belongs_together_side_by_side(tmp_path: Path) -> None:
    # HOOSH_HOME spares who has the model the 84 MB.
    home = Path(os.environ.get("HOOSH_HOME", tmp_path / "hoosh"))
    ModelStore(default_root({"HOOSH_HOME": str(home)})).pull("minilm", lambda _: None)
    texts = ["How do I reset my password?", "I forgot my password and cannot log in.", "The cat sleeps on the sofa."]
    with (
        serving(tmp_path, ALONE, HOOSH_HOME=str(home)) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="k", timeout=2 * PATIENCE_S) as asked,
    ):
        password, forgot, cat = [item.embedding for item in asked.embeddings.create(model="default", input=texts).data]

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert len(cat) == 384
    assert cosine(password, forgot) > 0.6
    assert cosine(password, cat) < 0.2
    assert cosine(forgot, cat) < 0.2
