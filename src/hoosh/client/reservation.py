"""Tokens held in a pool while they are being used, and how the hold ends."""

from hoosh.client import calls
from hoosh.client.calls import Call
from hoosh.client.errors import BudgetExceededError
from hoosh.client.types import Answered, Fields, Reserved, Usage


class Reservation:
    """`use` says what was used. Nothing said and all well: the whole of it was. Nothing said and it failed: none."""

    def __init__(self, pool: str, tokens: int, answer: Reserved, fields: Fields) -> None:
        """Raises: BudgetExceededError."""
        if not answer.reserved:
            error = BudgetExceededError(
                f"pool '{pool}' has {answer.available} tokens left, {tokens} were asked for",
                code="budget_exceeded",
                param="tokens",
                request_id=answer.reply.request_id,
            )
            error.status = 429
            raise error
        self.pool = pool
        self.tokens = tokens
        self.id = answer.reservation_id
        self.used: int | None = None
        self._common = {"pool": pool, "project": fields.get("project")}

    def use(self, tokens: int | Usage | None) -> None:
        """Adds up over several calls. None, as of an answer that tells no usage, adds nothing."""
        if tokens is not None:
            self.used = (self.used or 0) + (tokens.total_tokens if isinstance(tokens, Usage) else tokens)

    def settlement(self, *, failed: bool) -> Call[Answered]:
        """By the hold's id; a gateway that gave none is told the amount instead."""
        if failed and self.used is None and self.id is not None:
            return calls.release({**self._common, "reservation_id": self.id})
        actual = self.used if self.used is not None else 0 if failed else self.tokens
        held = {"reserved": self.tokens} if self.id is None else {"reservation_id": self.id}
        return calls.report({**self._common, **held, "actual": actual})
