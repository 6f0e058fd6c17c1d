"""Replies of Chat Completions: what bytes mean, what passes on, and what is an error."""

import contextlib
import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.codecs import Frame
from hoosh.codecs.sse import SSEDecoder
from hoosh.core.asked import ChatRequest
from hoosh.core.errors import BadUpstream, ContextTooLong, Refused, Throttled, Truncated, UpstreamError
from hoosh.core.events import Event, Finish, Meaning, Metered, Opened, Raw, Reasoning, Refusal, Text, ToolDelta, Usage
from hoosh.dialects import JSON, PassingOn, Served, Translating, Ways
from hoosh.dialects.openai_chat import DIALECT
from hoosh.dialects.openai_chat.reply import model_ids, read_usage

STREAM = ChatRequest(model="m", messages=(), stream=True)
ASKED_USAGE = ChatRequest(model="m", messages=(), stream=True, include_usage=True)
WHOLE = ChatRequest(model="m", messages=())
DONE = b"data: [DONE]\n\n"
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def meanings(*chunks: bytes, asked: ChatRequest = STREAM, ways: Ways | None = None) -> list[Event]:
    decoder = Translating(DIALECT.splitter(asked, b""), DIALECT.reader(asked, ways or Ways()))
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.eof()


def passing(*chunks: bytes, asked: ChatRequest = STREAM, ways: Ways | None = None) -> list[Event]:
    decoder = PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, ways or Ways()))
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.eof()


def delta(text: str, finish: str = "null", index: int = 0) -> bytes:
    return b'data: {"choices":[{"index":%d,"delta":%b,"finish_reason":%b}]}\n\n' % (
        index,
        text.encode(),
        finish.encode(),
    )


def of_delta(*texts: str) -> list[Event]:
    return meanings(*map(delta, texts), STOP, DONE)[:-1]


def whole(body: str, asked: ChatRequest = WHOLE) -> list[Event]:
    return meanings(body.encode(), asked=asked)


def test_a_stream() -> None:
    chunks = (
        b'data: {"id":"c","model":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}\n\n',
        b'data: {"id":"c","model":"x","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n',
        b'data: {"id":"c","model":"x","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"length"}]}\n\n',
        b'data: {"id":"c","model":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n',
    )
    assert meanings(*chunks, DONE) == [
        Opened("c", "x"),
        Text("Hel"),
        Text("lo"),
        Finish("length"),
        Metered(Usage(input=3, output=2)),
    ]
    assert passing(*chunks, DONE) == [
        Raw(chunks[0], (Opened("c", "x"),)),
        Raw(chunks[1], (Text("Hel"),)),
        Raw(chunks[2], (Text("lo"), Finish("length"))),
        Metered(Usage(input=3, output=2)),  # held back: the gateway asked for it, the client did not
    ]
    assert passing(*chunks, DONE, asked=ASKED_USAGE)[-1] == Raw(chunks[3], (Metered(Usage(input=3, output=2)),))


def test_usage_that_says_nothing_is_held_back_too() -> None:
    chunk = b'data: {"choices":[],"usage":{"total_tokens":0}}\n\n'
    assert passing(STOP, chunk, DONE) == [Raw(STOP, (Finish("stop"),))]


def test_several_choices() -> None:
    chunks = [
        delta('{"content":"a"}', index=1),
        delta('{"content":"b"}'),
        delta("{}", '"stop"', 1),
        delta("{}", '"stop"'),
    ]
    asked = ChatRequest(model="m", messages=(), stream=True, n=2)
    assert meanings(*chunks, asked=asked) == [Text("a", 1), Text("b"), Finish("stop", 1), Finish("stop")]
    with pytest.raises(Truncated):
        meanings(*chunks[:3], asked=asked)
    assert meanings(*chunks[:3], DONE, asked=asked)[-1] == Finish("stop", 1)  # OpenRouter ignores `n`


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("model_length", "length"),
        ("insufficient_system_resource", "length"),
        ("eos", "stop"),
    ],
)
def test_finish_reasons(word: str, reason: str) -> None:
    assert meanings(delta("{}", f'"{word}"')) == [Finish(reason)]  # type: ignore[arg-type]


def test_a_choice_ends_once() -> None:
    assert meanings(STOP, STOP, DONE) == [Finish("stop")]


@pytest.mark.parametrize("end", [b"", DONE])
def test_without_a_finish_reason_the_reply_was_cut(end: bytes) -> None:
    with pytest.raises(Truncated):
        meanings(delta('{"content":"a"}'), end)


def test_nothing_at_all_is_cut_too() -> None:
    for asked in (STREAM, WHOLE):
        with pytest.raises(Truncated):
            meanings(asked=asked)


