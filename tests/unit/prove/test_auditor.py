import msgspec
import pytest

from hoosh.core.ledger import NOTHING, Amount, Audit, OpenLine, PoolBooks, Scope
from hoosh.prove.auditor import breaches

CEILINGS = {"p": 100}
BOOKS = PoolBooks(pool="p", bucket_s=0, committed=Amount(60), lines=Amount(60), overrun=NOTHING)
MINE = OpenLine(id="a", state="sent", gateway="g", scopes=(Scope("p"),), held=Amount(40), until_ms=5000)
CEDED = msgspec.structs.replace(MINE, id="b", gateway="")
FINE = Audit(now_ms=4000, books=(BOOKS,), leases=(("g", "p", 0, Amount(40)),), open_lines=(MINE,))


def changed(**parts: object) -> Audit:
    return msgspec.structs.replace(FINE, **parts)


def books(**parts: object) -> tuple[PoolBooks, ...]:
    return (msgspec.structs.replace(BOOKS, **parts),)


def test_books_that_are_right() -> None:
    assert breaches(FINE, CEILINGS, all_live=True) == []
    assert breaches(changed(leases=(), open_lines=(CEDED,)), CEILINGS, all_live=True) == []
    assert breaches(changed(open_lines=(MINE, MINE)), {}, all_live=True) == []


def test_what_was_used_beyond_what_was_held_is_nobodys_fault_here() -> None:
    more = books(committed=Amount(75), lines=Amount(75), overrun=Amount(15))
    assert breaches(changed(books=more), CEILINGS, all_live=True) == []


@pytest.mark.parametrize(
    ("audit", "told"),
    [
        (changed(books=books(lines=Amount(59))), "I2"),
        (changed(open_lines=(MINE, CEDED), leases=()), "I1"),
        (changed(books=books(committed=Amount(61), lines=Amount(61))), "I1"),
        (changed(leases=(("g", "p", 0, Amount(30)), ("h", "p", 7, Amount(11)))), "I1"),
        (changed(open_lines=(CEDED,)), "I1"),
        (changed(now_ms=7001), "I5"),
    ],
)
def test_books_that_are_wrong(audit: Audit, told: str) -> None:
    found = breaches(audit, CEILINGS, all_live=True)
    assert found
    assert {line.partition(":")[0] for line in found} == {told}


def test_the_lease_of_a_gateway_whose_journal_is_told_counts_twice_until_then() -> None:
    told = changed(leases=(("g", "p", 0, Amount(41)),))
    assert breaches(told, CEILINGS, all_live=False) == []
    assert breaches(told, CEILINGS, all_live=True) != []
