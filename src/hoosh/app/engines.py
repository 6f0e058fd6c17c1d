"""The engines of our own: which the configuration wants, with what is stored to run them."""

from collections.abc import Mapping
from contextlib import suppress

from hoosh.config.schema import Config
from hoosh.core.errors import ConfigError, HooshError
from hoosh.local.embedded import LocalEngine, has_engine
from hoosh.local.known import known
from hoosh.local.store import ModelStore
from hoosh.local.supervisor import EngineSettings, Supervisor
from hoosh.ports import Transport


def supervisors(config: Config, store: ModelStore, transport: Transport) -> Mapping[str, Supervisor]:
    """Whoever keeps these is the only one on this machine to run them for its gateway. Raises ConfigError."""
    wanted = (chat_engine(config, store), embedding_engine(config, store))
    return {settings.alias: Supervisor(settings, transport) for settings in wanted if settings is not None}


def stored_name(model: str) -> str:
    """What the store calls it, where the configuration names it otherwise."""
    row = known(model)
    return row.name if row else model


def chat_engine(config: Config, store: ModelStore) -> EngineSettings | None:
    """The embedded model to chat with, where it is wanted, its engine installed, and its weights here."""
    embedded = config.embedded
    if not embedded.enabled or not has_engine():
        return None
    model = None if embedded.model_path else known(embedded.model)
    if model and model.purpose != "chat":
        raise ConfigError(f"embedded.model: {model.name} is for embeddings")
    stored = store.find(embedded.model)
    path = embedded.model_path or (stored.path if stored else None)
    if path is None:
        return None
    if not path.is_file():
        raise ConfigError(f"embedded.model_path: there is no file {path}")
    return EngineSettings(
        model_path=path,
        alias=embedded.model,
        context_tokens=embedded.context_tokens,
        parallel=embedded.parallel,
        threads=embedded.threads,
        chat_template=model.chat_template if model else "",
        temperature=model.temperature if model else None,
    )


def embedding_engine(config: Config, store: ModelStore) -> EngineSettings | None:
    """The same for the model that makes vectors."""
    embedded = config.embedded
    model, stored = known(embedded.embedding_model), store.find(embedded.embedding_model)
    if not embedded.enabled or not has_engine() or model is None or stored is None:
        return None
    if model.purpose != "embed":
        raise ConfigError(f"embedded.embedding_model: {model.name} makes no embeddings")
    return EngineSettings(
        model_path=stored.path,
        alias=embedded.embedding_model,
        context_tokens=model.context_tokens or embedded.context_tokens,
        parallel=embedded.parallel,
        threads=embedded.threads,
        purpose="embed",
    )


async def preload(engine: LocalEngine) -> None:
    with suppress(HooshError):  # the next request says why
        await engine.base_url()