def test_every_cut_of_a_stream_is_noticed() -> None:
    body = delta('{"content":"a"}') + delta("{}", '"stop"') + DONE
    end = len(body) - len(DONE) - len(b"\n\n")  # its closing brace proves an event whole
    for size in range(len(body)):
        if size < end:
            with pytest.raises(Truncated):
                meanings(body[:size])
        else:
            assert meanings(body[:size]) == [Text("a"), Finish("stop")]


def test_after_the_end_nothing_is_read() -> None:
    assert meanings(STOP, DONE, delta('{"content":"late"}'), DONE) == [Finish("stop")]


def test_text_beside_thoughts_and_a_refusal() -> None:
    assert of_delta('{"content":"a","reasoning_content":"t"}', '{"refusal":"no"}') == [
        Reasoning("t"),
        Text("a"),
        Refusal("no"),
    ]
    assert of_delta('{"content":null,"reasoning":"t","refusal":null,"reasoning_content":null}') == [Reasoning("t")]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('"reasoning":"t","reasoning_details":[{"type":"reasoning.text","text":"t"}]', [Reasoning("t")]),
        ('"reasoning":"t","reasoning_details":[]', [Reasoning("t")]),
        ('"reasoning_details":[{"type":"reasoning.text","text":"t"},{"text":"u"}]', [Reasoning("t"), Reasoning("u")]),
        ('"reasoning_details":[{"type":"reasoning.summary","summary":"t"}]', [Reasoning("t")]),
        ('"reasoning_details":[{"type":"reasoning.text","signature":"s"}]', [Reasoning("", "s")]),
        ('"reasoning":"t","reasoning_details":[{"text":"t","signature":"s"}]', [Reasoning("t", "s")]),
        ('"reasoning":"t","reasoning_details":[{"signature":"s"}]', [Reasoning("t", "s")]),
        (
            '"reasoning":"tu","reasoning_details":[{"text":"t","signature":"s"},{"text":"u","signature":"v"}]',
            [Reasoning("t", "s"), Reasoning("u", "v")],
        ),
        (
            '"reasoning":"tu","reasoning_details":[{"text":"t"},{"text":"u"}]',
            [Reasoning("tu")],
        ),
        (
            '"reasoning":null,"reasoning_details":[{"type":"reasoning.encrypted","data":"d"}]',
            [Reasoning("", "", "d")],
        ),
    ],
)
def test_thoughts_and_their_proofs(said: str, meant: Sequence[Event]) -> None:
    assert of_delta("{" + said + "}") == meant


def call(text: str) -> str:
    return '{"tool_calls":[' + text + "]}"


def test_calls_in_pieces() -> None:
    assert of_delta(
        call('{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}'),
        call('{"index":0,"function":{"arguments":"{\\"a\\""}}'),
        call('{"index":0,"id":null,"function":{"name":null,"arguments":":1}"}}'),
        call('{"index":1,"id":"c2","function":{"name":"g","arguments":"{}"}},{"index":0}'),
    ) == [
        ToolDelta(0, "c1", "f"),
        ToolDelta(0, arguments='{"a"'),
        ToolDelta(0, arguments=":1}"),
        ToolDelta(1, "c2", "g", "{}"),
        ToolDelta(0),
    ]


def test_a_call_without_arguments_has_an_empty_object_of_them() -> None:
    text = '{"index":0,"id":"c","function":{"name":"f","arguments":%s}}'
    for nothing in ('""', "null"):
        assert of_delta(call(text % nothing)) == [ToolDelta(0, "c", "f"), ToolDelta(0, arguments="{}")]
    assert of_delta(call(text % '"null"')) == [ToolDelta(0, "c", "f", "{}")]


def test_arguments_as_an_object() -> None:
    assert of_delta(call('{"index":0,"id":"c","function":{"name":"f","arguments":{"a":1}}}')) == [
        ToolDelta(0, "c", "f", '{"a":1}')
    ]


def test_whole_calls_without_numbers() -> None:
    two = '{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}'
    assert of_delta(call(two), call('{"function":{"arguments":" "}}')) == [
        ToolDelta(0, "a", "f", "{}"),
        ToolDelta(1, "b", "g", "{}"),
        ToolDelta(1, arguments=" "),
    ]


def test_calls_that_are_all_numbered_0() -> None:
    piece = '{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}'
    assert of_delta(call(piece), call(piece.replace('"a"', '"b"'))) == [
        ToolDelta(0, "a", "f", "{}"),
        ToolDelta(1, "b", "f", "{}"),
    ]


