"""Reranking: what is asked, what is sent on, what comes back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codecs import Frame
from hoosh.core.asked import RerankRequest
from hoosh.core.errors import BadRequest, BadUpstream, Throttled, Truncated, UpstreamError
from hoosh.core.events import Event, Metered, Opened, Ranked, Raw, Usage
from hoosh.dialects import Served, Ways
from hoosh.dialects.rerank import DIALECT
from hoosh.providers.mends import model_without_path
from hoosh.providers.registry import find
from wire_corpus import body_of, records

SERVED = Served(id="1", created_s=1, provider="mine", model="m", cost=lambda usage, audio_ms: 7)
OURS = {"provider": "mine", "cost_micro_usd": 7}


def parse(**fields: object) -> RerankRequest:
    return DIALECT.parse(json.dumps({"model": "m", "query": "q", "documents": ["a", "b"], **fields}).encode())


def read(asked: RerankRequest, body: bytes, ways: Ways = Ways()) -> tuple[bytes, list[object]]:
    raw, events = DIALECT.reader(asked, ways).read(Frame(body, body))
    return raw, list(events)


def written(asked: RerankRequest, events: list[Event], usage: Usage) -> dict[str, object]:
    encoder = DIALECT.encoder(asked, SERVED)
    assert encoder.feed(events) == b""
    value: dict[str, object] = json.loads(encoder.finish(usage))
    return value


def test_documents_are_texts_or_hold_one() -> None:
    asked = parse(documents=["a", {"text": "b", "title": "t"}], top_n=1, return_documents=True, max_tokens_per_doc=9)
    assert asked.documents == ("a", "b")
    assert (asked.top_n, asked.return_documents) == (1, True)
    assert asked.extra == (("max_tokens_per_doc", b"9"),)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"query": None}, "query"),
        ({"query": ""}, "query"),
        ({"query": 5}, "query"),
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": ["a", 5]}, "documents[1]"),
        ({"documents": [{"title": "t"}]}, "documents[0].text"),
        ({"documents": ["a"] * 10_001}, "documents"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "1"}, "top_n"),
        ({"return_documents": 1}, "return_documents"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)


@given(
    st.builds(
        RerankRequest,
        model=st.just("m"),
        query=TEXT,
        documents=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        top_n=st.none() | st.integers(1, 9),
        return_documents=st.booleans(),
        dialect=st.just("rerank"),
        extra=st.sampled_from([(), (("rank_fields", b'["a"]'),)]),
    )
)
def test_what_is_rendered_is_parsed_as_it_was(asked: RerankRequest) -> None:
    assert DIALECT.parse(DIALECT.render(asked, "m", Ways()).body) == asked


def test_a_body_is_passed_on_but_for_its_model() -> None:
    body = b'{"query": "q", "model": "m",  "documents": ["a"], "x": 1.50}'
    asked = DIALECT.parse(body)
    assert DIALECT.pass_on(asked, body, "m", Ways()).body == body
    assert DIALECT.pass_on(asked, body, "n", Ways()).body == b'{"query":"q","model":"n","documents":["a"],"x":1.50}'
    assert DIALECT.pass_on(asked, body, "n", Ways()).path == "/rerank"


def test_a_ranking_passes_through_and_its_usage_grows() -> None:
    body = (
        b'{"results":[{"index":1,"relevance_score":0.50},{"index":0,"relevance_score":-2}],"usage":{"total_tokens":7}}'
    )
    raw, events = read(parse(), body)
    assert raw == body
    assert events == [Opened(), Ranked(0.5, 1), Ranked(-2.0, 0), Metered(Usage(input=7))]
    encoder = DIALECT.encoder(parse(), SERVED)
    encoder.feed([Raw(raw, ())])
    assert encoder.finish(Usage(input=7)) == body.replace(b'":7}', b'":7,"provider":"mine","cost_micro_usd":7}')


def test_coheres_bill_counts_where_it_tells_tokens() -> None:
    body = b'{"results":[],"meta":{"billed_units":{"search_units":1},"tokens":{"input_tokens":12.0}}}'
    assert read(parse(), body)[1][-1] == Metered(Usage(input=12))


def test_usage_that_is_missing_is_estimated_and_said_to_be() -> None:
    for told in ("", ',"usage":null'):
        body = b'{"results":[{"index":0,"relevance_score":1.0}]%b}' % told.encode()
        usage = written(parse(), [Raw(body, ())], Usage(input=4, source="estimated"))["usage"]
        assert usage == {"prompt_tokens": 4, "total_tokens": 4, "estimated": True, **OURS}


def test_documents_that_were_asked_for_come_back() -> None:
    body = b'{"results":[{"index":1,"relevance_score":0.50}],"usage":{"total_tokens":7}}'
    (result,) = json.loads(read(parse(return_documents=True), body)[0])["results"]
    assert result == {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}
    given = body.replace(b"0.50", b'0.50,"document":{"text":"B"}')
    assert read(parse(return_documents=True), given)[0] == given


def test_a_file_that_stands_for_the_model_is_not_shown() -> None:
    ways = Ways(mends=(model_without_path,))
    assert b"/data" not in read(parse(), b'{"model":"/data/r.gguf","results":[]}', ways)[0]


def test_a_ranking_of_another_dialect_is_written_best_first() -> None:
    events: list[Event] = [Opened(model="v"), Ranked(0.1, 0), Ranked(0.9, 1)]
    assert written(parse(top_n=1, return_documents=True), events, Usage(input=3)) == {
        "id": "rerank-1",
        "object": "list",
        "model": "v",
        "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3, **OURS},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"x",
        b'{"results":[{"index":2,"relevance_score":1}]}',
        b'{"results":[{"index":-1,"relevance_score":1}]}',
        b'{"results":[{"relevance_score":1}]}',
    ],
)
def test_what_is_no_ranking_is_an_error(body: bytes) -> None:
    with pytest.raises(BadUpstream):
        read(parse(), body)


def test_errors() -> None:
    with pytest.raises(Throttled):
        read(parse(), b'{"error":{"message":"slow down","type":"rate_limit_error"}}')
    with pytest.raises(Truncated):
        DIALECT.reader(parse(), Ways()).end()
    no_such_api = b'{"error":{"code":501,"message":"not supported","type":"not_supported_error"}}'
    error: UpstreamError = DIALECT.refusal(501, {}, no_such_api)
    assert (type(error), error.status) == (BadUpstream, 501)
    assert json.loads(DIALECT.fault(error, "r"))["error"]["message"] == "not supported"


def test_recorded_rankings_pass_through_and_mean_what_they_say() -> None:
    found = records(kinds=("rerank",))
    assert len(found) >= 12
    for record in found:
        body, said = body_of(record), json.loads(body_of(record))
        given = {name: value for name, value in record["request_body"].items() if name != "top_n" or value}
        kind = find(record["provider"])
        tongues = kind.also if kind else ()
        ways = next((tongue.ways for tongue in tongues if tongue.dialect is DIALECT), Ways())
        raw, events = read(DIALECT.parse(json.dumps(given).encode()), body, ways)
        assert raw == body, record["id"]
        ranked = [(event.index, event.score) for event in events if isinstance(event, Ranked)]
        assert ranked == [(result["index"], result["relevance_score"]) for result in said["results"]]
        used = [event.usage.input for event in events if isinstance(event, Metered)]
        assert used == ([said["usage"]["total_tokens"]] if "usage" in said else [])
