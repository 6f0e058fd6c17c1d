"""What pages that list models need of http.models.Models, whatever shape they give the list."""

from typing import Protocol

Row = dict[str, object]


class ModelList(Protocol):
    async def rows(self) -> list[Row]:
        """What can be called now."""

    async def row(self, wanted: str) -> Row:
        """Raises UnknownModel."""
