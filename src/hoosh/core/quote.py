"""What a call to one model of one provider costs, and how well that is known."""

from typing import Protocol

from hoosh.core.events import Usage
from hoosh.core.ledger import Priced


class Quote(Protocol):
    @property
    def priced(self) -> Priced: ...

    def cost(self, usage: Usage, audio_ms: int = 0) -> int | None:
        """Micro-USD, rounded up once; None where it is not known."""

    def bound(self, input_tokens: int, output_tokens: int, audio_ms: int = 0) -> int:
        """Micro-USD that no usage within these bounds passes; 0 where it is not known."""


class Free:
    """Costs nothing, whatever is used."""

    priced: Priced = "free"

    def cost(self, usage: Usage, audio_ms: int = 0) -> int:  # noqa: ARG002
        return 0

    def bound(self, input_tokens: int, output_tokens: int, audio_ms: int = 0) -> int:  # noqa: ARG002
        return 0


FREE = Free()
