"""What a person writes in dollars is exact in millionths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.core.money import micros_of_usd


@pytest.mark.parametrize(
    ("usd", "micros"),
    [(0.0, 0), (0.15, 150_000), (0.000001, 1), (2.5, 2_500_000), (600, 6 * 10**8)],
)
def test_dollars_become_exact_millionths(usd: float, micros: int) -> None:
    assert micros_of_usd(usd) == micros


@given(st.integers(0, 10**11))
def test_what_a_person_writes_with_six_digits_is_exact(micros: int) -> None:
    assert micros_of_usd(float(f"{micros // 1_000_000}.{micros % 1_000_000:06}")) == micros


@pytest.mark.parametrize(
    ("usd", "fault"),
    [
        (-0.1, "not below 0"),
        (float("nan"), "not an amount"),
        (float("inf"), "not an amount"),
        (0.0000001, "finer than a millionth"),
        (0.1 + 0.2, "finer than a millionth"),
    ],
)
def test_what_is_no_price_is_refused(usd: float, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        micros_of_usd(usd)
