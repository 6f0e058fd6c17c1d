import pytest

from hoosh.core.ledger import UsageKey, UsageSum
from hoosh.prove.callers import Heard
from hoosh.prove.upstream import Served
from hoosh.prove.verdict import MOST_AT_ONCE, compare

WELL = Heard(200, whole=True)
LEFT = Heard(0, whole=False)
TOLD = Served(100, told=True)


def row(model: str = "m", tokens: int = 100, *, attempts: int = 1, estimated: int = 0) -> tuple[UsageKey, UsageSum]:
    key = UsageKey(0, "anonymous", "", "p", "truth", model, "chat")
    return key, UsageSum(calls=1, attempts=attempts, tokens=tokens, estimated=estimated)


def test_three_accounts_that_agree() -> None:
    heard = {"m": WELL, "left": LEFT, "refused": Heard(429, whole=True), "dead": LEFT}
    served = {"m": TOLD, "left": Served(100)}
    rows = [row(), row("left", 30, estimated=1), row("dead", 100, estimated=1)]
    found = compare(heard, served, rows, kills=1)
    assert found.breaches == []
    assert (found.calls, found.acknowledged, found.exact, found.estimated, found.unsent) == (4, 1, 1, 1, 1)
    assert (found.served_tokens, found.booked_tokens) == (100, 230)


@pytest.mark.parametrize(
    ("heard", "served", "rows", "told"),
    [
        (LEFT, TOLD, [], "I3"),
        (LEFT, TOLD, [row(tokens=99)], "I3"),
        (WELL, TOLD, [row(estimated=1)], "I6"),
        (LEFT, TOLD, [row(attempts=2)], "I4"),
        (LEFT, Served(100, calls=2, told=True), [row()], "I4"),
        (LEFT, None, [row()], "I3"),
        (WELL, None, [], "I6"),
    ],
)
def test_three_accounts_that_do_not(
    heard: Heard, served: Served | None, rows: list[tuple[UsageKey, UsageSum]], told: str
) -> None:
    found = compare({"m": heard}, {} if served is None else {"m": served}, rows, kills=9)
    assert found.breaches
    assert all(breach.startswith(told) for breach in found.breaches)


def test_more_calls_than_were_in_hand_are_not_excused_by_kills() -> None:
    rows = [row(f"m{n}", estimated=1) for n in range(MOST_AT_ONCE + 1)]
    assert compare({}, {}, rows, kills=2).breaches == []
    assert compare({}, {}, rows, kills=1).breaches != []
    assert compare({}, {}, rows[:1], kills=0).breaches != []
