"""The form of a key, from given bytes."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.policy.secret_keys import ID_BYTES, RANDOM_BYTES, digest, id_of, pepper_id, public_id, secret_key

IDENTITY = public_id(b"\x01" * ID_BYTES)
TOKEN = secret_key(IDENTITY, b"\x02" * RANDOM_BYTES)


def test_its_form_never_changes() -> None:
    """Scanners of source code look for it, and keys are in the world."""
    assert (IDENTITY, TOKEN) == (
        "00M41bLKJJnxR",
        "hk_00M41bLKJJnxR_0TWD4V5tkyUQGc5qXvlBDd2Fj97aqsMoBGJJjsttG4I2T8eXF",
    )


@given(st.binary(min_size=ID_BYTES, max_size=ID_BYTES), st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))
def test_every_key_has_the_form_and_tells_its_id(name: bytes, random: bytes) -> None:
    token = secret_key(public_id(name), random)
    assert re.fullmatch(r"hk_[0-9A-Za-z]{13}_[0-9A-Za-z]{49}", token)
    assert id_of(token) == public_id(name)


def test_all_bits_count() -> None:
    last = b"\xff" * RANDOM_BYTES
    tokens = {secret_key(IDENTITY, bytes(n)) for n in ((0,) * 31 + (1,), (0,) * 32, (1,) + (0,) * 31)}
    assert len({*tokens, secret_key(IDENTITY, last)}) == 4
    assert id_of(secret_key(IDENTITY, last)) == IDENTITY


def test_no_single_slip_passes() -> None:
    for at in range(len(TOKEN)):
        for letter in string.ascii_letters + string.digits + "_":
            if letter != TOKEN[at]:
                assert id_of(TOKEN[:at] + letter + TOKEN[at + 1 :]) == ""


@pytest.mark.parametrize(
    "text", ["", "hk_", TOKEN[:-1], TOKEN + "a", TOKEN + "\n", " " + TOKEN, TOKEN.lower(), "é" * 65]
)
def test_what_is_near_is_none(text: str) -> None:
    assert id_of(text) == ""


def test_a_digest_depends_on_every_letter_and_on_the_pepper() -> None:
    made = digest(b"p" * 32, TOKEN)
    assert re.fullmatch("[0-9a-f]{64}", made)
    assert made == digest(b"p" * 32, TOKEN)
    assert len({made, digest(b"q" * 32, TOKEN), digest(b"p" * 32, TOKEN[:-1])}) == 3
    assert pepper_id(b"p" * 32) != pepper_id(b"q" * 32)
