"""`/v1/models` and `/v1/models/{id}`: what can really be called, never patterns. OpenAI's and Anthropic's clients ask
at the same address; those of Anthropic's say which API they mean.
"""

import asyncio

from hoosh.core.call import Wishes
from hoosh.core.errors import HooshError, UnknownModel
from hoosh.core.principal import Principal
from hoosh.dialects.anthropic_messages import listing
from hoosh.engine.catalog import Catalog
from hoosh.engine.router import Router
from hoosh.http.exchange import Exchange
from hoosh.policy.scopes import may_use
from hoosh.ports import Clock

# A list younger than this is not asked for again.
FRESH_S = 30.0
# The page waits this long for the slowest provider; its last known list stands in for it after that.
PATIENCE_S = 5.0
ANTHROPIC = b"anthropic-version"


class Models:
    def __init__(self, catalog: Catalog, router: Router, clock: Clock) -> None:
        self._catalog = catalog
        self._router = router
        self._clock = clock
        self._refresh: asyncio.Task[None] | None = None

    async def index(self, exchange: Exchange) -> None:
        await self._freshen()
        rows = self._rows(exchange.principal)
        if ANTHROPIC in exchange.headers:
            await exchange.answer(listing.page([str(row["id"]) for row in rows]))
        else:
            await exchange.answer({"object": "list", "data": rows})

    async def show(self, exchange: Exchange) -> None:
        wanted = exchange.tail
        row = await self.row(wanted, exchange.principal)
        await exchange.answer(listing.entry(wanted) if ANTHROPIC in exchange.headers else row)

    def _found(self, wanted: str, principal: Principal) -> dict[str, object]:
        for row in self._rows(principal):
            if row["id"] == wanted:
                return row
        try:
            target = self._router.who(wanted, Wishes(), principal=principal)
        except HooshError as error:
            raise UnknownModel(error.message, param="model") from None
        return self._row(wanted, target.provider)

    async def rows(self, principal: Principal) -> list[dict[str, object]]:
        """What this key can call now."""
        await self._freshen()
        return self._rows(principal)

    async def row(self, wanted: str, principal: Principal) -> dict[str, object]:
        """One model; a name that routing would take is a model even if no list has it. Raises UnknownModel."""
        await self._freshen()
        return self._found(wanted, principal)

    def _rows(self, principal: Principal) -> list[dict[str, object]]:
        """De-duplicated by priority, then the aliases."""
        rows: dict[str, dict[str, object]] = {}
        for backend in sorted(self._catalog.backends.values(), key=lambda backend: backend.priority):
            for model in self._catalog.standing(backend.name).models:
                if not may_use(principal, backend.name, model):
                    continue
                rows.setdefault(model, self._row(model, backend.name))
        for alias, name in self._router.aliases.items():
            if alias not in rows and name in rows:
                rows[alias] = {**rows[name], "id": alias}
        for name in self._router.virtual_models:
            if name not in rows and (row := self._virtual(name, principal)) is not None:
                rows[name] = row
        return list(rows.values())

    def _virtual(self, name: str, principal: Principal) -> dict[str, object] | None:
        """A name that only a route gives a meaning; None where this key may not, or nobody can, serve it."""
        try:
            target = self._router.who(name, Wishes(), principal=principal)
        except HooshError:
            return None
        return {**self._row(name, target.provider), "owned_by": "hoosh"}

    def _row(self, model: str, provider: str) -> dict[str, object]:
        standing = self._catalog.standing(provider)
        return {
            "id": model,
            "object": "model",
            "created": 0,
            "owned_by": provider,
            "provider": provider,
            "available": standing.status != "unhealthy",
        }

    async def _freshen(self) -> None:
        """One refresh at a time, shared by all who wait; a client that leaves does not end it."""
        if self._refresh is None or self._refresh.done():
            stale = [name for name in self._catalog.backends if self._is_stale(name)]
            if not stale:
                return
            self._refresh = asyncio.create_task(self._catalog.refresh(stale))
        await asyncio.wait([self._refresh], timeout=PATIENCE_S)

    def _is_stale(self, name: str) -> bool:
        checked_ns = self._catalog.standing(name).checked_ns
        return not checked_ns or self._clock.monotonic_ns() - checked_ns > FRESH_S * 1e9
