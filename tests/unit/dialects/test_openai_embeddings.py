"""Embeddings in OpenAI's words: what is asked, what is sent on, what comes back."""

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codecs import Frame
from hoosh.core.asked import EmbedRequest
from hoosh.core.errors import (
    BadRequest,
    BadUpstream,
    ContextTooLong,
    ModelGone,
    Refused,
    Throttled,
    Truncated,
    UpstreamError,
)
from hoosh.core.events import Event, Metered, Opened, Raw, Usage, Vector
from hoosh.dialects import PassingOn, Served, Ways
from hoosh.dialects.openai import vectors
from hoosh.dialects.openai_embeddings import DIALECT, LOSSES
from hoosh.providers.mends import model_without_path
from hoosh.providers.quirks import rename
from hoosh.providers.registry import find
from wire_corpus import body_of, headers_of, records

SERVED = Served(id="1", created_s=1, provider="mine", model="m", cost=lambda usage, audio_ms: 7)


def parse(**fields: object) -> EmbedRequest:
    return DIALECT.parse(json.dumps({"model": "m", "input": "a", **fields}).encode())


def packed(*values: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def reply(*vectors: object, **more: object) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "model": "m-1", **more}).encode()


def translated(asked: EmbedRequest, body: bytes) -> list[object]:
    return list(DIALECT.reader(asked, Ways()).read(Frame(body, body))[1])


def through(asked: EmbedRequest, body: bytes, usage: Usage | None = None, ways: Ways = Ways()) -> bytes:
    """The bytes that a client of the same dialect gets."""
    decoder = PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, ways))
    encoder = DIALECT.encoder(asked, SERVED)
    events = decoder.feed(body) + decoder.eof()
    told = [
        inner.usage for event in events if isinstance(event, Raw) for inner in event.events if type(inner) is Metered
    ]
    assert encoder.feed(events) == b""
    return encoder.finish(usage or told[-1])


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("one", ("one",)),
        (["one"], ("one",)),
        (["two", "one"], ("two", "one")),
        ([5, 0, 7], ((5, 0, 7),)),
        ([[5], [6, 7]], ((5,), (6, 7))),
    ],
)
def test_what_an_input_may_be(given: object, inputs: tuple[object, ...]) -> None:
    assert parse(input=given).inputs == inputs


def test_the_other_fields() -> None:
    asked = parse(dimensions=8, encoding_format="base64", user="u", input_type="query", truncate=True)
    assert (asked.dimensions, asked.base64, asked.user, asked.purpose) == (8, True, "u", "query")
    assert asked.extra == (("truncate", b"true"),)
    assert parse(encoding_format="float").base64 is False


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"model": 5}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", 1]}, "input"),
        ({"input": ["a", [1]]}, "input"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": [1, -1]}, "input"),
        ({"input": [[1, -1]]}, "input[0]"),
        ({"input": [1.5]}, "input[0]"),
        ({"input": [True]}, "input[0]"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"user": 5}, "user"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert param.partition("[")[0] in caught.value.message


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"[]", b"\xff", b'{"model":"m","input":' + b"[" * 100_000])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        DIALECT.parse(body)


def test_2048_inputs_are_taken() -> None:
    assert len(parse(input=["a"] * 2048).inputs) == 2048


def test_a_body_is_passed_on_untouched_but_for_what_must_change() -> None:
    body = b'{"input": ["a"],  "model": "m", "dimensions": 3, "x": 1.50}'
    asked = DIALECT.parse(body)
    assert DIALECT.pass_on(asked, body, "m", Ways()).body == body
    sent = DIALECT.pass_on(asked, body, "n", Ways(quirks=(rename("dimensions", "output_dimension"),)))
    assert sent.body == b'{"input":["a"],"model":"n","x":1.50,"output_dimension":3}'
    assert sent.path == "/embeddings"
    pooled = b'{"input":"a","model":"m","pool":"p"}'
    assert DIALECT.pass_on(DIALECT.parse(pooled), pooled, "m", Ways()).body == b'{"input":"a","model":"m"}'


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
TOKENS = st.lists(st.integers(0, 1 << 31), min_size=1, max_size=4).map(tuple)
asked_of_any_kind = st.builds(
    EmbedRequest,
    model=st.just("m"),
    inputs=st.lists(TEXT, min_size=1, max_size=4).map(tuple) | st.lists(TOKENS, min_size=1, max_size=4).map(tuple),
    dimensions=st.none() | st.integers(1, 5000),
    base64=st.booleans(),
    user=st.just("") | TEXT,
    dialect=st.just("openai_embeddings"),
    extra=st.sampled_from([(), (("truncate", b"true"),), (("a", b"{}"), ("b", b"[1.50]"))]),
)


@given(asked_of_any_kind)
def test_what_is_rendered_is_parsed_as_it_was(asked: EmbedRequest) -> None:
    sent = DIALECT.render(asked, "m", Ways())
    assert DIALECT.parse(sent.body) == asked
    assert sent.dropped == ()


