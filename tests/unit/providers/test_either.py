"""llama.cpp's server in Ollama's place: asked as Ollama, it answers as OpenAI would."""

import pytest

from hoosh.core.asked import ChatRequest, Message, TextPart
from hoosh.core.errors import BadUpstream, Truncated
from hoosh.core.events import Event, Finish, Opened, Raw, Text
from hoosh.dialects import PassingOn, Ways
from hoosh.providers.ollama import PROVIDER

CHUNKS = (
    b'data: {"model":"/models/x.gguf","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
WHOLE = b'{"model":"x.gguf","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'
LINE = b'{"model":"x","message":{"content":"a"},"done":true,"done_reason":"stop"}\n'


def events(body: bytes, *, stream: bool) -> list[Event]:
    asked = ChatRequest(model="m", messages=(), stream=stream)
    decoder = PassingOn(PROVIDER.dialect.splitter(asked, b""), PROVIDER.dialect.reader(asked, Ways()))
    return decoder.feed(body) + decoder.eof()


@pytest.mark.parametrize(("body", "stream"), [(CHUNKS, True), (WHOLE, False), (WHOLE, True), (CHUNKS, False)])
def test_openais_words_are_understood_and_not_passed_on(body: bytes, stream: bool) -> None:
    assert events(body, stream=stream) == [Opened(model="x.gguf"), Text("a"), Finish("stop")]


def test_ollamas_own_words_pass_on() -> None:
    for stream in (True, False):
        (raw,) = events(LINE, stream=stream)
        assert raw == Raw(LINE, (Opened(model="x"), Text("a"), Finish("stop")))


def test_what_is_neither_is_refused_and_a_cut_noticed() -> None:
    with pytest.raises(BadUpstream):
        events(b"<html>", stream=True)
    with pytest.raises(Truncated):
        events(b"", stream=True)
    with pytest.raises(Truncated):
        events(CHUNKS[:120], stream=True)


def test_it_is_asked_as_ollama() -> None:
    dialect = PROVIDER.dialect
    asked = ChatRequest(model="m", messages=(Message("user", (TextPart("hi"),)),))
    assert (dialect.name, dialect.render(asked, "m", Ways()).path) == ("ollama", "/api/chat")
    assert dialect.pass_on(asked, b"{}", "m", Ways()).path == "/api/chat"
    assert dialect.refusal(404, {}, b'{"error":"model \'x\' not found"}').status == 404
    assert dialect.models_request().path == "/api/tags"
    assert dialect.models(b'{"models":[{"name":"a"}]}') == ("a",)
