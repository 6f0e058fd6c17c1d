import datetime as dt

import pytest

from hoosh.config.problem import Place, Problem, kind_of, label, problem_at, quoted, unknown


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((), ""),
        (("server",), "server"),
        (("providers", 0, "type"), "providers[0].type"),
        (("aliases", "gpt 4"), 'aliases."gpt 4"'),
        (("aliases", "a.b"), 'aliases."a.b"'),
        (("", 3), '""[3]'),
    ],
)
def test_label(place: Place, text: str) -> None:
    assert label(place) == text


def test_a_problem_says_its_place() -> None:
    assert problem_at(("server", "port"), "too high") == Problem(("server", "port"), "server.port: too high")


@pytest.mark.parametrize(
    ("text", "written"),
    [("a", '"a"'), ('a"b', '"a\\"b"'), ("a\nb", '"a\\nb"'), ("é", '"é"'), ("\u2028", '"\\u2028"')],
)
def test_quoted_is_one_line(text: str, written: str) -> None:
    assert quoted(text) == written


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("", "string"),
        (True, "boolean"),
        (1, "integer"),
        (1.0, "number"),
        ([], "array"),
        ({}, "table"),
        (dt.date(2026, 1, 1), "date"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "datetime"),
        (dt.time(1), "time"),
    ],
)
def test_kind_of(written: object, kind: str) -> None:
    assert kind_of(written) == kind


def test_unknown_names_the_nearest() -> None:
    assert unknown("key", "prot", ["bind", "port"]) == 'unknown key "prot", did you mean "port"?'
    assert unknown("provider", "OpenAI", {"openai", "ollama"}) == 'unknown provider "OpenAI", did you mean "openai"?'


def test_unknown_lists_all_when_none_is_near() -> None:
    assert unknown("provider", "zzz", {"openai", "ollama"}) == 'unknown provider "zzz"; known: ollama, openai'