def test_what_is_dropped_is_said() -> None:
    asked = EmbedRequest(model="m", inputs=("a",), purpose="query", dialect="gemini", extra=(("title", b'"t"'),))
    sent = DIALECT.render(asked, "n", Ways())
    assert json.loads(sent.body) == {"model": "n", "input": "a"}
    assert sent.dropped == ("purpose", "extra.title")
    assert {"purpose"} == LOSSES


def test_vectors_come_in_the_order_of_their_inputs_whatever_the_order_of_the_reply() -> None:
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    body = json.dumps({"data": data, "model": "m-1", "usage": usage}).encode()
    asked = EmbedRequest(model="m", inputs=("a", "b"))
    assert translated(asked, body) == [
        Opened(model="m-1"),
        Vector((1.0,), 0),
        Vector((2.0,), 1),
        Metered(Usage(input=3)),
    ]
    passed = json.loads(through(parse(input=["a", "b"]), body))
    assert [(item["index"], item["embedding"]) for item in passed["data"]] == [(0, [1.0]), (1, [2.0])]


@pytest.mark.parametrize("index", [0, None])
def test_vectors_without_numbers_of_their_own_are_taken_as_they_stand(index: int | None) -> None:
    body = json.dumps({"data": [{"index": index, "embedding": [1.5]}, {"index": index, "embedding": [2.5]}]}).encode()
    asked = EmbedRequest(model="m", inputs=("a", "b"))
    assert translated(asked, body)[1:] == [Vector((1.5,), 0), Vector((2.5,), 1)]
    passed = json.loads(through(parse(input=["a", "b"]), body, Usage()))
    assert [item["index"] for item in passed["data"]] == [0, 1]


@pytest.mark.parametrize(
    "body",
    [
        reply([1.0]),
        reply([1.0], [2.0], [3.0]),
        reply([1.0], "!"),
        reply([1.0], packed(1.0)[:-4]),
        reply([1.0], [None]),
        reply([1.0], {"a": 1}),
        b'{"data": null}',
        b"{}",
        b"[]",
        b"<html>",
    ],
)
def test_a_reply_that_is_not_one_vector_for_each_input_is_an_error(body: bytes) -> None:
    with pytest.raises(BadUpstream):
        translated(EmbedRequest(model="m", inputs=("a", "b")), body)


def test_an_error_inside_a_200_is_an_error() -> None:
    body = b'{"error": {"message": "slow down", "type": "rate_limit_error"}}'
    with pytest.raises(Throttled, match="slow down"):
        translated(EmbedRequest(model="m", inputs=("a",)), body)


def test_a_reply_that_ends_early_is_truncated() -> None:
    asked = parse()
    decoder = PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, Ways()))
    with pytest.raises(Truncated):
        decoder.eof()
    assert decoder.feed(reply([1.0])[:-3]) == []
    with pytest.raises(BadUpstream):
        decoder.eof()


def test_a_reply_passes_through_and_only_its_usage_grows() -> None:
    body = (
        b'{"object":"list","data":[{"index":0,"embedding":[1.50,2]}],"id":"x","usage":{"prompt_tokens":3,"cost":1e-7}}'
    )
    assert through(parse(), body) == body.replace(b"1e-7", b'1e-7,"provider":"mine","cost_micro_usd":7')


def test_usage_that_is_missing_is_estimated_and_said_to_be() -> None:
    usage = Usage(input=2, source="estimated")
    for body in (reply([1.0]), reply([1.0], usage={"prompt_tokens": "?"}), reply([1.0], usage=None)):
        told = json.loads(through(parse(), body, usage))["usage"]
        ours = {"provider": "mine", "cost_micro_usd": 7}
        assert told == {"prompt_tokens": 2, "total_tokens": 2, "estimated": True, **ours}


