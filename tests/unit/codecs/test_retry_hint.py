"""When to ask again, from literal headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codecs.retry_hint import retry_after_s, seconds_in

DATE = (b"date", b"Wed, 21 Oct 2026 07:28:00 GMT")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"2")], 2.0),
        ([(b"retry-after", b" 1.5 ")], 1.5),
        ([(b"retry-after", b"2"), (b"retry-after-ms", b"250")], 0.25),
        ([(b"retry-after", b"Wed, 21 Oct 2026 07:28:30 GMT"), DATE], 30.0),
        ([(b"retry-after", b"Wed, 21 Oct 2026 07:27:30 GMT"), DATE], 0.0),
        ([(b"retry-after", b"Wed, 21 Oct 2026 07:28:30 GMT")], None),
        ([(b"retry-after", b"soon"), DATE], None),
        ([(b"retry-after", b"-1")], None),
        ([(b"retry-after", b"inf")], None),
        ([(b"retry-after", b"1e3")], None),
        ([(b"retry-after", b"9" * 400)], None),
        ([(b"retry-after", b"")], None),
        ([(b"retry-after", "²".encode())], None),
        # a limit that is used up
        ([(b"x-ratelimit-reset-requests", b"1m2s"), (b"x-ratelimit-remaining-requests", b"0")], 62.0),
        ([(b"x-ratelimit-reset-requests", b"120ms"), (b"x-ratelimit-remaining-requests", b"0")], 0.12),
        ([(b"x-ratelimit-reset-requests", b"1m2s"), (b"x-ratelimit-remaining-requests", b"7")], None),
        ([(b"x-ratelimit-reset-requests", b"1m2s")], None),
        (
            [
                (b"x-ratelimit-reset-requests", b"1m2s"),
                (b"x-ratelimit-remaining-requests", b"0"),
                (b"x-ratelimit-reset-tokens", b"2m"),
                (b"x-ratelimit-remaining-tokens", b"0"),
                (b"x-ratelimit-reset-images", b"9m"),
                (b"x-ratelimit-remaining-images", b"3"),
            ],
            120.0,
        ),
        (
            [
                (b"anthropic-ratelimit-input-tokens-reset", b"2026-10-21T07:28:09Z"),
                (b"anthropic-ratelimit-input-tokens-remaining", b"0"),
                DATE,
            ],
            9.0,
        ),
        ([(b"retry-after", b"3"), (b"x-ratelimit-reset-x", b"9s"), (b"x-ratelimit-remaining-x", b"0")], 3.0),
        ([], None),
    ],
)
def test_what_the_headers_say(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert retry_after_s(dict(headers)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("34s", 34.0),
        ("34.07s", 34.07),
        ("1m2s", 62.0),
        ("2m59.56s", 179.56),
        ("1h0m0s", 3600.0),
        ("1d", 86400.0),
        ("120ms", 0.12),
        ("7", 7.0),
        ("0", 0.0),
        ("", None),
        ("s", None),
        ("1x", None),
        ("1m2", None),
        ("-1s", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_in(text) == (pytest.approx(seconds) if seconds is not None else None)


@given(
    st.dictionaries(
        st.sampled_from(
            [b"retry-after", b"retry-after-ms", b"date", b"x-ratelimit-reset-a", b"x-ratelimit-remaining-a"]
        ),
        st.binary(max_size=30) | st.from_regex(rb"[0-9a-z:.,TZ +-]{0,30}", fullmatch=True),
    )
)
def test_nonsense_says_nothing(headers: dict[bytes, bytes]) -> None:
    seconds = retry_after_s(headers)
    assert seconds is None or 0 <= seconds < 1e17
