"""/api/tags, /api/show, /api/ps and /api/version."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from hoosh.core.local_model import LocalModel
from hoosh.core.wire import WireRequest
from hoosh.dialects.ollama.encode import when
from hoosh.engine.catalog import Catalog
from hoosh.http.exchange import Exchange
from hoosh.http.listing import ModelList
from hoosh.http.ollama.servers import JSON_TYPE, LIMITS, OWN, Row, Servers, named, refused
from hoosh.http.request import check_json
from hoosh.policy.scopes import check_model, may_use
from hoosh.ports import Clock, Shelf

# The newest Ollama whose API is spoken here: some clients refuse to talk to an older one.
API_VERSION = "0.13.0"
# Ollama's own way to say "as long as it runs" is a date far ahead.
NEVER = "9999-12-31T23:59:59Z"
_encode = msgspec.json.Encoder().encode


class OllamaPages:
    def __init__(self, models: ModelList, catalog: Catalog, servers: Servers, shelf: Shelf, clock: Clock) -> None:
        self._models = models
        self._catalog = catalog
        self._servers = servers
        self._shelf = shelf
        self._started_s = clock.unix_s()

    async def version(self, exchange: Exchange) -> None:
        await exchange.answer({"version": API_VERSION})

    async def tags(self, exchange: Exchange) -> None:
        rows, told, own = await asyncio.gather(
            self._models.rows(exchange.principal), self._servers.rows("/api/tags"), self._own()
        )
        await exchange.answer({"models": [self._row(row, told, own) for row in rows]})

    async def running(self, exchange: Exchange) -> None:
        told, own = await asyncio.gather(self._servers.rows("/api/ps"), self._own())
        rows: Sequence[Row] = [
            {
                **self._own_row(model),
                "expires_at": NEVER,
                "size_vram": 0,
                "context_length": model.context_tokens,
            }
            for model in own.values()
            if model.is_running and may_use(exchange.principal, OWN, model.name)
        ]
        there = [row for (provider, model), row in told.items() if may_use(exchange.principal, provider, model)]
        await exchange.answer({"models": [*rows, *there]})

    async def show(self, exchange: Exchange) -> None:
        """An Ollama server's own page where it has the model; else what is known here, which is less."""
        check_json(exchange.headers)
        wanted = named(await exchange.body(LIMITS)).model
        if served := self._servers.of(wanted):
            backend, model = served
            check_model(exchange.principal, backend.name, model)
            body = _encode({"model": model})
            status, page = await self._servers.ask(backend, WireRequest("/api/show", body, headers=JSON_TYPE))
            if status != 200:
                raise refused(backend, status, page, wanted)
            await exchange.reply(200, page, b"application/json", ())
            return
        row = await self._models.row(wanted, exchange.principal)
        own = (await self._own()).get(wanted)
        await exchange.answer(self._shown(row, own))

    def _shown(self, row: Row, own: LocalModel | None) -> Row:
        provider = str(row["provider"])
        page: Row = {
            "modelfile": f"# served by {provider}\nFROM {row['id']}\n",
            "parameters": "",
            "template": "",
            "license": own.licence if own else "",
            "details": _details(provider, "gguf" if own else ""),
            "model_info": {"general.architecture": provider, "general.basename": row["id"]},
            "capabilities": self._capabilities(provider),
            "modified_at": when(own.modified_s if own else self._started_s),
        }
        if own and own.context_tokens:
            page["model_info"] = {
                "general.architecture": provider,
                "general.basename": own.name,
                f"{provider}.context_length": own.context_tokens,
            }
        return page

    def _capabilities(self, provider: str) -> list[str]:
        """What its provider's API can do; of a single model nobody tells."""
        can = {tongue.dialect.operation for tongue in self._catalog.backends[provider].tongues}
        return (["completion", "tools"] if "chat" in can else []) + (["embedding"] if can == {"embed"} else [])

    def _row(self, row: Row, told: Mapping[tuple[str, str], Row], own: Mapping[str, LocalModel]) -> Row:
        model, provider = str(row["id"]), str(row["provider"])
        if known := told.get((provider, model)):
            return {**known, "name": model, "model": model}
        if model in own:
            return self._own_row(own[model], provider)
        return {
            "name": model,
            "model": model,
            "modified_at": when(self._started_s),
            "size": 0,
            "digest": _named_digest(provider, model),
            "details": _details(provider, ""),
        }

    def _own_row(self, model: LocalModel, provider: str = OWN) -> Row:
        return {
            "name": model.name,
            "model": model.name,
            "modified_at": when(model.modified_s),
            "size": model.size_bytes,
            "digest": model.sha256 or _named_digest(provider, model.name),
            "details": _details(provider, "gguf"),
        }

    async def _own(self) -> dict[str, LocalModel]:
        return {model.name: model for model in await asyncio.to_thread(self._shelf.models)}


def _named_digest(provider: str, model: str) -> str:
    """Where nobody tells one: Ollama's CLI shows the first twelve letters, and this names the model at least."""
    return hashlib.sha256(f"{provider}/{model}".encode()).hexdigest()


def _details(family: str, form: str) -> Row:
    return {
        "parent_model": "",
        "format": form,
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    }
