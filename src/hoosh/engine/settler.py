"""Settling: what a call owes is fixed here, synchronously, in memory; the store hears of it by itself.

`settle`, `commit` and `absorb` never await and never raise, so they stand in a `finally` that a second cancellation
may hit. A `finally` that awaited would be cancelled there and settle nothing.
"""

from hoosh.core.cache_wish import SERVED
from hoosh.core.call import Account, Failure, Outcome, Receipt, Settlement, Tried
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.events import Usage
from hoosh.policy.estimate import usage_of
from hoosh.ports import Budgets, Clock, Journal

# nginx's word for a client that left before the answer; in receipts only.
STATUS_CLIENT_LEFT = 499


class Settler:
    def __init__(self, budgets: Budgets, journal: Journal, clock: Clock) -> None:
        self._budgets = budgets
        self._journal = journal
        self._clock = clock

    def absorb(self, account: Account, error: UpstreamError) -> None:
        """An attempt failed and the call goes on (or gives up): its line is closed now."""
        if account.attempt is None or account.attempt.n <= account.lost_n:
            return
        account.lost_n = account.attempt.n
        target = account.attempt.target
        account.tried.append(Tried(target, error))
        account.lost = usage_of(account)
        account.spent_micros += account.cost_micros(account.lost) or 0
        self._close(account, account.lost, error.code, absorbed=True)
        account.reported, account.sent = None, False

    def commit(self, account: Account) -> None:
        """The provider has answered in full: booked before the client hears that all went well."""
        account.billed = usage_of(account)
        self._close(account, account.billed, "")

    def settle(self, account: Account) -> None:
        error = account.error
        if account.billed is None:
            account.billed = usage_of(account) if account.hold else account.lost
        self._close(account, account.billed, error.code if error else "")
        self._journal.note(self._receipt(account, account.billed))

    def _close(self, account: Account, usage: Usage, error: str, *, absorbed: bool = False) -> None:
        hold = account.hold
        if hold is None:
            return
        account.hold = None
        cost_micros = account.cost_micros(usage)
        self._budgets.settle(
            Settlement(
                id=hold.id,
                hold=hold,
                usage=usage,
                micros=cost_micros or 0,
                priced=account.quote.priced,
                error=error,
                absorbed=absorbed,
                cache_hit=account.cache in SERVED,
            )
        )

    def _receipt(self, account: Account, usage: Usage) -> Receipt:
        call, error = account.call, account.error
        return Receipt(
            call_id=call.id,
            request_id=call.request_id,
            model=call.request.model,
            outcome=account.outcome,
            status=_status(account.outcome, error),
            principal=call.principal,
            target=account.attempt.target if account.attempt else None,
            attempts=account.attempt.n if account.attempt else 0,
            usage=usage,
            cost_micros=account.cost_micros(usage),
            stream=call.request.stream,
            first_event_ns=max(0, account.first_event_ns - call.arrived_ns),
            total_ns=self._clock.monotonic_ns() - call.arrived_ns,
            error=error.code if error else "",
            wishes=call.wishes,
            decision=account.decision,
            tried=tuple(_failure(tried) for tried in account.tried),
            cache=account.cache,
        )


def _failure(tried: Tried) -> Failure:
    error = tried.error
    return Failure(tried.target, error.code, error.status, error.message)


def _status(outcome: Outcome, error: HooshError | None) -> int:
    if error is not None:
        return error.status
    return {Outcome.OK: 200, Outcome.CANCELLED: STATUS_CLIENT_LEFT}.get(outcome, 500)
