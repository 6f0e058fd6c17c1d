"""Which provider gets a name: every rule, and what is said when none does."""

from collections.abc import Sequence

import msgspec
import pytest

from hoosh.core.call import Wishes
from hoosh.core.errors import BadRequest, NoProvider, UnknownModel
from hoosh.core.routing import Leg
from hoosh.policy.choose import Names, Offer, Wanted, choose
from hoosh.policy.globs import serves

HOME = Offer(provider="ollama", models=("llama3.2:latest", "qwen:7b"), local=True)
CLOUD = Offer(provider="openai", models=("gpt-4.1", "gpt-4.1-mini"), globs=("gpt-*", "o1"))
OPEN = Offer(provider="vllm", models=("meta/llama-8b",), globs=("*",), local=True)
OFFERS = (HOME, CLOUD)


def asked(
    model: str,
    offers: Sequence[Offer] = OFFERS,
    wishes: Wishes = Wishes(),
    aliases: dict[str, str] | None = None,
    default: str = "",
) -> list[str]:
    names = Names(aliases=aliases or {}, default=default)
    found = choose(Wanted(model=model, wishes=wishes), offers, names)
    return [str(one.target) for one in found if not one.shut]


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        ("gpt-4.1", ["openai/gpt-4.1"]),
        ("openai/gpt-4.1", ["openai/gpt-4.1"]),
        ("openai/never-heard-of", ["openai/never-heard-of"]),
        ("openai/org/name", ["openai/org/name"]),
        ("gpt-9-new", ["openai/gpt-9-new"]),
        ("o1", ["openai/o1"]),
        ("llama3.2", ["ollama/llama3.2:latest"]),
        ("llama3.2:latest", ["ollama/llama3.2:latest"]),
        ("qwen:7b", ["ollama/qwen:7b"]),
    ],
)
def test_a_name_finds_its_provider(model: str, targets: list[str]) -> None:
    assert asked(model) == targets


@pytest.mark.parametrize("model", ["qwen", "o1-mini", "xgpt-4", "GPT-4.1", "openai/", "/gpt-4.1", ""])
def test_a_name_that_is_only_near_finds_none(model: str) -> None:
    with pytest.raises(UnknownModel):
        asked(model)


def test_all_who_serve_a_name_are_targets_in_the_order_of_preference() -> None:
    assert asked("gpt-4.1", (OPEN, CLOUD)) == ["vllm/gpt-4.1", "openai/gpt-4.1"]
    assert asked("gpt-4.1", (CLOUD, OPEN)) == ["openai/gpt-4.1", "vllm/gpt-4.1"]


def test_a_slash_in_a_models_own_name_is_no_provider() -> None:
    assert asked("meta/llama-8b", (OPEN,)) == ["vllm/meta/llama-8b"]


def test_a_provider_named_apart_leaves_the_slash_to_the_model() -> None:
    router = Offer(provider="openrouter", globs=("*",))
    assert asked("openai/gpt-4.1", (CLOUD, router), Wishes(provider="openrouter")) == ["openrouter/openai/gpt-4.1"]


def test_who_has_the_model_and_is_shut_out_by_a_wish_says_so() -> None:
    wanted = Wanted(model="gpt-4.1", wishes=Wishes(local_only=True))
    found = {str(one.target): one.shut for one in choose(wanted, (OPEN, CLOUD), Names())}
    assert found == {"vllm/gpt-4.1": "", "openai/gpt-4.1": "the request asks for local providers only"}


def test_the_legs_of_a_route_come_in_their_tiers_and_by_their_own_names() -> None:
    legs = (
        Leg(model="ollama/qwen:7b", tier=1),
        Leg(model="gpt-4.1", weight=3, context_tokens=9000),
        Leg(model="openai/gpt-4.1"),
        Leg(model="nobody-has-it"),
    )
    offers = (msgspec.structs.replace(OPEN, tier=20), HOME, msgspec.structs.replace(CLOUD, tier=10))
    found = choose(Wanted(model="fast"), offers, Names(), legs)
    told = {str(one.target): (one.tier, one.weight, one.context_tokens) for one in found}
    assert told == {
        "openai/gpt-4.1": (0, 3, 9000),  # once, as it was named first
        "vllm/gpt-4.1": (1, 3, 9000),
        "ollama/qwen:7b": (2, 1, 0),
        "vllm/nobody-has-it": (1, 1, 0),
    }


def test_a_target_knows_whether_it_is_local() -> None:
    assert [one.target.local for one in choose(Wanted(model="gpt-4.1"), (OPEN, CLOUD), Names())] == [True, False]


