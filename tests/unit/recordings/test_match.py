import json
from typing import Any

import pytest

import wire_corpus
from hoosh.recordings.match import Asked, Library, base_path, bases, endpoint, wants_stream
from hoosh.recordings.record import NULL, Record, from_line, json_or_none

CHAT = "/v1/chat/completions"
HI = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}]}


def record(record_id: str, body: Any = None, path: str = CHAT, **more: Any) -> Record:
    raw = NULL if body is None else json_or_none(json.dumps(body).encode()) or NULL
    more.setdefault("provider", "openai")
    return Record(id=record_id, url_path=path, status=200, request_body=raw, **more)


def found(
    library: Library, body: Any, path: str = CHAT, provider: str = "", method: str = "POST"
) -> tuple[str, list[str]]:
    data = b"" if body is None else json.dumps(body).encode()
    answer = library.find(Asked(path=path, provider=provider, method=method, body=data))
    return ("none", []) if answer is None else (answer.degree, [one.id for one in answer.records])


def test_exact_is_blind_to_order_nulls_and_kinds_of_number() -> None:
    library = Library([record("a", {**HI, "temperature": 1})])
    same = {"temperature": 1.0, "messages": HI["messages"], "top_p": None, "model": "gpt-4.1"}
    assert found(library, same) == ("exact", ["a"])


@pytest.mark.parametrize(
    "more",
    [
        {"user": "u", "metadata": {"a": "b"}, "seed": 7, "n": 1, "stream_options": {"include_usage": True}},
        {"model": "openai/gpt-4.1"},
    ],
)
def test_loose(more: dict[str, Any]) -> None:
    assert found(Library([record("a", HI)]), {**HI, **more}, "/other/v1/chat/completions") == ("loose", ["a"])


def test_loose_also_where_the_seed_is_nested() -> None:
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"topK": 4}}
    library = Library([record("a", body, path, provider="google")])
    body["generationConfig"] = {"topK": 4, "seed": 1}
    assert found(library, body, path) == ("loose", ["a"])


@pytest.mark.parametrize(
    "body",
    [
        {**HI, "temperature": 0.3},
        {**HI, "model": "other"},
        {**HI, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        {**HI, "messages": [{"role": "user", "content": " Hi\n"}]},
    ],
)
def test_outline(body: dict[str, Any]) -> None:
    assert found(Library([record("a", HI)]), body) == ("outline", ["a"])


@pytest.mark.parametrize(
    "body",
    [
        {**HI, "stream": True},
        {**HI, "tools": [{"type": "function", "function": {"name": "f"}}]},
        {**HI, "messages": [{"role": "system", "content": "Hi"}]},
        {**HI, "messages": [*HI["messages"], {"role": "user", "content": "Hi"}]},
        {**HI, "messages": [{"role": "user", "content": "Ho"}]},
    ],
)
def test_what_asks_for_another_answer_matches_nothing(body: dict[str, Any]) -> None:
    assert found(Library([record("a", HI)]), body) == ("none", [])


def test_the_rounds_of_a_tool_call_are_told_apart() -> None:
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    first = [{"role": "user", "parts": [{"text": "Weather?"}]}]
    call = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]}
    warm, cold = (
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"c": degrees}}}]}
        for degrees in (20, -5)
    )
    rounds = [first, [*first, call, warm], [*first, call, cold]]
    library = Library([record(str(n), {"contents": talk}, path) for n, talk in enumerate(rounds)])
    for n, talk in enumerate(rounds):
        assert found(library, {"contents": talk, "generationConfig": {"temperature": 0}}, path) == ("outline", [str(n)])


def test_arguments_are_the_same_as_text_and_as_object() -> None:
    def talk(arguments: Any) -> dict[str, Any]:
        call = {"function": {"name": "f", "arguments": arguments}}
        return {
            "model": "m",
            "messages": [{"role": "assistant", "tool_calls": [call]}],
            "temperature": len(str(arguments)),
        }

    library = Library([record("a", talk('{"b": 1, "a": [2]}'))])
    assert found(library, talk({"a": [2], "b": 1})) == ("outline", ["a"])


def test_a_provider_is_never_stretched() -> None:
    library = Library([record("a", HI), record("b", HI, provider="groq")])
    assert found(library, HI, provider="groq") == ("exact", ["b"])
    assert found(library, HI) == ("exact", ["a", "b"])
    assert found(library, HI, provider="xai") == ("none", [])


