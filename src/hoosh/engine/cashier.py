"""What an attempt may use: bounded before anything is sent, held in every budget that it counts against, and told.

A call that set no limit on its answer gets one where a budget has a ceiling, for without it no hold would be a bound.
"""

from collections.abc import Iterable

import msgspec

from hoosh.core.asked import ChatRequest, CompleteRequest, Request
from hoosh.core.call import Account, Call, Hold
from hoosh.core.errors import BadRequest, BudgetExceeded, Shortage, TooDear
from hoosh.core.ledger import Amount
from hoosh.core.plan import Attempt, Target
from hoosh.core.pool import Terms
from hoosh.core.quote import Quote
from hoosh.engine.backend import Backend
from hoosh.policy.estimate import DEFAULT_OUTPUT_TOKENS, answers, boundless, input_bound, output_limit
from hoosh.ports import Budgets, Prices

# An answer shorter than this is no answer: then the budget is said to be exceeded.
LEAST_OUTPUT_TOKENS = 16
# What is left may be less again when it is asked for: others spend too.
ADJUSTMENTS = 3


class Cashier:
    def __init__(self, budgets: Budgets, prices: Prices) -> None:
        self._budgets = budgets
        self._prices = prices

    def terms(self, call: Call) -> Terms:
        """Raises BadRequest."""
        return self._budgets.terms(call.wishes.pool or call.principal.pool, call.principal.key_id, call.wishes.agent)

    def bound(self, call: Call, backends: Iterable[tuple[Target, Backend]]) -> Amount:
        """What an attempt is held to at most, whichever of these it goes to. Raises: BadRequest, Unpriced."""
        request, terms = call.request, self.terms(call)
        sets_limit = terms.is_capped and not terms.top_up
        limit_tokens = output_limit(request) or (terms.output_tokens if sets_limit else DEFAULT_OUTPUT_TOKENS)
        input_tokens, output_tokens = input_bound(request), answers(request) * limit_tokens
        quotes = (self._prices.quote(target, backend.provider.name) for target, backend in backends)
        micros = max((quote.bound(input_tokens, output_tokens, 0) for quote in quotes), default=0)
        return Amount(input_tokens + output_tokens, micros)

    async def hold(self, account: Account, backend: Backend) -> int:
        """Set aside what the attempt may use at most; its id stands in `account.hold` before that is asked for.

        The answer is the limit that each answer gets from its budget, 0 for none.
        Raises: BudgetExceeded, BadRequest, StoreFailed, Unpriced.
        """
        request, terms = account.call.request, account.terms
        if account.attempt is None:
            return 0
        account.quote = quote = self._prices.quote(account.attempt.target, backend.provider.name)
        if request.operation == "count":  # no provider charges for counting
            await self._take(account, account.attempt, Amount())
            return 0
        number, own_limit = answers(request), output_limit(request)
        if terms.is_capped and not terms.allows_unbounded and (what := boundless(request)):
            raise _cannot_be_bounded(what)
        sets_limit = terms.is_capped and not terms.top_up and own_limit is None and number > 0
        output_tokens = own_limit or (terms.output_tokens if sets_limit else DEFAULT_OUTPUT_TOKENS)
        least_tokens = LEAST_OUTPUT_TOKENS if sets_limit else output_tokens
        input_tokens = input_bound(request)
        for chances in reversed(range(ADJUSTMENTS)):
            all_tokens = input_tokens + number * output_tokens
            amount = Amount(all_tokens, quote.bound(input_tokens, number * output_tokens, 0))
            if 0 < account.plan.max_micros < account.spent_micros + amount.micros:
                raise TooDear(_over(account, amount.micros))
            try:
                await self._take(account, account.attempt, amount)
                break
            except BudgetExceeded as error:
                affordable_tokens = _affordable(error.shortage, quote, input_tokens, number)
                if not chances or not least_tokens <= affordable_tokens < output_tokens:
                    raise
                output_tokens = affordable_tokens
        return output_tokens if sets_limit else 0

    async def grow(self, account: Account) -> None:
        """Hold more for an answer that nears what is held: each byte seen counts as a token, so this is in time.

        Raises: BudgetExceeded, StoreFailed.
        """
        hold, quote = account.hold, account.quote
        if hold is None:
            return
        seen_tokens = input_bound(account.call.request) + account.seen_chars + account.seen_wide_bytes
        if seen_tokens < hold.amount.tokens:
            return
        more_tokens = seen_tokens - hold.amount.tokens + DEFAULT_OUTPUT_TOKENS
        more = Amount(more_tokens, quote.bound(0, more_tokens, 0))
        await self._budgets.extend(hold.id, more)
        account.hold = msgspec.structs.replace(hold, amount=hold.amount + more)

    async def _take(self, account: Account, attempt: Attempt, amount: Amount) -> None:
        call, target = account.call, attempt.target
        account.hold = Hold(
            id=f"{call.id}.{attempt.n}",
            pools=account.terms.pools,
            amount=amount,
            request_id=call.request_id,
            key=call.principal.key_id,
            agent=call.wishes.agent,
            provider=target.provider,
            model=target.model,
            operation=call.request.operation,
            backing=call.backing,
        )
        await self._budgets.reserve(account.hold)


def _over(account: Account, micros: int) -> str:
    before = f", after {account.spent_micros} of earlier attempts" if account.spent_micros else ""
    return f"the route lets one call cost {account.plan.max_micros} micro-USD; this one may cost {micros}{before}"


def limited(request: Request, output_tokens: int) -> Request:
    """The same with a limit on each answer."""
    if isinstance(request, ChatRequest | CompleteRequest):
        return msgspec.structs.replace(request, max_output_tokens=output_tokens)
    return request


def _cannot_be_bounded(what: str) -> BadRequest:
    return BadRequest(
        f"{what}: nobody can say beforehand what this costs, and the budget has a limit; "
        'a budget with unbounded = "allow" lets it pass',
        param="tools" if what.startswith("tools") else "messages",
    )


def _affordable(shortage: Shortage | None, quote: Quote, input_tokens: int, number: int) -> int:
    """Output tokens of each answer that what is left would pay for."""
    if shortage is None:
        return 0
    if shortage.unit == "tokens":
        return (shortage.left - input_tokens) // max(1, number)
    if shortage.unit != "micro_usd":
        return 0
    million = 1_000_000
    left_micros = shortage.left - quote.bound(input_tokens, 0, 0)
    of_million_micros = quote.bound(0, million, 0)
    return left_micros * million // max(1, of_million_micros * number)
