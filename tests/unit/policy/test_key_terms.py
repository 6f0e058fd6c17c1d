"""Terms of a key, as people write them."""

import pytest

from hoosh.core.errors import BadRequest
from hoosh.core.principal import KeyBudget, KeyLimits
from hoosh.core.stored_key import KeyTerms
from hoosh.policy.key_terms import check_terms, expiry_s, seconds, usd_micros

NOW_S = 1_800_000_000  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("text", "is_s"), [("0", 0), ("30m", 1800), ("24h", 86_400), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_durations(text: str, is_s: int) -> None:
    assert seconds(text, "overlap") == is_s


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5h", "1y", "00d", "99999999d", "1d "])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadRequest, match="overlap: expected a duration"):
        seconds(text, "overlap")


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("30d", NOW_S + 2_592_000),
        ("2027-01-15", 1_800_057_600),  # the day's end
        ("2027-01-15T09:00:00Z", NOW_S + 3600),
        ("2027-01-15T09:00:00", NOW_S + 3600),
        ("2027-01-15T09:00:00+01:00", NOW_S),
    ],
)
def test_moments(text: str, at_s: int) -> None:
    assert expiry_s(text, NOW_S) == at_s


@pytest.mark.parametrize("text", ["", "soon", "2027-13-01", "9999-12-31", "1800000000"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(BadRequest) as told:
        expiry_s(text, NOW_S)
    assert told.value.param == "expires"


def test_money_is_exact() -> None:
    assert [usd_micros(text) for text in ("0.1", "12.50", "0.000001", "1e3")] == [100_000, 12_500_000, 1, 10**9]


@pytest.mark.parametrize("text", ["", "0", "-1", "0.0000001", "nan", "inf", "1e30", "$1"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(BadRequest, match="usd: expected"):
        usd_micros(text)


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("name", KeyTerms("")),
        ("name", KeyTerms("a b")),
        ("name", KeyTerms("a" * 65)),
        ("expires", KeyTerms("a", expires_s=NOW_S)),
        ("models", KeyTerms("a", models=("",))),
        ("routes", KeyTerms("a", routes=("x\ny",))),
        ("agents", KeyTerms("a", agents=("x",) * 257)),
        ("rpm", KeyTerms("a", limits=KeyLimits(rpm=0))),
        ("tpm", KeyTerms("a", limits=KeyLimits(tpm=10**16))),
        ("concurrency", KeyTerms("a", limits=KeyLimits(concurrency=-1))),
        ("capacity_tokens", KeyTerms("a", budget=KeyBudget(capacity_tokens=0))),
        ("capacity_usd_micros", KeyTerms("a", budget=KeyBudget(capacity_usd_micros=0))),
        ("period", KeyTerms("a", budget=KeyBudget(1, period="year"))),
        ("budget", KeyTerms("a", budget=KeyBudget(period="day"))),
    ],
)
def test_a_mistake_names_its_field(field: str, terms: KeyTerms) -> None:
    with pytest.raises(BadRequest) as told:
        check_terms(terms, NOW_S)
    assert told.value.param == field


def test_whole_terms_pass() -> None:
    limits, budget = KeyLimits(1, 2, 3), KeyBudget(5, 6, "month")
    check_terms(KeyTerms("a", agents=("x",), models=("*",), expires_s=NOW_S + 1, limits=limits, budget=budget), NOW_S)