def test_an_alias_stands_for_a_model_or_for_a_provider_and_its_model() -> None:
    aliases = {"fast": "openai/tiny", "home": "qwen:7b", "gpt-4.1": "qwen:7b"}
    assert asked("fast", aliases=aliases) == ["openai/tiny"]
    assert asked("home", aliases=aliases) == ["ollama/qwen:7b"]
    assert asked("gpt-4.1", aliases=aliases) == ["ollama/qwen:7b"]
    assert asked("openai/gpt-4.1", aliases=aliases) == ["openai/gpt-4.1"]


@pytest.mark.parametrize("name", ["llama3", "default"])
def test_a_default_name_means_the_default_model_only_where_nobody_has_it(name: str) -> None:
    assert asked(name, default="qwen:7b") == ["ollama/qwen:7b"]
    owner = Offer(provider="own", models=(name,))
    assert asked(name, (*OFFERS, owner), default="qwen:7b") == [f"own/{name}"]
    assert asked(name, aliases={name: "gpt-4.1"}, default="qwen:7b") == ["openai/gpt-4.1"]
    with pytest.raises(UnknownModel):
        asked(name)


def test_no_other_name_falls_to_the_default() -> None:
    with pytest.raises(UnknownModel):
        asked("llama4", default="qwen:7b")


def test_an_unknown_model_is_told_with_names_that_are_close() -> None:
    with pytest.raises(UnknownModel) as told:
        asked("gtp-4.1", aliases={"quick": "o1"})
    assert told.value.message == ("No provider configured for model 'gtp-4.1'. Did you mean gpt-4.1, gpt-4.1-mini?")
    assert told.value.param == "model"
    with pytest.raises(UnknownModel, match="Did you mean quick"):
        asked("quik", aliases={"quick": "o1"})
    with pytest.raises(UnknownModel, match=r"'zzzzzzzz'\. See /v1/models\."):
        asked("zzzzzzzz")


def test_a_glob_is_never_proposed_as_a_name() -> None:
    with pytest.raises(UnknownModel) as told:
        asked("gpt_*")
    assert "gpt-*" not in told.value.message


def test_a_wished_provider_is_the_only_one() -> None:
    assert asked("gpt-4.1", (OPEN, CLOUD), Wishes(provider="openai")) == ["openai/gpt-4.1"]
    with pytest.raises(UnknownModel, match=r"model 'gpt-4\.1'"):
        asked("gpt-4.1", OFFERS, Wishes(provider="ollama"))
    with pytest.raises(UnknownModel, match=r"'openai/gpt-4\.1'"):
        asked("openai/gpt-4.1", OFFERS, Wishes(provider="ollama"))


def test_a_wished_provider_that_is_none_is_told_as_such() -> None:
    with pytest.raises(UnknownModel, match="No provider named 'opnai'") as told:
        asked("gpt-4.1", wishes=Wishes(provider="opnai"))
    assert told.value.param == "x-hoosh-provider"


def test_local_only_never_leaves() -> None:
    local = Wishes(local_only=True)
    assert asked("gpt-4.1", (CLOUD, OPEN), local) == ["vllm/gpt-4.1"]
    for model in ("gpt-4.1", "openai/gpt-4.1"):
        with pytest.raises(NoProvider, match="No local provider serves"):
            asked(model, OFFERS, local)
    with pytest.raises(NoProvider):
        asked("fast", OFFERS, local, {"fast": "openai/x"})
    with pytest.raises(UnknownModel):
        asked("nobody-has-it", OFFERS, local)


def test_without_globs_everything_is_served() -> None:
    assert serves("anything", ())
    assert serves("a-1", ("b-*", "a-?"))
    assert not serves("A-1", ("a-?",))


def test_only_those_who_can_do_it_are_asked() -> None:
    able = Offer(provider="nomic", models=("embed-1",), operations=frozenset({"embed"}))
    both = Offer(provider="both", models=("embed-1", "gpt-4.1"), operations=frozenset({"chat", "embed"}))

    def targets(model: str, wishes: Wishes = Wishes()) -> list[str]:
        wanted = Wanted(model=model, operation="embed", wishes=wishes)
        found = choose(wanted, (able, CLOUD, both), Names())
        return [str(one.target) for one in found if not one.shut]

    assert targets("embed-1") == ["nomic/embed-1", "both/embed-1"]
    assert targets("gpt-4.1") == ["both/gpt-4.1"]
    assert targets("both/other") == ["both/other"]
    with pytest.raises(BadRequest, match=r"Model 'gpt-4.1-mini' cannot embed: openai has no API for it") as caught:
        targets("gpt-4.1-mini")
    assert caught.value.param == "model"
    with pytest.raises(NoProvider):
        targets("embed-1", Wishes(local_only=True))