def test_a_vector_in_the_other_form_is_put_into_the_one_asked_for() -> None:
    as_text = json.loads(through(parse(encoding_format="base64"), reply([0.5, -2.0]), Usage(input=1)))
    assert as_text["data"] == [{"object": "embedding", "index": 0, "embedding": packed(0.5, -2.0)}]
    as_list = json.loads(through(parse(), reply(packed(0.5, -2.0)), Usage(input=1)))
    assert as_list["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, -2.0]}]
    assert as_list["model"] == "m-1"


@pytest.mark.parametrize("form", ["float", "base64"])
def test_a_server_that_knows_no_dimensions_has_its_vectors_shortened(form: str) -> None:
    long: Any = packed(3.0, 4.0, 12.0) if form == "base64" else [3.0, 4.0, 12.0]
    item = json.loads(through(parse(dimensions=2, encoding_format=form), reply(long), Usage(input=1)))["data"][0]
    got = item["embedding"] if form == "float" else struct.unpack("<2f", base64.b64decode(item["embedding"]))
    assert got == pytest.approx([0.6, 0.8])
    asked = EmbedRequest(model="m", inputs=("a",), dimensions=2)
    vector = translated(asked, reply(long))[1]
    assert isinstance(vector, Vector)
    assert math.hypot(*vector.values) == pytest.approx(1.0)


def test_a_vector_of_the_right_length_passes_through() -> None:
    body = b'{"data":[{"index":0,"embedding":[3.00,4]}],"usage":{"prompt_tokens":3}}'
    assert b"[3.00,4]" in through(parse(dimensions=2), body)


def test_more_dimensions_than_there_are_is_the_clients_mistake() -> None:
    with pytest.raises(Refused) as caught:
        through(parse(dimensions=3), reply([1.0, 2.0]))
    assert (caught.value.param, caught.value.status) == ("dimensions", 400)


def test_a_file_that_stands_for_the_model_is_not_shown() -> None:
    ways = Ways(mends=(model_without_path,))
    body = b'{"data":[{"index":0,"embedding":[1.50]}],"model":"/data/all.gguf","usage":{"prompt_tokens":1}}'
    passed = through(parse(), body, ways=ways)
    assert b"/data" not in passed
    assert b"[1.50]" in passed
    assert b'"model":"all.gguf"' in passed


def test_vectors_of_another_dialect_are_written_in_both_forms() -> None:
    events: list[Event] = [Opened(model="v"), Vector((0.5,), 1), Vector((2.0,), 0)]
    for form, values in (("float", ([2.0], [0.5])), ("base64", (packed(2.0), packed(0.5)))):
        encoder = DIALECT.encoder(parse(input=["a", "b"], encoding_format=form), SERVED)
        encoder.feed(events)
        written = json.loads(encoder.finish(Usage(input=4)))
        assert written == {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": value} for i, value in enumerate(values)],
            "model": "v",
            "usage": {"prompt_tokens": 4, "total_tokens": 4, "provider": "mine", "cost_micro_usd": 7},
        }


def test_what_32_bits_cannot_hold_is_an_error() -> None:
    with pytest.raises(BadUpstream):
        through(parse(encoding_format="base64"), reply([1e300]), Usage())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b'{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}', ModelGone),
        (429, b'{"error":{"message":"slow","type":"requests"}}', Throttled),
        (400, b'{"error":{"code":400,"type":"exceed_context_size_error","message":"too large"}}', ContextTooLong),
        (400, b'{"error":{"message":"-1 is less than the minimum"}}', Refused),
    ],
)
def test_a_refusal_is_read_as_in_chat(status: int, body: bytes, kind: type[UpstreamError]) -> None:
    assert type(DIALECT.refusal(status, {}, body)) is kind


def _recorded() -> list[dict[str, Any]]:
    found = [record for record in records(kinds=("embeddings",)) if record["url_path"].endswith("/v1/embeddings")]
    assert len(found) >= 14
    return found


def test_recorded_replies_are_read_as_they_say() -> None:
    for record in _recorded():
        if record["status"] != 200 or record["provider"] == "perplexity":  # which packs bytes, not floats
            continue
        body = body_of(record)
        said = json.loads(body)
        events = translated(EmbedRequest(model="m", inputs=("a",) * len(said["data"])), body)
        vectors = [event.values for event in events if isinstance(event, Vector)]
        assert len(vectors) == len(said["data"]), record["id"]
        for vector, item in zip(vectors, said["data"], strict=True):
            given = item["embedding"]
            floats = given if isinstance(given, list) else memoryview(base64.b64decode(given)).cast("f").tolist()
            assert list(vector) == floats, record["id"]
        assert Metered(Usage(input=said["usage"]["prompt_tokens"])) in events


def test_recorded_replies_pass_through_byte_by_byte() -> None:
    seen = 0
    for record in _recorded():
        if record["status"] != 200 or record["request_body"] is None:
            continue
        body = body_of(record)
        form = "float" if isinstance(json.loads(body)["data"][0]["embedding"], list) else "base64"
        asked = DIALECT.parse(json.dumps({**record["request_body"], "encoding_format": form}).encode())
        kind = find(record["provider"])
        tongues = kind.also if kind else ()
        ways = next((tongue.ways for tongue in tongues if tongue.dialect is DIALECT), Ways())
        if record["provider"] == "perplexity":
            asked = parse(input=["a"] * len(asked.inputs), encoding_format=form)
        (raw,) = DIALECT.reader(asked, ways).read(Frame(body, body))[:1]
        assert raw == body, record["id"]
        seen += 1
    assert seen >= 8


def test_recorded_refusals_are_refusals() -> None:
    for record in _recorded():
        if record["status"] >= 400:
            error = DIALECT.refusal(record["status"], headers_of(record), body_of(record))
            assert type(error) is (ModelGone if record["status"] == 404 else Refused), record["id"]
            assert error.message


@pytest.mark.parametrize("said", [b'"\xc3\xa9\xc3\xa9=="', b'"a"', b'"AAA="', b"[null]", b"{}", b"[1e400]x"])
def test_what_is_no_vector_is_the_providers_mistake(said: bytes) -> None:
    with pytest.raises(BadUpstream, match="not a vector"):
        vectors.read(said)
