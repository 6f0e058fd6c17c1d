"""The account of a running call: what it learns from the events that pass."""

from hoosh.core.asked import ChatRequest
from hoosh.core.call import Account, Call, Outcome
from hoosh.core.events import Finish, Metered, Opened, Raw, Reasoning, Refusal, Text, ToolDelta, Usage


def account() -> Account:
    return Account(Call(id="1", dialect="openai_chat", request=ChatRequest(model="m", messages=()), body=b""))


def test_a_call_has_crashed_until_proven_otherwise() -> None:
    fresh = account()
    assert fresh.outcome is Outcome.CRASHED
    assert (fresh.hold, fresh.attempt, fresh.reported, fresh.seen_chars) == (None, None, None, 0)


def test_all_that_the_model_says_is_seen() -> None:
    book = account()
    said = (Text("ab"), Refusal("cde"), Reasoning("fghi"), ToolDelta(0, name="jk", arguments="{}"))
    for event in (Opened("id", "m"), *said, Finish("stop")):
        book.observe(event)
    assert book.seen_chars == 2 + 3 + 4 + 4


def test_bytes_that_pass_through_count_by_what_they_mean() -> None:
    book = account()
    book.observe(Raw(b"a long line of bytes", (Text("four"), Metered(Usage(input=1, output=1)))))
    assert book.seen_chars == 4
    assert book.reported == Usage(input=1, output=1)


def test_a_later_report_replaces_an_earlier_one() -> None:
    book = account()
    for output in (1, 9):
        book.observe(Metered(Usage(input=5, output=output)))
    assert book.reported == Usage(input=5, output=9)
    assert Usage(input=5, cached=3, output=9, reasoning=2).total == 14