def test_a_call_whose_id_and_name_are_repeated() -> None:
    piece = '{"index":3,"id":"a","function":{"name":"f","arguments":"{}"}}'
    assert of_delta(call(piece), call(piece)) == [ToolDelta(0, "a", "f", "{}"), ToolDelta(0, arguments="{}")]


@pytest.mark.parametrize("number", ["", '"id":"","index":%d,'])
def test_ids_are_made_where_there_are_none(number: str) -> None:
    calls = ",".join('{%s"function":{"name":"f","arguments":"{}"}}' % (number and number % i) for i in range(2))
    events = whole('{"id":"chatcmpl-1234567890abcdef","choices":[{"index":0,"message":' + call(calls) + "}]}")
    ids = [event.id for event in events if isinstance(event, ToolDelta)]
    assert ids == ["call_1234567890abcdef_0_0", "call_1234567890abcdef_0_1"]


def test_a_signature_on_a_call() -> None:
    text = '{"index":0,"id":"c","function":{"name":"f","arguments":"{}"},"extra_content":%s}'
    assert of_delta(call(text % '{"google":{"thought_signature":"s"}}')) == [ToolDelta(0, "c", "f", "{}", "s")]
    assert of_delta(call(text % '{"google":7}')) == [ToolDelta(0, "c", "f", "{}")]
    assert of_delta(call(text % "{}")) == [ToolDelta(0, "c", "f", "{}")]


def test_the_predecessor_of_calls() -> None:
    assert of_delta('{"function_call":{"name":"f","arguments":""}}', '{"function_call":{"arguments":"{}"}}') == [
        ToolDelta(0, "f", "f"),
        ToolDelta(0, arguments="{}"),
    ]