def test_what_the_gateway_broke_off_is_the_last_choice() -> None:
    broken = record("broken", HI, end="aborted")
    assert found(Library([broken, record("whole", HI)]), HI) == ("exact", ["whole"])
    assert found(Library([broken]), HI) == ("exact", ["broken"])


def test_a_request_without_a_body() -> None:
    library = Library([record("a", None, "/v1/models?limit=10", method="GET"), record("b", HI)])
    assert found(library, None, "/v1/models?limit=10", method="GET") == ("exact", ["a"])
    assert found(library, None, "/v1/models?key=secret", method="GET") == ("loose", ["a"])
    assert found(library, None, "/v1/models", method="DELETE") == ("none", [])


def test_a_body_that_is_no_json_matches_itself() -> None:
    library = Library([record("a", None, "/v1/audio/transcriptions", request_body_base64="/wD/")])
    asked = Asked(path="/v1/audio/transcriptions", body=b"\xff\0\xff")
    answer = library.find(asked)
    assert answer is not None
    assert answer.degree == "exact"
    assert library.find(Asked(path="/v1/audio/transcriptions", body=b"\xff\0\xfe")) is None


def test_a_body_nested_without_end_is_bytes() -> None:
    deep = b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert Library([record("a", HI)]).find(Asked(path=CHAT, body=deep)) is None


def test_the_nearest_says_in_what_it_differs() -> None:
    library = Library([record("far", {"input": "x"}, "/v1/embeddings"), record("near", {**HI, "top_p": 1})])
    near = library.nearest(Asked(path=CHAT, body=json.dumps({**HI, "model": "m"}).encode()))
    assert [(one.id, one.differs) for one in near] == [
        ("near", ("model", "top_p")),
        ("far", ("input", "messages", "model", "path")),
    ]


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/v1/chat/completions", "chat/completions"),
        ("/openai/v1/chat/completions?x=1", "chat/completions"),
        ("/v1/messages/count_tokens?beta=true", "messages/count_tokens"),
        (
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "models/gemini-2.5-flash:streamGenerateContent",
        ),
        ("/api/chat", "api/chat"),
        ("/v1/models?limit=1000", "models"),
        ("/odd/place", "/odd/place"),
    ],
)
def test_endpoints(path: str, end: str) -> None:
    assert endpoint(path) == end


@pytest.mark.parametrize(
    ("path", "body", "streams"),
    [
        ("/api/chat", {}, True),
        ("/api/chat", {"stream": False}, False),
        (CHAT, {}, False),
        (CHAT, {"stream": True}, True),
        ("/v1beta/models/m:streamGenerateContent", {}, True),
        ("/v1beta/models/m:generateContent", {}, False),
    ],
)
def test_who_streams(path: str, body: dict[str, Any], streams: bool) -> None:
    assert wants_stream(path, body) is streams


@pytest.mark.parametrize(
    ("path", "told", "base"),
    [
        (CHAT, "", "/v1"),
        ("/openai/v1/models", "", "/openai/v1"),
        ("/v1/messages", "", ""),
        ("/v1beta/models/m:generateContent", "", ""),
        ("/api/chat", "", ""),
        (CHAT, "https://api.test/v1", "/v1"),
        (CHAT, "https://api.test", ""),
        ("/odd", "", ""),
    ],
)
def test_where_an_api_begins(path: str, told: str, base: str) -> None:
    assert base_path(record("a", HI, path, base_url=told)) == base


def test_the_base_of_a_provider_is_that_of_most_of_its_records() -> None:
    library = Library([record("a", HI, "/api/chat"), record("b", HI), record("c", HI), record("d", HI, provider="x")])
    assert bases(library) == [("openai", "/v1", 3), ("x", "/v1", 1)]


def test_the_recorded_corpus_is_found_by_each_degree() -> None:
    records = [from_line(json.dumps(one).encode()) for one in wire_corpus.records()]
    library = Library(records)
    for one in records:
        if one.request_unknown:
            continue
        asked = Asked(path=one.url_path, provider=one.provider, method=one.method, body=one.request)
        answer = library.find(asked)
        assert answer is not None
        assert answer.degree == "exact"
        assert one in answer.records
        if (body := json.loads(one.request or b"null")) and not answer.records[1:]:
            loose = json.dumps({**body, "user": "somebody else", "n": 1}).encode()
            answer = library.find(Asked(path=one.url_path, provider=one.provider, body=loose))
            assert answer is not None
            assert one in answer.records
