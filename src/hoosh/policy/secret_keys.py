"""The form of a secret key: `hk_<public id>_<32 random bytes><CRC-32>`, all in letters and digits.

The checksum is GitHub's idea for its tokens (github.blog, "Behind GitHub's new authentication token formats", 2021):
a mistyped or cut key is known without a look-up, and a scanner of source code takes no other text for one.
"""

import hashlib
import hmac
import re
import zlib

RANDOM_BYTES = 32
ID_BYTES = 9
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Digits to the base 62 that always hold so many bytes: 62**12 < 2**72 < 62**13, and so on.
_ID_CHARS, _RANDOM_CHARS, _CRC_CHARS = 13, 43, 6
_FORM = re.compile(rf"hk_([0-9A-Za-z]{{{_ID_CHARS}}})_[0-9A-Za-z]{{{_RANDOM_CHARS}}}([0-9A-Za-z]{{{_CRC_CHARS}}})")
PREFIX = "hk_"


def public_id(random: bytes) -> str:
    """A key's name, from ID_BYTES random bytes."""
    return _text(int.from_bytes(random), _ID_CHARS)


def secret_key(identity: str, random: bytes) -> str:
    """From RANDOM_BYTES random bytes."""
    start = f"{PREFIX}{identity}_{_text(int.from_bytes(random), _RANDOM_CHARS)}"
    return start + _crc(start)


def id_of(token: str) -> str:
    """The public id in a token of this form whose checksum is right, else ""."""
    found = _FORM.fullmatch(token)
    return found[1] if found and _crc(token[:-_CRC_CHARS]) == found[2] else ""


def digest(pepper: bytes, token: str) -> str:
    """What is kept of a token: without the pepper, which is not in the store, nobody can even try one against it."""
    return hmac.digest(pepper, token.encode(), "sha256").hex()


def pepper_id(pepper: bytes) -> str:
    """A name for a pepper that tells nothing of it."""
    return hashlib.sha256(b"hoosh pepper\0" + pepper).hexdigest()[:12]


def _crc(text: str) -> str:
    return _text(zlib.crc32(text.encode()), _CRC_CHARS)


def _text(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, at = divmod(number, 62)
        digits = _DIGITS[at] + digits
    return digits