ANSWER = (
    '{"id":"c","model":"x","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],'
    '"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)
ANSWERED: list[Meaning] = [Opened("c", "x"), Text("hi"), Finish("stop"), Metered(Usage(input=3, output=2))]


def test_a_whole_reply() -> None:
    assert whole(ANSWER) == ANSWERED
    assert passing(b" \n", ANSWER.encode(), asked=WHOLE) == [Raw(ANSWER.encode(), tuple(ANSWERED))]


def test_a_whole_reply_to_a_streamed_call_is_told_as_events() -> None:
    assert passing(ANSWER.encode()) == ANSWERED


def test_a_whole_reply_is_complete_without_saying_so() -> None:
    text = '{"choices":[{"message":{"content":"hi"}},{"index":1,"message":{"tool_calls":[{"id":"a","function":{"name":"f"}}]}}]}'
    assert whole(text) == [
        Text("hi"),
        Finish("stop"),
        ToolDelta(0, "a", "f", index=1),
        ToolDelta(0, arguments="{}", index=1),
        Finish("tool_calls", 1),
    ]


def test_a_stream_of_messages_is_told_as_events() -> None:
    chunk = b'data: {"choices":[{"index":0,"message":{"content":"hi"}}]}\n\n'
    assert passing(chunk, chunk, STOP) == [Text("hi"), Text("hi"), Raw(STOP, (Finish("stop"),))]


def test_message_and_delta_at_once() -> None:
    both = '{"choices":[{"index":0,"finish_reason":"stop","delta":{"content":"%s"},"message":{"content":"all"}}]}'
    assert whole(both % "") == [Text("all"), Finish("stop")]
    chunk = b"data: %b\n\n" % (both % "ll").encode()
    assert passing(chunk) == [Raw(chunk, (Text("ll"), Finish("stop")))]


def test_a_choice_with_neither_gets_a_delta() -> None:
    """Clients read `chunk.choices[0].delta.content` without looking."""
    chunk = b'data: {"choices":[{"index":0,"content_filter_results":{}}]}\n\n'
    put = b'data: {"choices":[{"index":0,"content_filter_results":{},"delta":{}}]}\n\n'
    assert passing(chunk, STOP) == [Raw(put), Raw(STOP, (Finish("stop"),))]


def test_comments_names_and_line_ends_pass() -> None:
    chunk = b": wait\r\n\r\nevent: message\r\ndata: " + STOP[6:-2] + b"\r\n\r\n"
    assert passing(chunk) == [Raw(chunk, (Finish("stop"),))]


def test_text_with_line_separators() -> None:
    chunk = 'data: {"choices":[{"index":0,"delta":{"content":"\u2028\u0085"},"finish_reason":"stop"}]}\n\n'.encode()
    assert passing(chunk) == [Raw(chunk, (Text("\u2028\u0085"), Finish("stop")))]


def test_empty_events_are_skipped() -> None:
    assert passing(b"data:\n\n", b"data: \n\n", STOP) == [Raw(STOP, (Finish("stop"),))]


@pytest.mark.parametrize(
    ("chunk", "kind", "message"),
    [
        (b'data: {"error":{"message":"m","type":"t","code":"c"}}\n\n', BadUpstream, "m"),
        (b'data: {"error":{"message":"m","code":429}}\n\n', Throttled, "m"),
        (b'data: {"error":{"message":"m","code":"rate_limit_exceeded"}}\n\n', Throttled, "m"),
        (b'data: {"error":{"message":"m","type":"invalid_request_error"}}\n\n', Refused, "m"),
        (b'data: {"id":"x","choices":[{"index":0,"delta":{}}],"error":{"code":400,"message":"Token limit reached"}}\n\n',
         ContextTooLong, "Token limit reached"),
        (b'event: error\ndata: {"error":{"message":"m","code":"tool_use_failed","status_code":400}}\n\n', Refused, "m"),
        (b'event: error\ndata: {"message":"m"}\n\n', BadUpstream, "m"),
        (b'data: {"error":"m"}\n\n', BadUpstream, "m"),
        (b'data: {"object":"error","message":"m","code":400}\n\n', Refused, "m"),
        (b"data: <html>\n\n", BadUpstream, "the provider sent what is not JSON"),
        (b"data: [1]\n\n", BadUpstream, "the provider sent what is not a chat completion"),
        (b'data: {"choices":7}\n\n', BadUpstream, "the provider sent what is not a chat completion"),
        (b"data: \xff\n\n", BadUpstream, "the provider sent what is not JSON"),
        (b'data: {"id":"\xff"}\n\n', BadUpstream, "the provider sent what is not JSON"),
        (b"data: " + b"[" * 10**5 + b"\n\n", BadUpstream, "the provider sent what is not JSON"),
        (b'{"detail":"m"}', BadUpstream, "m"),
        (b'{"choices":[]}', BadUpstream, "the provider sent what is not a chat completion"),
        (b'{"error":{"message":"m"}}', BadUpstream, "m"),
        (b"<html>", BadUpstream, "the provider sent what is not JSON"),
    ],
)  # fmt: skip
def test_errors_inside_a_stream(chunk: bytes, kind: type[UpstreamError], message: str) -> None:
    for how in (meanings, passing):
        is_event = chunk.startswith((b"data", b"event"))
        with pytest.raises(UpstreamError) as caught:
            how(*([delta('{"content":"a"}'), chunk, DONE] if is_event else [chunk]))
        assert (type(caught.value), caught.value.message) == (kind, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error":{"message":"m"}}', "m"),
        ('{"object":"error","message":"m"}', "m"),
        ('{"detail":"m"}', "m"),
        ('{"choices":[]}', "the provider sent what is not a chat completion"),
        ("{}", "the provider sent what is not a chat completion"),
        ("[]", "the provider sent what is not a chat completion"),
        ("oops", "the provider sent what is not JSON"),
        ('{"choices":[{"message":{"content":7}}]}', "the provider sent what is not a chat completion"),
        ('{"choices":[{"message":7}],"error":{"message":"m"}}', "m"),
    ],
)
def test_errors_with_status_200(body: str, message: str) -> None:
    with pytest.raises(BadUpstream, match=f"^{message}$"):
        whole(body)


@pytest.mark.parametrize("nothing", ["null", '""', "{}", "false"])
def test_an_error_that_is_none(nothing: str) -> None:
    chunk = b'data: {"error":%b,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n' % nothing.encode()
    assert passing(chunk) == [Raw(chunk, (Finish("stop"),))]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ('{"prompt_tokens":3,"completion_tokens":2}', Usage(input=3, output=2)),
        (
            '{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":1},'
            '"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":0}}',
            Usage(input=9, cached=4, cache_write=1, output=5, reasoning=2),
        ),
        (
            '{"prompt_tokens":9,"completion_tokens":5,"prompt_cache_hit_tokens":4,"prompt_tokens_details":{"cached_tokens":4}}',
            Usage(input=9, cached=4, output=5),
        ),
        ('{"prompt_tokens":9,"completion_tokens":5,"prompt_cache_hit_tokens":4}', Usage(input=9, cached=4, output=5)),
        ('{"prompt_tokens":9,"prompt_tokens_details":null}', Usage(input=9)),
        (
            '{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"audio_tokens":7},'
            '"completion_tokens_details":{"audio_tokens":3}}',
            Usage(input=9, output=5, audio_input=7, audio_output=3),
        ),
        ('{"prompt_tokens":9,"prompt_tokens_details":{"audio_tokens":-7}}', None),
        ("{}", None),
        ('{"prompt_tokens":0,"completion_tokens":0}', None),
        ('{"prompt_tokens":-1,"completion_tokens":5}', None),
        ('{"prompt_tokens":"many"}', None),
        ("7", None),
    ],
)
def test_usage(said: str, meant: Usage | None) -> None:
    assert read_usage(said.encode()) == meant


