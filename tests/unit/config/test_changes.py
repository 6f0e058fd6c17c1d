"""What is told of the difference between two configurations."""

from pathlib import Path

from hoosh.config.changes import FIXED, changes
from hoosh.config.load import load_text
from hoosh.config.schema import Config

TYPES = ("openai", "groq")


def config(text: str) -> Config:
    return load_text(text, Path("hoosh.toml"), {}, TYPES)


PROVIDER = "[[providers]]\ntype = 'openai'\nname = 'work'\napi_key = 'sk-very-secret'\n"


def test_nothing_is_told_where_nothing_is_different() -> None:
    found = changes(config(PROVIDER), config(PROVIDER))
    assert (found.told, found.fixed, found.lines()) == ((), (), [])


def test_things_with_names_are_told_by_them_and_in_depth() -> None:
    other = "[[providers]]\ntype = 'groq'\n" + PROVIDER + "priority = 5\nmodels = ['a']\n[aliases]\nx = 'y'\n"
    found = changes(config(PROVIDER), config(other))
    assert set(found.told) == {
        "providers.groq: added",
        "providers.work.priority: 10 -> 5",
        "providers.work.models: [] -> [a]",
        "aliases.x: added",
    }
    back = changes(config(other), config(PROVIDER))
    assert {"providers.groq: removed", "aliases.x: removed"} <= set(back.told)


def test_a_secret_is_told_to_have_changed_and_not_how() -> None:
    other = PROVIDER.replace("sk-very-secret", "sk-another")
    found = changes(config(PROVIDER), config(other))
    assert found.told == ("providers.work.api_key: (secret) -> (secret)",)
    more = PROVIDER + "api_keys = ['sk-third']\n"
    assert changes(config(PROVIDER), config(more)).told == ("providers.work.api_keys: [] -> [(secret)]",)


def test_the_order_of_names_counts_and_is_told() -> None:
    two = "[[providers]]\ntype = 'groq'\n"
    assert changes(config(PROVIDER + two), config(two + PROVIDER)).told == ("providers: in another order",)


def test_what_a_gateway_is_made_of_stays_and_is_told_apart() -> None:
    found = changes(config(""), config("[server]\nport = 1\n[retry]\ntries = 3\n"))
    assert found.fixed == ("server.port: 8088 -> 1",)
    assert found.told == ("retry.tries: 2 -> 3",)
    assert found.config.server.port == 8088
    assert found.config.retry.tries == 3
    assert found.lines()[-1].endswith("(needs a restart)")


def test_every_section_is_either_taken_or_fixed() -> None:
    taken = {
        *("keys", "providers", "aliases", "routing", "routes", "health", "retry"),
        *("budgets", "pricing", "prices", "limits", "cache", "overload"),
    }
    assert taken | set(FIXED) == set(Config.__struct_fields__)
    assert not taken & set(FIXED)
