"""Which targets may serve a model, in order. Pure: the catalogue is an argument."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import msgspec

from hoosh.core.asked import Operation
from hoosh.core.call import Wishes
from hoosh.core.errors import BadRequest, NoProvider, UnknownModel
from hoosh.core.plan import Target
from hoosh.policy.globs import serves

# What clients send when nobody told them a model: all known consumers of this port say llama3.
DEFAULT_NAMES = ("llama3", "default")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What one configured provider says it can do. `models` are exact ids, `globs` names it takes unseen.

    Offers come in order of preference. `up` is False for a provider that is known to be down.
    """

    provider: str
    models: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    operations: frozenset[Operation] = frozenset({"chat"})
    local: bool = False
    up: bool = True


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    operation: Operation = "chat"
    wishes: Wishes = Wishes()


def choose(wanted: Wanted, offers: Sequence[Offer], aliases: Mapping[str, str], default: str) -> tuple[Target, ...]:
    """The targets for `wanted`, providers that are up first.

    In order: "provider/model" by name, an alias, whoever lists the model or takes its name, and for a name of
    DEFAULT_NAMES that nobody has, `default`. Raises UnknownModel (with close names), NoProvider, and BadRequest where
    those that have the model cannot do what is asked.
    """
    allowed = _allowed(wanted, offers)
    name = aliases.get(wanted.model, wanted.model)
    targets = _targets(name, allowed)
    if not targets and wanted.model in DEFAULT_NAMES and default:
        targets = _targets(default, allowed)
    if targets:
        return tuple(targets)
    _explain(wanted, name, offers)
    close = get_close_matches(wanted.model, _names(offers, aliases), n=3, cutoff=0.5)
    hint = f" Did you mean {', '.join(close)}?" if close else " See /v1/models."
    raise UnknownModel(f"No provider configured for model '{wanted.model}'.{hint}", param="model")


def _allowed(wanted: Wanted, offers: Sequence[Offer]) -> list[Offer]:
    wishes = wanted.wishes
    return [
        offer
        for offer in offers
        if wanted.operation in offer.operations
        and (not wishes.provider or offer.provider == wishes.provider)
        and (offer.local or not wishes.local_only)
    ]


def _targets(name: str, offers: Sequence[Offer]) -> list[Target]:
    head, slash, rest = name.partition("/")
    if slash and rest:
        direct = [Target(offer.provider, rest, offer.local) for offer in offers if offer.provider == head]
        if direct:
            return direct
    found = [(offer, model) for offer in offers if (model := _match(name, offer))]
    found.sort(key=lambda pair: not pair[0].up)
    return [Target(offer.provider, model, offer.local) for offer, model in found]


def _match(name: str, offer: Offer) -> str:
    """The provider's own word for `name`. Ollama lists "llama3:latest" and means "llama3"."""
    if name in offer.models:
        return name
    if f"{name}:latest" in offer.models:
        return f"{name}:latest"
    return name if offer.globs and serves(name, offer.globs) else ""


def _explain(wanted: Wanted, name: str, offers: Sequence[Offer]) -> None:
    """Say which wish shut out every provider, where one did."""
    wishes = wanted.wishes
    if wishes.provider and all(offer.provider != wishes.provider for offer in offers):
        raise UnknownModel(f"No provider named '{wishes.provider}' is configured.", param="x-hoosh-provider")
    able = [offer for offer in offers if wanted.operation in offer.operations]
    if (having := _targets(name, offers)) and not _targets(name, able):
        names = ", ".join(dict.fromkeys(target.provider for target in having))
        raise BadRequest(f"Model '{wanted.model}' cannot {wanted.operation}: {names} has no API for it.", param="model")
    if wishes.local_only and _targets(name, able):
        raise NoProvider(f"No local provider serves model '{wanted.model}', and the request asks for local only.")


def _names(offers: Sequence[Offer], aliases: Mapping[str, str]) -> list[str]:
    """Every name that can be said: globs only where they are plain names."""
    plain = [(offer.provider, model) for offer in offers for model in (*offer.models, *offer.globs)]
    plain = [(provider, model) for provider, model in plain if not set(model) & set("*?[")]
    return [*aliases, *(model for _, model in plain), *(f"{provider}/{model}" for provider, model in plain)]
