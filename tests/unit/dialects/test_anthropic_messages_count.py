"""Asking Anthropic how many tokens a request would take."""

import json

import pytest

from hoosh.codecs import Frame
from hoosh.core.asked import ChatRequest, CountRequest, Message, TextPart, Tool
from hoosh.core.errors import BadUpstream, Truncated
from hoosh.core.events import Counted, Raw
from hoosh.dialects import PassingOn, Ways
from hoosh.dialects.anthropic_messages import COUNT
from wire_corpus import body_of, records

ASKED = CountRequest(
    chat=ChatRequest(
        model="m",
        messages=(Message("system", (TextPart("s"),)), Message("user", (TextPart("Hi"),))),
        tools=(Tool("f"),),
        max_output_tokens=9,
        stream=True,
        user="u",
    )
)


def test_only_what_is_counted_is_asked() -> None:
    wire = COUNT.render(ASKED, "claude-x", Ways())
    assert wire.path == "/v1/messages/count_tokens"
    assert json.loads(wire.body) == {
        "model": "claude-x",
        "system": "s",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }


def test_a_body_passes_on_as_it_is() -> None:
    body = b'{"model" : "m", "x":1.50}'
    wire = COUNT.pass_on(ASKED, body, "m", Ways())
    assert (wire.path, wire.body) == ("/v1/messages/count_tokens", body)


@pytest.mark.parametrize("body", [b"{}", b"[", b'{"input_tokens":"x"}'])
def test_what_is_no_count_is_told(body: bytes) -> None:
    with pytest.raises(BadUpstream):
        COUNT.reader(ASKED, Ways()).read(Frame(body, body))


def test_no_count_is_told() -> None:
    with pytest.raises(Truncated):
        COUNT.reader(ASKED, Ways()).end()


def test_every_recorded_count_is_read() -> None:
    found = records("anthropic", ("count_tokens",))
    assert len(found) >= 7
    for record in found:
        asked = COUNT.parse(json.dumps(record["request_body"]).encode())
        decoder = PassingOn(COUNT.splitter(asked, b""), COUNT.reader(asked, Ways()))
        body = body_of(record)
        wanted = Counted(json.loads(body)["input_tokens"])
        assert [*decoder.feed(body), *decoder.eof()] == [Raw(body, (wanted,))]
