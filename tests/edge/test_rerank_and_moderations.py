"""Rankings and moderations through a real `hoosh serve`."""

import json
from collections.abc import Iterator

import openai
import pytest

from gateway import PATIENCE_S, QUIET, Chat, Provider, Running, provider, serving

DOCUMENTS = ["short", {"text": "the longest of all"}, "of middling size"]


class Judge(Chat):
    """Ranks by length, flags what says "hate"."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)
        asked = json.loads(body)
        if self.path.endswith("/rerank"):
            texts = [one if isinstance(one, str) else one["text"] for one in asked["documents"]]
            order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))[: asked.get("top_n")]
            results = [{"index": i, "relevance_score": len(texts[i]) / 100} for i in order]
            self._reply(200, {"model": "/models/r.gguf", "results": results, "usage": {"total_tokens": 9}})
        else:
            texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
            flags = ["hate" in str(text) for text in texts]
            verdicts = [{"categories": {"hate": flag}, "category_scores": {"hate": float(flag)}} for flag in flags]
            self._reply(200, {"id": "modr-1", "model": asked["model"], "results": verdicts})


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider(Judge) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = QUIET + "".join(
        f'[[providers]]\ntype = "{kind}"\nbase_url = "{fake.url}"\nmodels = {models}\n'
        for kind, models in (
            ("llamacpp", '["ranker"]'),
            ("openai", '["omni-moderation-latest"]'),
            ("mistral", '["mistral-moderation"]'),
            ("deepseek", '["talker"]'),
        )
    )
    with serving(tmp_path_factory.mktemp("judge"), config) as running:
        yield running


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_documents_are_ranked(gateway: Running, fake: Provider, path: str) -> None:
    asked = {"model": "ranker", "query": "q", "documents": DOCUMENTS, "top_n": 2, "return_documents": True}
    answer = gateway.json(asked, path=path)
    assert answer.status == 200
    assert answer.headers["x-hoosh-provider"] == "llamacpp"
    assert answer.value == {
        "model": "r.gguf",
        "results": [
            {"index": 1, "relevance_score": 0.18, "document": {"text": "the longest of all"}},
            {"index": 2, "relevance_score": 0.16, "document": {"text": "of middling size"}},
        ],
        "usage": {"total_tokens": 9, "provider": "llamacpp", "cost_micro_usd": 0},
    }
    assert json.loads(fake.bodies[-1]) == asked


def test_what_cannot_be_ranked_is_told(gateway: Running) -> None:
    answer = gateway.json({"model": "ranker", "query": "q", "documents": [{}]}, path="/v2/rerank")
    assert (answer.status, answer.error["param"]) == (400, "documents[0].text")
    answer = gateway.json({"model": "talker", "query": "q", "documents": ["a"]}, path="/v2/rerank")
    assert (answer.status, answer.error["param"]) == (400, "model")
    assert "cannot rerank" in answer.error["message"]


@pytest.mark.parametrize("model", [None, "mistral-moderation"])
def test_texts_are_judged_one_by_one(gateway: Running, model: str | None) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k", max_retries=0, timeout=PATIENCE_S) as client:
        got = client.moderations.create(input=["I hate it", "fine"], **({"model": model} if model else {}))  # type: ignore[arg-type]
        assert [result.flagged for result in got.results] == [True, False]
        assert got.model == (model or "omni-moderation-latest")
        with pytest.raises(openai.BadRequestError) as caught:
            client.moderations.create(input="")
        assert caught.value.param == "input"
