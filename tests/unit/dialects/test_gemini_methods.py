"""Gemini's methods beside generateContent, both faces: countTokens, embedContent, batchEmbedContents."""

import json
from typing import Any

import pytest

from hoosh.core.asked import CountRequest, EmbedRequest, Message, TextPart
from hoosh.core.errors import BadRequest, BadUpstream, Truncated
from hoosh.core.events import Counted, Metered, Raw, Usage, Vector
from hoosh.dialects import PassingOn, Served, Translating, Ways
from hoosh.dialects.gemini import COUNT, EMBED
from hoosh.dialects.gemini.client import CLIENT
from hoosh.dialects.openai_chat import DIALECT as OPENAI

SERVED = Served(id="call1", created_s=5, provider="mine", model="m")
HI: list[Any] = [{"role": "user", "parts": [{"text": "Hi"}]}]
TWO = EmbedRequest(model="m", inputs=("a", "b"))


def decoded(dialect: Any, asked: Any, data: bytes) -> list[Any]:
    decoder = Translating(dialect.splitter(asked, b""), dialect.reader(asked, Ways()))
    return decoder.feed(data) + decoder.eof()


def test_counting() -> None:
    for body in ({"contents": HI}, {"generateContentRequest": {"model": "models/m", "contents": HI}}):
        request = CLIENT.at("m:countTokens").parse(json.dumps(body).encode())
        assert isinstance(request, CountRequest)
        assert request.chat.messages == (Message("user", (TextPart("Hi"),)),)
    encoder = CLIENT.at("m:countTokens").encoder(request, SERVED)
    assert json.loads(encoder.feed([Counted(31)]) + encoder.finish(Usage())) == {"totalTokens": 31}
    assert isinstance(request, CountRequest)
    renamed = COUNT.pass_on(request, json.dumps(body).encode(), "gemini-3", Ways())
    assert renamed.path == "/v1beta/models/gemini-3:countTokens"
    assert json.loads(renamed.body)["generateContentRequest"]["model"] == "models/gemini-3"
    foreign = OPENAI.parse(b'{"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi"}]}')
    rendered = json.loads(COUNT.render(CountRequest(chat=foreign), "gemini-3", Ways()).body)["generateContentRequest"]
    assert (rendered["model"], rendered["contents"]) == ("models/gemini-3", HI)
    assert rendered["systemInstruction"] == {"parts": [{"text": "S"}]}


def test_embedding_one_and_several() -> None:
    one = {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}
    request = CLIENT.at("m:embedContent").parse(json.dumps(one).encode())
    assert isinstance(request, EmbedRequest)
    assert (request.inputs, request.purpose, request.dimensions) == (("a",), "RETRIEVAL_QUERY", 8)
    body = json.dumps({"requests": [{"model": "models/m", "content": {"parts": {"text": text}}} for text in "ab"]})
    several = CLIENT.at("m:batchEmbedContents").parse(body.encode())
    assert isinstance(several, EmbedRequest)
    assert several.inputs == ("a", "b")
    encoder = CLIENT.at("m:batchEmbedContents").encoder(several, SERVED)
    said = json.loads(encoder.feed([Vector((0.5,), 1), Vector((1.5,), 0)]) + encoder.finish(Usage(input=3)))
    assert said["embeddings"] == [{"values": [1.5]}, {"values": [0.5]}]
    passed = EMBED.pass_on(several, body.encode(), "m", Ways())
    assert (passed.path, json.loads(passed.body)) == ("/v1beta/models/m:batchEmbedContents", json.loads(body))
    rendered = EMBED.render(
        EmbedRequest(model="x", inputs=("a", "b"), dimensions=8, purpose="search_document"), "gemini-embedding", Ways()
    )
    assert json.loads(rendered.body)["requests"][1] == {
        "model": "models/gemini-embedding",
        "content": {"parts": [{"text": "b"}]},
        "taskType": "RETRIEVAL_DOCUMENT",
        "outputDimensionality": 8,
    }


@pytest.mark.parametrize(
    ("tail", "body", "param"),
    [
        ("m:embedContent", "{}", "content"),
        ("m:embedContent", '{"content":{"parts":[{"inlineData":{}}]}}', "content.parts[0]"),
        ("m:embedContent", '{"content":{"parts":[]}}', "content"),
        ("m:batchEmbedContents", '{"requests":[]}', "requests"),
        ("m:batchEmbedContents", '{"requests":[{}]}', "requests[0].content"),
    ],
)
def test_a_bad_embedding_names_its_field(tail: str, body: str, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        CLIENT.at(tail).parse(body.encode())
    assert caught.value.param == param


def test_what_google_counts_and_embeds() -> None:
    assert decoded(COUNT, None, b'{"totalTokens": 31}') == [Counted(31)]
    said = b'{"embeddings": [{"values": [0.5, 1]}, {"values": [2, 3]}], "usageMetadata": {"promptTokenCount": 4}}'
    assert decoded(EMBED, TWO, said) == [Vector((0.5, 1.0), 0), Vector((2.0, 3.0), 1), Metered(Usage(input=4))]
    one = EmbedRequest(model="m", inputs=("a",))
    assert decoded(EMBED, one, b'{"embedding": {"values": [0.5]}}') == [Vector((0.5,), 0)]
    passing = PassingOn(EMBED.splitter(TWO, b""), EMBED.reader(TWO, Ways()))
    (raw,) = passing.feed(said) + passing.eof()
    assert isinstance(raw, Raw)
    encoder = CLIENT.at("m:batchEmbedContents").encoder(TWO, SERVED)
    assert encoder.feed([raw]) + encoder.finish(Usage()) == said


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"embeddings": [{"values": [1]}]}', b"{}"])
def test_what_is_no_list_of_as_many_vectors_is_refused(data: bytes) -> None:
    with pytest.raises(BadUpstream):
        decoded(EMBED, TWO, data)


def test_nothing_at_all_is_a_cut_reply() -> None:
    for dialect in (COUNT, EMBED):
        with pytest.raises(Truncated):
            decoded(dialect, TWO, b"")
