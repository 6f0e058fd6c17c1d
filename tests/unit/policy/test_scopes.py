"""What a key may do, decided without a gateway."""

import pytest

from hoosh.core.errors import Forbidden
from hoosh.core.plan import Target
from hoosh.core.principal import ANONYMOUS, NOBODY, Principal
from hoosh.core.routing import WELL, Candidate, Chance, Route, Vital
from hoosh.policy.decide import Ask, decide, refusal
from hoosh.policy.scopes import agent_of, check_extra, check_model, check_pool, check_route, may_use

FREE = Principal("k")
TARGETS = (Target("openai", "gpt-4o"), Target("azure", "gpt-4o"), Target("groq", "llama"))


class Well:
    """core.routing.Live."""

    def vital(self, target: Target) -> Vital:
        return WELL

    def price_micros(self, target: Target) -> int | None:
        return None


def within(principal: Principal, asked: str) -> tuple[Target, ...]:
    """Where a call may go. Raises HooshError."""
    ask = Ask(model=asked, principal=principal)
    decision = decide(Route(), [Candidate(target=target) for target in TARGETS], ask, Well(), Chance())
    if not decision.plan.targets:
        raise refusal(ask, decision)
    return decision.plan.targets


def key(**terms: object) -> Principal:
    return Principal("k", **terms)  # type: ignore[arg-type]


def test_who_has_no_list_may_use_all_models_and_routes() -> None:
    for principal in (FREE, ANONYMOUS):
        assert within(principal, "gpt-4o") == TARGETS
        check_route(principal, "chat", "/v1/chat/completions")
        check_extra(principal, ["models"])


def test_a_plan_keeps_the_targets_on_the_list_by_either_name() -> None:
    assert within(key(models=("gpt-*",)), "x") == TARGETS[:2]
    assert within(key(models=("azure/*",)), "x") == TARGETS[1:2]
    assert within(key(models=("azure/gpt-4o", "llama")), "x") == TARGETS[1:]


def test_an_alias_opens_nothing_even_if_it_is_on_the_list() -> None:
    with pytest.raises(Forbidden, match="may not use model 'cheap'") as told:
        within(key(models=("cheap",)), "cheap")
    assert told.value.param == "model"


@pytest.mark.parametrize("glob", ["GPT-4o", "gpt", "*/llama2", "openai/gpt-4"])
def test_globs_match_whole_names_and_their_case(glob: str) -> None:
    assert not may_use(key(models=(glob,)), "openai", "gpt-4o")
    with pytest.raises(Forbidden):
        check_model(key(models=(glob,)), "openai", "gpt-4o")


def test_a_body_may_not_name_other_models_beside_the_one_that_was_checked() -> None:
    with pytest.raises(Forbidden, match=r"^models:"):
        check_extra(key(models=("gpt-*",)), ["seed", "models"])
    check_extra(key(models=("gpt-*",)), ["seed"])


def test_a_route_is_named_or_its_path_is() -> None:
    for routes in (("chat",), ("/v1/chat/*",), ("models", "/v1/*")):
        check_route(key(routes=routes), "chat", "/v1/chat/completions")
    for routes in (("models",), ("/v1/chat",), ("ch*",), ("",)):
        with pytest.raises(Forbidden):
            check_route(key(routes=routes), "chat", "/v1/chat/completions")


def test_pools_are_its_own_and_those_on_the_list() -> None:
    for pool in ("", "default", "team-a"):
        check_pool(key(pools=("team-*",)), pool)
    check_pool(ANONYMOUS, "any")
    for principal in (FREE, key(pools=("team-*",))):
        with pytest.raises(Forbidden) as told:
            check_pool(principal, "other")
        assert told.value.param == "pool"


def test_agents() -> None:
    assert agent_of(FREE, "x") == "x"
    assert agent_of(key(agents=("a",)), "") == "a"
    assert agent_of(key(agents=("a", "b")), "") == ""
    assert agent_of(key(agents=("a", "b")), "b") == "b"
    with pytest.raises(Forbidden):
        agent_of(key(agents=("a", "b")), "c")


def test_nobody_may_do_nothing() -> None:
    with pytest.raises(Forbidden):
        within(NOBODY, "gpt-4o")
    with pytest.raises(Forbidden):
        check_route(NOBODY, "chat", "/v1/chat/completions")
    with pytest.raises(Forbidden):
        check_pool(NOBODY, "default")
