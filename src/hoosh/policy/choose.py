"""Which targets may serve a model, in order. Pure: the catalogue is an argument."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

import msgspec

from hoosh.core.asked import Operation
from hoosh.core.call import Wishes
from hoosh.core.errors import BadRequest, HooshError, NoProvider, UnknownModel
from hoosh.core.plan import Target
from hoosh.core.routing import Candidate, Leg
from hoosh.policy.globs import serves

# What clients send when nobody told them a model: all known consumers of this port say llama3.
DEFAULT_NAMES = ("llama3", "default")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What one configured provider says it can do. `models` are exact ids, `globs` names it takes unseen. Offers come
    in order of preference; of the same `tier` they are as good as each other. `keys` is how many keys it has for us.
    """

    provider: str
    models: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    operations: frozenset[Operation] = frozenset({"chat"})
    local: bool = False
    tier: int = 0
    keys: int = 1


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    operation: Operation = "chat"
    wishes: Wishes = Wishes()


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What names mean besides what providers list. `default` answers to DEFAULT_NAMES that nobody has."""

    aliases: Mapping[str, str] = MappingProxyType({})
    default: str = ""
    routes: tuple[str, ...] = ()


def choose(wanted: Wanted, offers: Sequence[Offer], names: Names, legs: Sequence[Leg] = ()) -> tuple[Candidate, ...]:
    """Who could serve `wanted`: with `legs` each by its own name for the model.

    In order: "provider/model" by name, an alias, whoever lists the model or takes its name, and the default. Who has
    the model but is shut out by what was asked says so in `shut`. Raises UnknownModel (with close names), NoProvider,
    and BadRequest where nobody is left.
    """
    found: dict[Target, tuple[tuple[int, int], Candidate]] = {}
    for leg in legs or (Leg(),):
        for tier, candidate in _of_leg(leg, wanted, offers, names):
            found.setdefault(candidate.target, (tier, candidate))
    if all(candidate.shut for _, candidate in found.values()):
        raise _refusal(wanted, offers, names, legs)
    tiers = sorted({tier for tier, _ in found.values()})
    return tuple(msgspec.structs.replace(candidate, tier=tiers.index(tier)) for tier, candidate in found.values())


def _of_leg(
    leg: Leg, wanted: Wanted, offers: Sequence[Offer], names: Names
) -> Iterator[tuple[tuple[int, int], Candidate]]:
    said = leg.model or wanted.model
    name = names.aliases.get(said, said)
    # Who names the provider apart may mean a model that has a slash in its own name.
    matches = _matches(name, [offer for offer in offers if offer.provider == wanted.wishes.provider])
    matches = matches or _matches(name, offers)
    if names.default and said in DEFAULT_NAMES and all(_shut(wanted, offer) for offer, _, _ in matches):
        matches = _matches(names.default, offers)
    for offer, model, by_name in matches:
        candidate = Candidate(
            target=Target(offer.provider, model, offer.local),
            weight=leg.weight,
            keys=offer.keys,
            context_tokens=leg.context_tokens,
            shut=_shut(wanted, offer),
        )
        yield (leg.tier, 0 if by_name else offer.tier), candidate


def _shut(wanted: Wanted, offer: Offer) -> str:
    wishes = wanted.wishes
    if wanted.operation not in offer.operations:
        return f"it cannot {wanted.operation}"
    if wishes.provider and offer.provider != wishes.provider:
        return f"the request asks for provider '{wishes.provider}'"
    if wishes.local_only and not offer.local:
        return "the request asks for local providers only"
    return ""


def is_direct(name: str, offers: Sequence[Offer]) -> bool:
    """Does it name a provider? Then no route has a say."""
    head, slash, rest = name.partition("/")
    return bool(slash and rest) and any(offer.provider == head for offer in offers)


def _matches(name: str, offers: Sequence[Offer]) -> list[tuple[Offer, str, bool]]:
    """With the provider's own word for the model, and whether the provider was named."""
    head, slash, rest = name.partition("/")
    if slash and rest:
        direct = [(offer, rest, True) for offer in offers if offer.provider == head]
        if direct:
            return direct
    return [(offer, model, False) for offer in offers if (model := _match(name, offer))]


def _match(name: str, offer: Offer) -> str:
    """The provider's own word for `name`. Ollama lists "llama3:latest" and means "llama3"."""
    if name in offer.models:
        return name
    if f"{name}:latest" in offer.models:
        return f"{name}:latest"
    return name if offer.globs and serves(name, offer.globs) else ""


def _refusal(wanted: Wanted, offers: Sequence[Offer], names: Names, legs: Sequence[Leg]) -> HooshError:
    """Which wish shut out every provider, where one did."""
    wishes = wanted.wishes
    if wishes.provider and all(offer.provider != wishes.provider for offer in offers):
        return UnknownModel(f"No provider named '{wishes.provider}' is configured.", param="x-hoosh-provider")
    said = [leg.model or wanted.model for leg in legs] or [wanted.model]
    having = [offer for name in said for offer, _, _ in _matches(names.aliases.get(name, name), offers)]
    if having and all(wanted.operation not in offer.operations for offer in having):
        whose = ", ".join(dict.fromkeys(offer.provider for offer in having))
        message = f"Model '{wanted.model}' cannot {wanted.operation}: {whose} has no API for it."
        return BadRequest(message, param="model")
    if having and wishes.local_only:
        return NoProvider(f"No local provider serves model '{wanted.model}', and the request asks for local only.")
    close = get_close_matches(wanted.model, _names(offers, names), n=3, cutoff=0.5)
    hint = f" Did you mean {', '.join(close)}?" if close else " See /v1/models."
    return UnknownModel(f"No provider configured for model '{wanted.model}'.{hint}", param="model")


def _names(offers: Sequence[Offer], names: Names) -> list[str]:
    """Every name that can be said: globs only where they are plain names."""
    plain = [(offer.provider, model) for offer in offers for model in (*offer.models, *offer.globs)]
    plain = [(provider, model) for provider, model in plain if not set(model) & set("*?[")]
    said = [name for name in names.routes if not set(name) & set("*?[")]
    return [*said, *names.aliases, *(model for _, model in plain), *(f"{who}/{model}" for who, model in plain)]
