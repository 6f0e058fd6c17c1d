"""What one process may spend of one pool, where an answer of the store crosses a change here."""

from hoosh.core.ledger import UNLIMITED, Amount, Lease
from hoosh.engine.desk import Desk


def test_an_answer_from_before_the_ceiling_was_lowered_grants_nothing_that_is_free() -> None:
    """A budget was lowered while the store was asked under the old one, and calls went on under that."""
    desk = Desk("p", 0)
    desk.cap(Amount(100_000, UNLIMITED, UNLIMITED), 0)
    desk.wish(1, keep_free=True, urgent=False)
    desk.give_up_free()
    desk.cap(Amount(15, UNLIMITED, UNLIMITED), 0)
    desk.granted_by(Lease("p", 0, Amount(100_000), Amount(0), Amount()))
    assert not desk.has((1, 0, 0))
    assert desk.dirty  # the store hears what is kept of it
    desk.wish(1, keep_free=True, urgent=False)
    desk.granted_by(Lease("p", 0, Amount(10), Amount(0), Amount()))
    assert desk.has((10, 0, 0))
