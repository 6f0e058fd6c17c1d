"""Decisions of past calls, for who asks why: as many as there is room for, the oldest go."""

from collections.abc import Sequence

import msgspec

from hoosh.core.call import Receipt
from hoosh.ports import Journal


class Decisions:
    """ports.Journal. A decision is found by the id of its call, and by what the client called its request."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._by_id: dict[str, Receipt] = {}
        self._named: dict[str, str] = {}

    def keep(self, at_most: int) -> None:
        """So many from now on."""
        self._at_most = at_most
        while len(self._by_id) > at_most:
            self._forget_oldest()

    def note(self, receipt: Receipt) -> None:
        if not self._at_most or receipt.decision is None:
            return
        if len(self._by_id) >= self._at_most:
            self._forget_oldest()
        self._by_id[receipt.call_id] = receipt
        if receipt.request_id != receipt.call_id:
            self._named[receipt.request_id] = receipt.call_id

    def find(self, name: str, key_id: str) -> Receipt | None:
        """That of a call that `key_id` made; of several with one name the last."""
        receipt = self._by_id.get(self._named.get(name, name))
        return receipt if receipt is not None and receipt.principal.key_id == key_id else None

    def _forget_oldest(self) -> None:
        oldest = next(iter(self._by_id))
        receipt = self._by_id.pop(oldest)
        if self._named.get(receipt.request_id) == oldest:
            del self._named[receipt.request_id]


class Journals(msgspec.Struct, frozen=True):
    """ports.Journal: each of several."""

    all: Sequence[Journal]

    def note(self, receipt: Receipt) -> None:
        for journal in self.all:
            journal.note(receipt)
