import json

import pytest

from hoosh.core.errors import BadRequest
from hoosh.recordings.match import Library
from hoosh.recordings.player import LOG_ENTRIES, NotRecorded, Player, refusal, split_target
from hoosh.recordings.record import NULL, Record, json_or_none
from hoosh.recordings.script import Play

HI = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
CHAT = "/p/openai/v1/chat/completions"


def record(record_id: str, body: bytes = HI, reply: str = "{}") -> Record:
    return Record(
        id=record_id,
        provider="openai",
        url_path="/v1/chat/completions",
        status=200,
        request_body=json_or_none(body) or NULL,
        response_body=reply,
    )


def player(*records: Record, play: Play = Play()) -> Player:
    return Player(Library(records), play)


def ids(one: Player, count: int, target: str = CHAT, options: str = "") -> list[str | None]:
    return [one.answer("POST", target, HI, options)[1].id for _ in range(count)]


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/p/openai/v1/x?a=b", ("", "openai", "/v1/x?a=b")),
        ("/f/cut=5,chunk=byte/p/openai/v1/x", ("cut=5,chunk=byte", "openai", "/v1/x")),
        ("/f/cut/v1/x", ("cut", "", "/v1/x")),
        ("/v1/p/x", ("", "", "/v1/p/x")),
        ("/p/openai", ("", "openai", "/")),
    ],
)
def test_targets(target: str, parts: tuple[str, str, str]) -> None:
    way = split_target(target)
    assert (way.options, way.provider, way.path) == parts


def test_a_target_that_is_no_path() -> None:
    with pytest.raises(BadRequest):
        split_target("http://elsewhere/")


def test_several_matches_take_turns_in_the_order_of_recording() -> None:
    one = player(record("a"), record("b"), record("c"))
    assert ids(one, 5) == ["a", "b", "c", "a", "b"]
    one.reset()
    assert ids(one, 2) == ["a", "b"]


def test_a_pin_and_an_id_win_over_what_is_asked() -> None:
    one = player(record("a"), record("b", b'{"input":"other"}'))
    one.pin(["b", "b"])
    assert ids(one, 3) == ["b", "b", "a"]
    assert ids(one, 1, options="id=b") == ["b"]
    assert [seen.match for seen in one.log] == ["pinned", "pinned", "exact", "pinned"]


@pytest.mark.parametrize(
    "wrong", [lambda one: one.pin(["a", "zzz"]), lambda one: one.answer("POST", CHAT, HI, "id=zzz")]
)
def test_an_id_that_is_not_there(wrong: object) -> None:
    one = player(record("a"))
    with pytest.raises(BadRequest, match="no record has the id 'zzz'"):
        wrong(one)  # type: ignore[operator]
    assert ids(one, 1) == ["a"]  # a wrong list pins nothing


def test_options_of_path_and_header_add_up() -> None:
    script, seen = player(record("a", reply="abc")).answer("POST", f"/f/chunk=byte{CHAT}", HI, "cut=2")
    assert [data for _, data in script.pieces] == [b"a", b"b"]
    assert script.stop == "cut"
    assert seen.options == "chunk=byte,cut=2"


def test_only_the_first_requests_meet_a_fault() -> None:
    one = player(record("a"), play=Play(chunk="whole"))
    faulty = [one.answer("POST", CHAT, HI, "status=503,first=2")[0].status for _ in range(4)]
    assert faulty == [503, 503, 200, 200]
    other = [one.answer("POST", CHAT, HI, "status=500,first=1")[0].status for _ in range(2)]
    assert other == [500, 200]
    one.reset()
    assert one.answer("POST", CHAT, HI, "status=503,first=2")[0].status == 503


def test_a_reply_says_which_record_it_is() -> None:
    headers = dict(player(record("a")).answer("POST", CHAT, HI)[0].headers)
    assert headers[b"x-replay-id"] == b"a"
    assert headers[b"x-replay-match"] == b"exact"


def test_a_miss_says_what_was_near() -> None:
    one = player(record("a"))
    other = HI.replace(b'"Hi"', b'"Ho"')
    with pytest.raises(NotRecorded) as raised:
        one.answer("POST", CHAT, other)
    script = refusal(raised.value)
    error = json.loads(script.pieces[0][1])["error"]
    assert script.status == 404
    assert error["code"] == "replay_miss"
    assert error["nearest"] == [{"id": "a", "differs": ["messages"]}]
    assert "the nearest is a, which differs in messages" in error["message"]
    assert [(seen.match, seen.id) for seen in one.log] == [("none", None)]


def test_a_miss_for_an_unknown_provider_says_which_there_are() -> None:
    with pytest.raises(NotRecorded, match="nothing of a provider 'groq' is recorded; there is openai"):
        player(record("a")).answer("POST", "/p/groq/v1/chat/completions", HI)


def test_the_log_holds_no_key_and_is_bounded() -> None:
    one = player(record("a"))
    body = HI.replace(b'"m"', b'"sk-0123456789abcdef"')
    for _ in range(LOG_ENTRIES + 1):
        one.answer("POST", f"{CHAT}?key=sk-0123456789abcdef", body)
    assert len(one.log) == LOG_ENTRIES
    assert one.log[0].body is not None
    assert b"0123456789" not in bytes(one.log[0].body)
    assert "0123456789" not in one.log[0].path
