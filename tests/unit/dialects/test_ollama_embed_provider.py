"""Ollama's own embeddings: what is sent, what comes back."""

import json

import pytest

from hoosh.codecs import Frame
from hoosh.core.asked import EmbedRequest
from hoosh.core.errors import BadRequest, BadUpstream, ContextTooLong, ModelGone, Overloaded, Truncated, UpstreamError
from hoosh.core.events import Metered, Opened, Usage, Vector
from hoosh.dialects import Ways
from hoosh.dialects.ollama.embed import DIALECT

TWO = EmbedRequest(model="m", inputs=("a", "b"), dialect="openai_embeddings")


def read(body: bytes, asked: EmbedRequest = TWO) -> list[object]:
    return list(DIALECT.reader(asked, Ways()).read(Frame(body, body))[1])


def test_a_list_is_sent_as_a_list() -> None:
    asked = EmbedRequest(model="x", inputs=("a", "b"), dimensions=3, user="u", extra=(("novel", b"1"),))
    sent = DIALECT.render(asked, "m", Ways())
    assert json.loads(sent.body) == {"model": "m", "input": ["a", "b"], "truncate": False, "dimensions": 3}
    assert sent.path == "/api/embed"
    assert sent.dropped == ("user", "extra.novel")


def test_tokens_are_refused_by_name() -> None:
    with pytest.raises(BadRequest) as caught:
        DIALECT.render(EmbedRequest(model="m", inputs=((1, 2),)), "m", Ways())
    assert caught.value.param == "input"


def test_a_body_of_its_own_is_passed_on() -> None:
    body = b'{"model": "m", "input": "a", "keep_alive": "5m"}'
    assert DIALECT.pass_on(TWO, body, "n", Ways()).body == b'{"model":"n","input":"a","keep_alive":"5m"}'


def test_n_inputs_give_n_vectors_in_order() -> None:
    body = b'{"model":"m","embeddings":[[1,2.5],[3,4]],"total_duration":5,"prompt_eval_count":7}'
    assert read(body) == [
        Opened(model="m"),
        Vector((1.0, 2.5), 0),
        Vector((3.0, 4.0), 1),
        Metered(Usage(input=7)),
    ]


def test_an_older_server_that_knows_no_dimensions_has_its_vectors_shortened() -> None:
    asked = EmbedRequest(model="m", inputs=("a",), dimensions=2)
    assert read(b'{"embeddings":[[3,4,12]]}', asked) == [Opened(), Vector((0.6, 0.8), 0)]


@pytest.mark.parametrize("body", [b"{}", b'{"embeddings":[[1]]}', b'{"embeddings":[[1],["x"]]}', b"[]", b"no", b"\xff"])
def test_what_is_not_one_vector_for_each_input_is_an_error(body: bytes) -> None:
    with pytest.raises(BadUpstream):
        read(body)


def test_an_error_inside_a_200_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="out of memory"):
        read(b'{"error":"out of memory"}')


def test_a_reply_without_a_body_is_truncated() -> None:
    with pytest.raises(Truncated):
        DIALECT.reader(TWO, Ways()).end()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b'{"error":"model \\"x\\" not found, try pulling it first"}', ModelGone),
        (400, b'{"error":"the input length exceeds the context length"}', ContextTooLong),
        (503, b'{"error":"server busy, please try again"}', Overloaded),
    ],
)
def test_errors(status: int, body: bytes, kind: type[UpstreamError]) -> None:
    error = DIALECT.refusal(status, {}, body)
    assert type(error) is kind
    assert error.message == json.loads(body)["error"]
