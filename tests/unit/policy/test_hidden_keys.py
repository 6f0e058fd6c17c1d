import re
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from hoosh.core.errors import Refused
from hoosh.policy.hidden_keys import MASK, MIN_CHARS, hide_key
from hoosh.providers.auth import api_key, bearer, x_api_key, x_goog_api_key

KEY = "sk-proj/of+a?provider>~~7fQ2=="
SIGNS = (bearer, x_api_key, api_key, x_goog_api_key)


def told(text: str, key: str = KEY) -> str:
    error = Refused(text)
    hide_key(error, bearer(key))
    assert str(error) == error.message
    return error.message


@pytest.mark.parametrize("sign", SIGNS)
def test_a_key_is_hidden_however_it_is_shown_to_the_provider(sign: type) -> None:
    error = Refused(f"no such key {KEY}, {KEY}!", param=KEY)
    error.code = KEY
    hide_key(error, sign(KEY))
    assert (error.message, error.param, error.code) == (f"no such key {MASK}, {MASK}!", MASK, MASK)


SMALL = re.sub("%[0-9A-F]{2}", lambda escape: escape[0].lower(), quote(KEY, safe=""))


@pytest.mark.parametrize("said", [KEY, quote(KEY), quote(KEY, safe=""), SMALL])
def test_a_key_in_a_url_is_hidden(said: str) -> None:
    assert told(f"GET /v1?key={said} failed") == f"GET /v1?key={MASK} failed"


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "B", "Bearer ", "user:"])
@pytest.mark.parametrize("after", ["", "x", ":password"])
def test_a_key_in_base64_is_hidden_wherever_it_begins(encode: type, before: str, after: str) -> None:
    said = encode(f"{before}{KEY}{after}".encode()).decode()
    left = told(f"header was {said}")
    assert MASK in left
    kept = left.removeprefix("header was ").replace(MASK, "")
    assert len(kept) <= len(said) - len(KEY) * 4 // 3 + 3


@pytest.mark.parametrize("size", range(MIN_CHARS, len(KEY)))
def test_what_is_left_of_a_key_where_the_text_was_cut_is_hidden(size: int) -> None:
    assert told("no such key " + KEY[:size]) == f"no such key {MASK}"


def test_a_short_key_tears_no_holes() -> None:
    assert told("ollama knows no such model", "ollama") == "ollama knows no such model"


def test_without_a_key_nothing_changes() -> None:
    error = Refused(f"a {KEY}")
    hide_key(error, ())
    assert error.message == f"a {KEY}"
