"""What pages that list models need of http.models.Models, whatever shape they give the list."""

from typing import Protocol

from hoosh.core.principal import Principal

Row = dict[str, object]


class ModelList(Protocol):
    async def rows(self, principal: Principal, /) -> list[Row]:
        """What this key can call now."""

    async def row(self, wanted: str, principal: Principal, /) -> Row:
        """Raises UnknownModel."""
