"""Ollama's two addresses for vectors, as clients ask there."""

import json

import ollama
import pytest

from hoosh.core.errors import BadRequest
from hoosh.core.events import Raw, Usage, Vector
from hoosh.dialects import Served
from hoosh.dialects.ollama.embedding import ONE, SEVERAL, OllamaEmbedClient

SERVED = Served(id="call1", created_s=0, provider="mine", model="vendor-m", elapsed_ns=lambda: 10_000)


def test_one_text_and_several() -> None:
    one = SEVERAL.parse(b'{"model":"m","input":"a","truncate":true,"keep_alive":"5m"}')
    assert (one.inputs, [name for name, _ in one.extra]) == (("a",), ["truncate", "keep_alive"])
    several = SEVERAL.parse(b'{"model":"m","input":["a","b"],"dimensions":8}')
    assert (several.inputs, several.dimensions, several.dialect) == (("a", "b"), 8, "ollama_embed")
    old = ONE.parse(b'{"model":"m","prompt":"a","options":{}}')
    assert (old.inputs, old.dialect) == (("a",), "ollama_embeddings")


def test_replies() -> None:
    asked = SEVERAL.parse(b'{"model":"m","input":["a","b"]}')
    encoder = SEVERAL.encoder(asked, SERVED)
    assert encoder.feed([Vector((0.5,), 1), Vector((1.5,), 0)]) == b""
    reply = ollama.EmbedResponse.model_validate_json(encoder.finish(Usage(input=4)))
    assert ([list(vector) for vector in reply.embeddings], reply.model) == ([[1.5], [0.5]], "m")
    assert (reply.prompt_eval_count, reply.total_duration) == (4, 10_000)
    encoder = ONE.encoder(ONE.parse(b'{"model":"m","prompt":"a"}'), SERVED)
    encoder.feed([Vector((0.5, 1.0), 0)])
    assert json.loads(encoder.finish(Usage())) == {"embedding": [0.5, 1.0]}
    encoder = SEVERAL.encoder(asked, SERVED)
    encoder.feed([Raw(b'{"embeddings": []}')])
    assert encoder.finish(Usage()) == b'{"embeddings": []}'


@pytest.mark.parametrize(
    ("client", "body", "param"),
    [
        (SEVERAL, b"{", "body"),
        (SEVERAL, b'{"model":"m"}', "input"),
        (SEVERAL, b'{"model":"m","input":[]}', "input"),
        (SEVERAL, b'{"model":"m","input":[5]}', "input[0]"),
        (SEVERAL, b'{"model":"m","input":"a","dimensions":0}', "dimensions"),
        (SEVERAL, b'{"input":"a"}', "model"),
        (ONE, b'{"model":"m"}', "prompt"),
        (ONE, b'{"model":"m","prompt":["a"]}', "prompt"),
    ],
)
def test_a_bad_body_names_its_field(client: OllamaEmbedClient, body: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        client.parse(body)
    assert caught.value.param is not None
    assert caught.value.param.startswith(param)
    assert json.loads(client.fault(caught.value, "r1")) == {"error": caught.value.message}
