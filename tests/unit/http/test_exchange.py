"""What a refused client is told in headers."""

import pytest

from hoosh.core.errors import BudgetExceeded, HooshError, OutOfCredit, Throttled, Unauthorized
from hoosh.http.exchange import error_headers


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Throttled("slow down"), []),
        (Throttled("slow down", retry_after_s=0.2), [(b"retry-after", b"1")]),
        (Throttled("slow down", retry_after_s=61.5), [(b"retry-after", b"62")]),
        (Unauthorized("who?"), [(b"www-authenticate", b"Bearer")]),
        (BudgetExceeded("spent"), []),
        # SDKs would ask again after any other 429.
        (OutOfCredit("pay", upstream_status=429), [(b"x-should-retry", b"false")]),
        (OutOfCredit("pay", upstream_status=402), [(b"x-should-retry", b"false")]),
    ],
)
def test_headers_of_an_error(error: HooshError, headers: list[tuple[bytes, bytes]]) -> None:
    assert error_headers(error) == headers
