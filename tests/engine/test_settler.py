"""What is owed is written once, whatever the store does in between."""

from engine_world import FakeBudgets, FakeClock, FakeJournal
from hoosh.core.asked import ChatRequest, Message, TextPart
from hoosh.core.call import Account, Call, Hold, Outcome
from hoosh.core.errors import ConnectFailed, Refused
from hoosh.core.events import Finish, Metered, Raw, Text, Usage
from hoosh.core.ledger import Amount
from hoosh.core.plan import Attempt, Target
from hoosh.engine.settler import STATUS_CLIENT_LEFT, Settler
from hoosh.policy.estimate import usage_of

ONE, TWO = Target("one", "m"), Target("two", "m")


def account(name: str = "call", target: Target = ONE, n: int = 1) -> Account:
    request = ChatRequest(model="m", messages=(Message("user", (TextPart("Hi"),)),), stream=True)
    book = Account(Call(id=name, dialect="openai_chat", request=request, body=b"", arrived_ns=1_000_000))
    return attempted(book, target, n)


def attempted(book: Account, target: Target, n: int) -> Account:
    book.attempt = Attempt(n, target)
    book.hold = Hold(id=f"{book.call.id}.{n}", pools=("default",), amount=Amount(50))
    return book


def succeed(book: Account, tokens: int = 10) -> Account:
    book.outcome = Outcome.OK
    book.first_event_ns = 501_000_000
    book.reported = Usage(input=tokens)
    return book


class Office:
    def __init__(self, budgets: FakeBudgets) -> None:
        self.journal = FakeJournal()
        self.settler = Settler(budgets, self.journal, FakeClock())


def test_an_absorbed_attempt_and_the_one_in_its_place_are_two_lines_and_one_receipt() -> None:
    budgets = FakeBudgets()
    office = Office(budgets)
    book = account()
    error = ConnectFailed("refused")
    office.settler.absorb(book, error)
    assert book.hold is None
    assert [(tried.target, tried.error) for tried in book.tried] == [(ONE, error)]
    assert office.journal.receipts == []
    office.settler.settle(succeed(attempted(book, TWO, 2)))
    first, second = budgets.lines
    assert (first.id, first.absorbed, first.error, first.usage.total) == ("call.1", True, "upstream_error", 0)
    assert (second.id, second.absorbed, second.error, second.usage.total) == ("call.2", False, "", 10)
    (receipt,) = office.journal.receipts
    assert (receipt.status, receipt.attempts, receipt.target, receipt.usage.input) == (200, 2, TWO, 10)
    assert receipt.first_event_ns == 500_000_000


def test_when_the_last_attempt_was_absorbed_too_nothing_is_settled_twice() -> None:
    budgets = FakeBudgets()
    office = Office(budgets)
    book = account()
    office.settler.absorb(book, ConnectFailed("refused"))
    book.outcome, book.error = Outcome.FAILED, ConnectFailed("refused")
    office.settler.absorb(book, ConnectFailed("refused"))
    office.settler.settle(book)
    assert [line.id for line in budgets.lines] == ["call.1"]
    assert office.journal.receipts[0].status == 502


def test_a_failed_call_tells_its_line_and_its_receipt() -> None:
    budgets = FakeBudgets()
    office = Office(budgets)
    book = account()
    book.outcome, book.error = Outcome.FAILED, Refused("wrong", upstream_status=422)
    office.settler.settle(book)
    assert budgets.lines[0].error == "invalid_request"
    assert (office.journal.receipts[0].status, office.journal.receipts[0].error) == (422, "invalid_request")


def test_a_client_that_left_and_a_crash_have_a_status_and_a_line_each() -> None:
    budgets = FakeBudgets()
    office = Office(budgets)
    left, crashed = account("left"), account("crashed")
    left.outcome = Outcome.CANCELLED
    office.settler.settle(left)
    office.settler.settle(crashed)
    assert [receipt.status for receipt in office.journal.receipts] == [STATUS_CLIENT_LEFT, 500]
    assert [line.id for line in budgets.lines] == ["left.1", "crashed.1"]


def test_usage_is_the_providers_word_else_an_estimate_of_what_was_seen_else_nothing() -> None:
    book = account()
    assert usage_of(book) == Usage()
    book.sent, book.seen_chars = True, 9
    assert (usage_of(book).output, usage_of(book).source) == (3, "estimated")
    book.reported, book.finished = Usage(input=1, output=2), True
    assert usage_of(book) == Usage(input=1, output=2)


def test_a_cut_answer_is_not_billed_by_what_was_said_of_it_before_it_began() -> None:
    """Anthropic opens a stream with the input's count and an output of one token."""
    book = account()
    book.first_event_ns = 1
    for event in (Metered(Usage(input=900, cached=800, output=1)), Text("x" * 400)):
        book.observe(event)
    assert usage_of(book) == Usage(input=900, cached=800, output=100, source="estimated")
    book.observe(Metered(Usage(input=900, cached=800, output=120)))
    assert usage_of(book) == Usage(input=900, cached=800, output=120)


def test_a_whole_answer_is_billed_by_what_the_provider_reports_even_if_it_seems_little() -> None:
    book = account()
    book.first_event_ns = 1
    for event in (Text("x" * 400), Metered(Usage(input=9, output=50)), Raw(b"", (Finish("stop"),))):
        book.observe(event)
    assert usage_of(book) == Usage(input=9, output=50)
