"""OpenAI's older Completions: what is asked, what is sent on, what comes back."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.core.asked import ChatRequest, CompleteRequest, Message, Sampling, TextPart
from hoosh.core.errors import BadRequest, BadUpstream, CredentialRefused, Refused, Throttled, Truncated
from hoosh.core.events import Event, Finish, Logprobs, Metered, Opened, Raw, Reasoning, Refusal, Text, ToolDelta, Usage
from hoosh.dialects import JSON, Decoder, PassingOn, Served, Translating, Ways
from hoosh.dialects.openai_completions import DIALECT, MANY
from hoosh.providers.mends import model_without_path
from wire_corpus import How, body_of, headers_of, records, splits

SERVED = Served(id="1", created_s=5, provider="mine", model="m", cost=lambda usage, audio_ms: 7)
OURS = {"provider": "mine", "cost_micro_usd": 7}
Asked = ChatRequest | CompleteRequest


def parse(**fields: object) -> Asked:
    return DIALECT.parse(json.dumps({"model": "m", "prompt": "a", **fields}).encode())


def chat(**fields: object) -> ChatRequest:
    asked = parse(**fields)
    assert isinstance(asked, ChatRequest)
    return asked


def sse(*chunks: object, done: bool = True) -> bytes:
    frames = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)
    return frames + (b"data: [DONE]\n\n" if done else b"")


def chunk(text: str, finish: str | None = None, index: int = 0) -> JSON:
    return {"id": "c", "model": "v", "choices": [{"text": text, "index": index, "finish_reason": finish}]}


def decoded(decoder: Decoder, body: bytes, how: How = "random") -> list[Event]:
    events: list[Event] = []
    for piece in splits(body, how):
        events += decoder.feed(piece)
    return events + decoder.eof()


def meant(asked: Asked, body: bytes) -> list[Event]:
    return decoded(Translating(DIALECT.splitter(asked, b""), DIALECT.reader(asked, Ways())), body)


def through(asked: Asked, body: bytes, ways: Ways = Ways(), how: How = "random") -> bytes:
    """The bytes that a client of the same dialect gets."""
    events = decoded(PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, ways)), body, how)
    inner = [one for event in events for one in (event.events if isinstance(event, Raw) else (event,))]
    used = [event.usage for event in inner if isinstance(event, Metered)]
    encoder = DIALECT.encoder(asked, SERVED)
    return encoder.feed(events) + encoder.finish(used[-1] if used else Usage(input=1, output=1, source="estimated"))


@pytest.mark.parametrize("prompt", ["a", ["a"]])
def test_a_prompt_in_words_is_a_chat_of_one_message(prompt: object) -> None:
    asked = chat(prompt=prompt, max_tokens=5, temperature=0.5, stop="x", n=2, logprobs=3, user="u", seed=9)
    assert asked.messages == (Message("user", (TextPart("a"),)),)
    assert asked.sampling == Sampling(temperature=0.5, stop=("x",), logprobs=True, top_logprobs=3, seed=9)
    assert (asked.max_output_tokens, asked.n, asked.user, asked.operation) == (5, 2, "u", "chat")


@pytest.mark.parametrize(
    ("prompt", "prompts"), [(["a", "b"], ("a", "b")), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ((1,), (2, 3)))]
)
def test_several_prompts_and_tokens_are_an_operation_of_their_own(prompt: object, prompts: object) -> None:
    asked = parse(
        prompt=prompt, max_tokens=5, temperature=0.5, n=2, stream=True, stream_options={"include_usage": True}
    )
    assert asked == CompleteRequest(
        model="m",
        prompts=prompts,  # type: ignore[arg-type]
        max_output_tokens=5,
        n=2,
        stream=True,
        include_usage=True,
        dialect="openai_completions",
        extra=(("temperature", b"0.5"),),
    )
    assert asked.operation == MANY.operation == "complete"


def test_fields_that_say_nothing_are_not_kept() -> None:
    assert chat(echo=False, best_of=None, suffix="s", logit_bias={"5": 1}).extra == (
        ("suffix", b'"s"'),
        ("logit_bias", b'{"5": 1}'),
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"stop": [5]}, "stop[0]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, object], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=5)
NUMBER = st.none() | st.floats(0, 1)
EXTRA = st.sampled_from([(), (("suffix", b'"s"'), ("best_of", b"3"))])
common = {
    "model": st.just("m"),
    "max_output_tokens": st.none() | st.integers(0, 99),
    "n": st.integers(1, 3),
    "dialect": st.just("openai_completions"),
    "extra": EXTRA,
}
streams = st.sampled_from([(False, False), (True, True)])
samplings = st.builds(
    lambda top, **fields: Sampling(logprobs=None if top is None else True, top_logprobs=top, **fields),
    st.none() | st.integers(0, 5),
    temperature=NUMBER,
    top_p=NUMBER,
    top_k=st.none() | st.integers(1, 9),
    min_p=NUMBER,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    seed=st.none() | st.integers(0, 9),
    stop=st.lists(TEXT, max_size=2).map(tuple),
)
chats = st.builds(
    lambda text, streams, **fields: ChatRequest(
        messages=(Message("user", (TextPart(text),)),), stream=streams[0], include_usage=streams[1], **fields
    ),
    TEXT,
    streams,
    sampling=samplings,
    user=st.just("") | TEXT,
    **common,
)
TOKENS = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(tuple)
several = st.builds(
    lambda streams, **fields: CompleteRequest(stream=streams[0], include_usage=streams[1], **fields),
    streams,
    prompts=st.lists(TEXT, min_size=2, max_size=3).map(tuple) | st.lists(TOKENS, min_size=1, max_size=3).map(tuple),
    **common,
)


@given(chats | several)
def test_what_is_rendered_is_parsed_as_it_was(asked: Asked) -> None:
    sent = DIALECT.render(asked, "m", Ways())
    assert DIALECT.parse(sent.body) == asked
    assert sent.dropped == ()
    assert sent.path == "/completions"


def test_what_is_no_prompt_is_not_rendered() -> None:
    for messages in ((), (Message("system", (TextPart("a"),)), Message("user", (TextPart("b"),))), (Message("user"),)):
        with pytest.raises(BadRequest):
            DIALECT.render(ChatRequest(model="m", messages=messages), "m", Ways())


def test_a_body_is_passed_on_but_for_its_model_and_the_usage_of_a_stream() -> None:
    body = b'{"model": "m", "prompt": "a",  "suffix": "s", "temperature": 0.50}'
    assert DIALECT.pass_on(DIALECT.parse(body), body, "m", Ways()).body == body
    streamed = b'{"model":"m","prompt":["a","b"],"stream":true}'
    sent = MANY.pass_on(DIALECT.parse(streamed), streamed, "n", Ways()).body
    assert sent == b'{"model":"n","prompt":["a","b"],"stream":true,"stream_options":{"include_usage":true}}'
    plain = MANY.pass_on(DIALECT.parse(streamed), streamed, "n", Ways(stream_usage=False)).body
    assert plain == b'{"model":"n","prompt":["a","b"],"stream":true}'


USED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_a_stream_means_what_it_says() -> None:
    usage = {**USED, "prompt_tokens_details": {"cached_tokens": 1}}
    body = sse(chunk("a"), chunk("b"), chunk("", "length"), {"id": "c", "choices": [], "usage": usage})
    assert meant(parse(stream=True), body) == [
        Opened("c", "v"),
        Text("a"),
        Text("b"),
        Finish("length"),
        Metered(Usage(input=3, cached=1, output=2)),
    ]


def test_a_whole_reply_means_what_it_says() -> None:
    choices = [{"text": "a", "index": 0, "finish_reason": "content_filter"}, {"text": "b", "index": 1}]
    body = json.dumps({"model": "v", "choices": choices, "usage": {"prompt_tokens": "?"}}).encode()
    assert meant(parse(n=2), body) == [
        Opened("", "v"),
        Text("a"),
        Finish("content_filter"),
        Text("b", 1),
        Finish("stop", 1),
    ]


@pytest.mark.parametrize("how", ["event", "byte", "whole"])
def test_a_stream_passes_through_without_the_usage_that_nobody_asked_for(how: How) -> None:
    told, usage = sse(chunk("a"), chunk("", "stop"), done=False), sse({"id": "c", "choices": [], "usage": USED})
    assert through(parse(stream=True), told + usage, how=how) == told + b"data: [DONE]\n\n"


def test_a_client_that_asked_gets_the_usage_with_ours() -> None:
    asked = parse(stream=True, stream_options={"include_usage": True})
    last = through(asked, sse(chunk("a"), chunk("", "stop"), {"choices": [], "usage": USED})).split(b"\n\n")[-3]
    assert json.loads(last[6:]) == {"choices": [], "usage": {**USED, **OURS}}
    written = through(asked, sse(chunk("a"), chunk("", "stop"))).split(b"\n\n")[-3]
    assert json.loads(written[6:])["usage"]["estimated"] is True


def test_a_whole_reply_passes_through_and_its_usage_grows() -> None:
    body = b'{"id":"c","x":1.50,"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":3}}'
    assert through(parse(), body) == body.replace(b'":3}', b'":3,"provider":"mine","cost_micro_usd":7}')


def test_what_comes_in_the_other_form_is_put_into_the_one_asked_for() -> None:
    whole = json.dumps({**chunk("abc", "length"), "usage": USED}).encode()
    lines = through(parse(stream=True), whole).split(b"\n\n")
    assert json.loads(lines[0][6:])["choices"][0] == {
        "text": "abc",
        "index": 0,
        "logprobs": None,
        "finish_reason": None,
    }
    assert json.loads(lines[1][6:])["choices"][0]["finish_reason"] == "length"
    assert lines[2:] == [b"data: [DONE]", b""]
    told = json.loads(through(parse(), sse(chunk("ab"), chunk("c", "length"), {"choices": [], "usage": USED})))
    assert told["choices"] == [{"text": "abc", "index": 0, "logprobs": None, "finish_reason": "length"}]


def test_a_file_that_stands_for_the_model_is_not_shown() -> None:
    ways = Ways(mends=(model_without_path,))
    body = sse({**chunk("a", "stop"), "model": "/data/a.gguf"})
    assert b"/data" not in through(parse(stream=True), body, ways)
    assert json.loads(through(parse(stream=True), body, ways).split(b"\n\n")[0][6:])["model"] == "a.gguf"


EACH = Ways(usage_each=True)


def counted(prompt: int, completion: int) -> JSON:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": {"cached_tokens": 1}}


@pytest.mark.parametrize(("fields", "inputs"), [({"prompt": ["a", "b"]}, 5 + 7), ({"prompt": "a", "n": 2}, 5)])
def test_usage_told_of_each_answer_is_added_up(fields: dict[str, object], inputs: int) -> None:
    asked = parse(stream=True, stream_options={"include_usage": True}, **fields)
    body = b"data: null\n\n" + sse(
        chunk("a"),
        chunk("b", index=1),
        {**chunk("", "stop", 0), "usage": counted(5, 2)},
        {**chunk("", "stop", 1), "usage": counted(7, 3)},
    )
    lines = through(asked, body, EACH).split(b"\n\n")
    assert [json.loads(line[6:]).get("usage") for line in lines[:4]] == [None] * 4
    told = json.loads(lines[4][6:])["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (inputs, 5)
    assert lines[5:] == [b"data: [DONE]", b""]


def test_usage_told_of_one_of_several_answers_in_a_whole_reply_is_not_believed() -> None:
    body = json.dumps({**chunk("a", "stop"), "usage": counted(5, 2)}).encode()
    assert json.loads(through(parse(n=2), body, EACH))["usage"]["estimated"] is True
    assert json.loads(through(parse(n=1), body, EACH))["usage"]["prompt_tokens"] == 5


@pytest.mark.parametrize("stream", [False, True])
def test_probabilities_in_chats_form_are_put_into_lists(stream: bool) -> None:
    said = chunk("Héy", "stop")
    said["choices"][0]["logprobs"] = {"content": json.loads(LOGPROBS)}
    body = sse(said) if stream else json.dumps(said).encode()
    told = through(parse(stream=stream), body)
    assert json.loads(told.split(b"\n\n")[0].removeprefix(b"data: "))["choices"][0]["logprobs"] == IN_LISTS
    said["choices"][0]["logprobs"] = {"content": [5]}
    with pytest.raises(BadUpstream):
        through(parse(), json.dumps(said).encode())


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        ({"stream": True}, sse(chunk("a"), done=False)),
        ({"stream": True}, sse(chunk("a"))),
        ({"stream": True}, b""),
        ({"stream": True, "n": 2}, sse(chunk("a", "stop"), done=False)),
        ({"stream": True, "prompt": ["a", "b"]}, sse(chunk("a", "stop"), done=False)),
        ({}, b""),
    ],
)
def test_what_ends_early_is_truncated(asked: dict[str, object], body: bytes) -> None:
    with pytest.raises(Truncated):
        meant(parse(**asked), body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", BadUpstream),
        (b"[1]", BadUpstream),
        (b"<html>", BadUpstream),
        (b'{"choices":[{"text":5}]}', BadUpstream),
        (b'{"error":{"message":"slow","type":"rate_limit_error"}}', Throttled),
        (b'data: {"error":{"message":"slow","type":"rate_limit_error"}}\n\n', Throttled),
        (b'event: error\ndata: {"message":"slow","code":429}\n\n', Throttled),
    ],
)
def test_errors(body: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        meant(parse(stream=True), body)


LOGPROBS = json.dumps(
    [
        {"token": "Hé", "logprob": -0.5, "bytes": [], "top_logprobs": [{"token": "Hé", "logprob": -0.5}]},
        {"token": "y", "logprob": -1.0, "bytes": [], "top_logprobs": []},
    ]
).encode()
ANSWER: Sequence[Event] = (
    Opened("x", "v"),
    Reasoning("hm"),
    Text("Hé"),
    Text("y"),
    Logprobs(LOGPROBS),
    ToolDelta(0, "c", "f", "{}"),
    Refusal("no", 1),
    Finish("tool_calls"),
    Finish("length", 1),
)
IN_LISTS = {
    "tokens": ["Hé", "y"],
    "token_logprobs": [-0.5, -1.0],
    "top_logprobs": [{"Hé": -0.5}, {}],
    "text_offset": [0, 2],
}


def test_a_chat_is_written_as_a_completion() -> None:
    encoder = DIALECT.encoder(parse(), SERVED)
    assert encoder.feed(ANSWER) == b""
    usage = {
        **USED,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert json.loads(encoder.finish(Usage(input=3, output=2))) == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 5,
        "model": "v",
        "choices": [
            {"text": "Héy", "index": 0, "logprobs": IN_LISTS, "finish_reason": "stop"},
            {"text": "no", "index": 1, "logprobs": None, "finish_reason": "length"},
        ],
        "usage": {**usage, **OURS},
    }


def test_a_chat_is_streamed_as_a_completion() -> None:
    encoder = DIALECT.encoder(parse(stream=True), SERVED)
    assert encoder.feed([Opened("x", "v"), Reasoning("hm")]) == b""
    lines = (encoder.feed(ANSWER) + encoder.finish(Usage())).split(b"\n\n")
    assert lines[-2:] == [b"data: [DONE]", b""]
    choices = [json.loads(line[6:])["choices"][0] for line in lines[:-2]]
    assert "".join(choice["text"] for choice in choices if choice["index"] == 0) == "Héy"
    assert [choice["logprobs"] for choice in choices if choice["logprobs"]] == [IN_LISTS]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop", "length"]
    assert json.loads(lines[0][6:]) | {"choices": []} == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 5,
        "model": "v",
        "choices": [],
    }


def test_an_error_in_a_stream_is_told_in_it() -> None:
    assert DIALECT.fault_frame(Refused("no"), "r").startswith(b'data: {"error":{"message":"no"')


def test_recorded_replies_pass_through_and_mean_what_they_say() -> None:
    found = [record for record in records(kinds=("completions",)) if record["status"] == 200]
    assert len(found) >= 14
    for record in found:
        body, stream = body_of(record), bool(record["stream"]) or body_of(record).startswith(b"data:")
        n = (record["request_body"] or {}).get("n") or 1
        asked = parse(stream=stream, n=n)
        chunks = [json.loads(line[6:]) for line in body.splitlines() if line[:7] == b"data: {"] or [json.loads(body)]
        events = meant(asked, body)
        for index in {choice["index"] for one in chunks for choice in one["choices"]}:
            said = "".join(c["text"] for one in chunks for c in one["choices"] if c["index"] == index)
            assert "".join(e.text for e in events if isinstance(e, Text) and e.index == index) == said, record["id"]
        used = [one["usage"]["completion_tokens"] for one in chunks if one.get("usage")]
        assert [event.usage.output for event in events if isinstance(event, Metered)] == used
        passed = b"".join(
            event.data
            for event in decoded(PassingOn(DIALECT.splitter(asked, b""), DIALECT.reader(asked, Ways())), body)
            if isinstance(event, Raw)
        )
        kept = [line for line in body.split(b"\n\n") if b'"choices":[]' not in line and b"[DONE]" not in line]
        assert passed == (b"\n\n".join(kept) if stream else body), record["id"]


def test_recorded_refusals_are_refusals() -> None:
    found = [record for record in records(kinds=("completions",)) if record["status"] >= 400]
    assert len(found) >= 4
    for record in found:
        error = DIALECT.refusal(record["status"], headers_of(record), body_of(record))
        assert type(error) is (CredentialRefused if record["status"] == 401 else Refused), record["id"]
