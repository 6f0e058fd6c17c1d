"""Sources, pictures, sound and logprobs of replies: literal payloads."""

import json

import pytest

from hoosh.core.asked import ChatRequest
from hoosh.core.events import Citation, Event, Finish, Logprobs, Media, Text
from hoosh.dialects import JSON, Translating, Ways
from hoosh.dialects.openai_chat import DIALECT


def events(*payloads: JSON, stream: bool = True) -> list[Event]:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    decoder = Translating(DIALECT.splitter(asked, b""), DIALECT.reader(asked, Ways()))
    form = b"data: %b\n\n" if stream else b"%b"
    found = [event for payload in payloads for event in decoder.feed(form % json.dumps(payload).encode())]
    return found + decoder.eof()


def said(answer: JSON, **more: object) -> list[Event]:
    """The same of a stream and of a whole reply."""
    choice: JSON = {"index": 0, "finish_reason": "stop", **more}
    streamed = events({"choices": [{**choice, "delta": answer}]})
    assert events({"choices": [{**choice, "message": answer}]}, stream=False) == streamed
    assert streamed[-1] == Finish("stop")
    return streamed[:-1]


def test_sources() -> None:
    cited = {"url": "https://a", "title": "A", "content": "q", "start_index": 1, "end_index": 4}
    annotations = [{"type": "url_citation", "url_citation": cited}, {"type": "file_citation", "file": {}}]
    annotations += [{"type": "url_citation", "url_citation": {"url": "https://b"}}]
    assert said({"content": "a", "annotations": annotations}) == [
        Text("a"),
        Citation("https://a", "A", "q", 1, 4),
        Citation("https://b"),
    ]


def test_sources_of_the_whole_reply_are_told_once() -> None:
    chunk: JSON = {"choices": [{"index": 0, "delta": {"content": "a"}}], "citations": ["https://a", "https://b"]}
    end: JSON = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    told = events(chunk, chunk, {**end, "citations": ["https://b"]})
    assert told == [Citation("https://a"), Citation("https://b"), Text("a"), Text("a"), Finish("stop")]
    listed = [{"url": "https://a", "title": "A", "date": None}]
    told = events({**end, "citations": ["https://a"], "search_results": listed})
    assert told == [Citation("https://a", "A"), Finish("stop")]


def test_pictures_and_sound() -> None:
    urls = ("data:image/png;base64,AA==", "https://x/y.png")
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    assert said({"content": None, "images": images}) == [Media("image/png", "AA=="), Media(url="https://x/y.png")]
    assert said({"audio": {"id": "a", "data": "AA==", "transcript": "hi"}}) == [Media("audio/wav", "AA==")]
    assert said({"audio": {"id": "a", "transcript": "hi"}}) == []


def test_logprobs() -> None:
    content = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    (text, probs) = said({"content": "a"}, logprobs={"content": content, "refusal": None})
    assert text == Text("a")
    assert isinstance(probs, Logprobs)
    assert json.loads(probs.content) == content


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [7], [{}], {"content": 7}, {"content": None}])
def test_what_reads_oddly_costs_nothing(odd: object) -> None:
    assert said({"content": "a", "annotations": odd, "images": odd, "audio": odd}, logprobs=odd) == [Text("a")]
    answer = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "citations": odd, "search_results": odd}
    assert events(answer) == [Finish("stop")]
