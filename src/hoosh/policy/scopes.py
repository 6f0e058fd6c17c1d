"""What a key may do. Who has a list may do what is on it and nothing else."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from hoosh.core.errors import Forbidden
from hoosh.core.principal import Principal

# Fields of a body, outside the canon, that would let a provider answer with another model: OpenRouter's (openrouter.ai,
# "Model Routing", 2026-10).
_OTHER_MODELS = frozenset({"models", "route", "preset"})


def check_route(principal: Principal, name: str, path: str) -> None:
    """`name` and `path` are the matched route's own, never the request's. Raises Forbidden."""
    routes = principal.routes
    if not routes or name in routes:
        return
    if not any(glob.startswith("/") and fnmatchcase(path, glob) for glob in routes):
        raise Forbidden(f"key '{principal.key_id}' may not use this endpoint; its routes are {', '.join(routes)}")


def check_pool(principal: Principal, pool: str) -> None:
    """Raises Forbidden."""
    if pool in ("", principal.pool) or any(fnmatchcase(pool, glob) for glob in principal.pools):
        return
    raise Forbidden(f"key '{principal.key_id}' may not charge pool '{pool}'", param="pool")


def agent_of(principal: Principal, said: str) -> str:
    """The name that the caller goes by: what it says, if the key may, else the only one that the key has.

    Raises Forbidden.
    """
    if not principal.agents or said in principal.agents:
        return said
    if not said:
        return principal.agents[0] if len(principal.agents) == 1 else ""
    raise Forbidden(f"key '{principal.key_id}' may not go by agent '{said}'", param="x-agent-id")


def may_use(principal: Principal, provider: str, model: str) -> bool:
    """Whether a list of models has this one, as `model` or as `provider/model`."""
    names = (model, f"{provider}/{model}")
    return not principal.models or any(fnmatchcase(name, glob) for glob in principal.models for name in names)


def check_model(principal: Principal, provider: str, model: str) -> None:
    """Raises Forbidden."""
    if not may_use(principal, provider, model):
        raise not_this_model(principal, model)


def check_extra(principal: Principal, names: Iterable[str]) -> None:
    """A key that is held to models may not let the provider choose another one. Raises Forbidden."""
    if principal.models and (found := _OTHER_MODELS.intersection(names)):
        name = min(found)
        raise Forbidden(f"{name}: key '{principal.key_id}' is held to certain models", param=name)


def not_this_model(principal: Principal, model: str) -> Forbidden:
    return Forbidden(
        f"key '{principal.key_id}' may not use model '{model}'; its models are {', '.join(principal.models)}",
        param="model",
    )
