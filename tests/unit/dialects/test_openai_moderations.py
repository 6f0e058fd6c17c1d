"""Moderations in OpenAI's words: what is asked, what is sent on, what comes back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codecs import Frame
from hoosh.core.asked import ModerationRequest
from hoosh.core.errors import BadRequest, BadUpstream, CredentialRefused, Throttled, Truncated
from hoosh.core.events import Event, Judged, Metered, Opened, Raw, Usage
from hoosh.dialects import Served, Ways
from hoosh.dialects.openai_moderations import DEFAULT_MODEL, DIALECT
from wire_corpus import body_of, records

SERVED = Served(id="1", created_s=1, provider="mine", model="m")
PICTURE = {"type": "image_url", "image_url": {"url": "https://e.com/a"}}


def parse(**fields: object) -> ModerationRequest:
    return DIALECT.parse(json.dumps({"model": "m", "input": "a", **fields}).encode())


def read(body: bytes) -> tuple[bytes, list[object]]:
    raw, events = DIALECT.reader(parse(), Ways()).read(Frame(body, body))
    return raw, list(events)


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([{"type": "text", "text": "a"}, PICTURE, {"type": "text", "text": "b"}], ("a\nb",)),
        ([PICTURE], ("",)),
    ],
)
def test_what_an_input_may_be(given: object, texts: tuple[str, ...]) -> None:
    assert parse(input=given).inputs == texts


def test_without_a_model_it_is_openais_own() -> None:
    body = b'{"input": "a", "x": 1.50}'
    asked = DIALECT.parse(body)
    assert asked.model == DEFAULT_MODEL
    assert asked.extra == (("x", b"1.50"),)
    assert DIALECT.pass_on(asked, body, DEFAULT_MODEL, Ways()).body == (
        b'{"input":"a","x":1.50,"model":"omni-moderation-latest"}'
    )


def test_parts_are_passed_on_whole() -> None:
    body = json.dumps({"model": "m", "input": [PICTURE]}).encode()
    sent = DIALECT.pass_on(DIALECT.parse(body), body, "n", Ways())
    assert json.loads(sent.body) == {"model": "n", "input": [PICTURE]}
    assert sent.path == "/moderations"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 1}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": ["a", PICTURE]}, "input"),
        ({"input": [{"text": "a"}]}, "input[0].type"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)


@given(
    st.builds(
        ModerationRequest,
        model=st.just("m"),
        inputs=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        dialect=st.just("openai_moderations"),
        extra=st.sampled_from([(), (("a", b"[1.50]"),)]),
    )
)
def test_what_is_rendered_is_parsed_as_it_was(asked: ModerationRequest) -> None:
    assert DIALECT.parse(DIALECT.render(asked, "m", Ways()).body) == asked


def test_verdicts_without_a_summary_get_one() -> None:
    body = (
        b'{"id":"x","model":"mistral-moderation","results":[{"categories":{"pii":true,"law":false},'
        b'"category_scores":{"pii":0.90,"law":1e-5}},{"categories":{"pii":false},"category_scores":{"pii":0}}],'
        b'"usage":{"prompt_tokens":8,"total_tokens":9}}'
    )
    raw, events = read(body)
    assert raw == body.replace(b'{"categories":{"pii":true', b'{"flagged":true,"categories":{"pii":true').replace(
        b'{"categories":{"pii":false}', b'{"flagged":false,"categories":{"pii":false}'
    )
    assert events == [
        Opened(model="mistral-moderation"),
        Judged(True, (("pii", True), ("law", False)), (("pii", 0.9), ("law", 1e-5)), 0),
        Judged(False, (("pii", False),), (("pii", 0.0),), 1),
        Metered(Usage(input=8)),
    ]


def test_verdicts_of_another_dialect_are_written_in_order() -> None:
    encoder = DIALECT.encoder(parse(), SERVED)
    events: list[Event] = [Judged(False, index=1), Judged(True, (("hate", True),), (("hate", 0.7),))]
    assert encoder.feed(events) == b""
    assert json.loads(encoder.finish(Usage())) == {
        "id": "modr-1",
        "model": "m",
        "results": [
            {"flagged": True, "categories": {"hate": True}, "category_scores": {"hate": 0.7}},
            {"flagged": False, "categories": {}, "category_scores": {}},
        ],
    }


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"results":[]}', b'{"results":[{"flagged":"no"}]}'])
def test_what_is_no_verdict_is_an_error(body: bytes) -> None:
    with pytest.raises(BadUpstream):
        read(body)


def test_errors() -> None:
    with pytest.raises(Throttled):
        read(b'{"error":{"message":"slow down","type":"rate_limit_error"}}')
    with pytest.raises(Truncated):
        DIALECT.reader(parse(), Ways()).end()
    assert type(DIALECT.refusal(401, {}, b'{"error":{"message":"no"}}')) is CredentialRefused


def test_recorded_verdicts_pass_through_and_mean_what_they_say() -> None:
    found = records(kinds=("moderation",))
    assert len(found) >= 5
    for record in found:
        body = body_of(record)
        (said,) = json.loads(body)["results"]
        DIALECT.parse(json.dumps(record["request_body"]).encode())
        raw, events = read(body)
        encoder = DIALECT.encoder(parse(), SERVED)
        encoder.feed([Raw(raw, ())])
        assert encoder.finish(Usage()) == body, record["id"]
        (judged,) = (event for event in events if isinstance(event, Judged))
        assert judged.flagged == said["flagged"]
        assert dict(judged.flags) == said["categories"]
        assert dict(judged.scores) == said["category_scores"]