def marks(payload: JSON) -> bool:
    payload["model"] = "mended"
    return True


def looks(payload: JSON) -> bool:
    assert payload["choices"]
    return False


def test_mends() -> None:
    mended = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"model":"mended"}\n\n'
    assert passing(b": wait\n" + STOP, ways=Ways(mends=(marks, looks))) == [
        Raw(mended, (Opened("", "mended"), Finish("stop")))
    ]
    assert passing(b": wait\n" + STOP, ways=Ways(mends=(looks,))) == [Raw(b": wait\n" + STOP, (Finish("stop"),))]
    (raw,) = passing(ANSWER.encode(), asked=WHOLE, ways=Ways(mends=(marks,)))
    assert isinstance(raw, Raw)
    assert json.loads(raw.data) == {**json.loads(ANSWER), "model": "mended"}


@pytest.mark.parametrize("chunk", [b"data: [1]\n\n", b"data: oops\n\n", b"data: " + b"[" * 10**5 + b"\n\n"])
def test_mends_get_objects_only(chunk: bytes) -> None:
    with pytest.raises(BadUpstream):
        passing(chunk, ways=Ways(mends=(marks,)))


def test_the_list_of_models() -> None:
    assert model_ids(b'{"object":"list","data":[{"id":"a","object":"model"},{"id":"b"}]}') == ("a", "b")
    assert DIALECT.models(b'{"data":[]}') == ()
    request = DIALECT.models_request()
    assert (request.method, request.path, request.body) == (b"GET", "/models", b"")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data":[{}]}', b'{"data":null}', b"\xff", b"[" * 10**5])
def test_what_is_no_list_of_models(body: bytes) -> None:
    with pytest.raises(BadUpstream, match="is not one"):
        model_ids(body)


TEXT = st.text(min_size=1, max_size=8).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))
CONTENT = st.lists(
    st.one_of(
        st.builds(Text, TEXT),
        st.builds(Refusal, TEXT),
        st.builds(Reasoning, TEXT),
        st.builds(Reasoning, st.just("") | TEXT, TEXT),
        st.builds(Reasoning, redacted=TEXT),
    ),
    max_size=5,
)
CALLS = st.lists(
    st.tuples(TEXT, TEXT, st.lists(TEXT, min_size=1, max_size=3)), max_size=3, unique_by=lambda call: call[0]
)
ENDS: st.SearchStrategy[Finish] = st.builds(Finish, st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))


@settings(deadline=None)
@given(CONTENT, CALLS, ENDS, st.lists(st.integers(0, 1500), max_size=5), st.booleans())
def test_what_is_encoded_reads_as_what_was_meant(
    content: list[Meaning],
    calls: list[tuple[str, str, list[str]]],
    finish: Finish,
    cuts: list[int],
    usage: bool,
) -> None:
    deltas = [
        ToolDelta(number, ident if not i else "", name if not i else "", piece)
        for number, (ident, name, pieces) in enumerate(calls)
        for i, piece in enumerate(pieces)
    ]
    events: list[Event] = [Opened("", "vendor"), *content, *deltas, finish]
    asked = ASKED_USAGE if usage else STREAM
    encoder = DIALECT.encoder(asked, Served(id="1", created_s=1, provider="p", model="m"))
    used = Usage(input=3, output=2, reasoning=1, cached=1)
    body = b"".join(encoder.feed([event]) for event in events) + encoder.finish(used)
    at = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    read = meanings(*(body[a:b] for a, b in itertools.pairwise(at)), asked=asked)
    assert read == [Opened("chatcmpl-1", "vendor"), *events[1:], *([Metered(used)] if usage else [])]
    assert len(SSEDecoder().feed(body)) == len(events) + usage


@settings(deadline=None)
@given(
    st.binary(max_size=60)
    | TEXT.map(str.encode)
    | st.sampled_from([b"null", b"{}", b'"x"', b'{"usage":7}', b'{"choices":[null]}'])
)
def test_no_payload_is_more_than_an_upstream_error(payload: bytes) -> None:
    for asked in (STREAM, WHOLE):
        with contextlib.suppress(UpstreamError):
            DIALECT.reader(asked, Ways()).read(Frame(payload, payload))
