"""Other vendors' proofs of thoughts in Gemini's one field for them, `thoughtSignature`.

Google's SDKs hold that field as bytes: they refuse what is not base64, and write it back in the other of base64's two
alphabets. A vendor that wants its own proof back to the letter gets it because it travels wrapped: base64 of a mark and
the proof. Google's own proofs stay as they are.
"""

import base64
import binascii

_SIGNED = b"hoosh/s:"
_REDACTED = b"hoosh/r:"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def wrapped(signature: str, redacted: str) -> str:
    """One of the two, "" for neither."""
    if redacted:
        return base64.b64encode(_REDACTED + redacted.encode()).decode()
    return base64.b64encode(_SIGNED + signature.encode()).decode() if signature else ""


def unwrapped(said: str) -> tuple[str, str]:
    """(signature, redacted); what was not wrapped is a signature."""
    try:
        data = base64.b64decode(said.encode().translate(_TO_STANDARD) + b"==", validate=False)
        if data.startswith(_SIGNED):
            return data.removeprefix(_SIGNED).decode(), ""
        if data.startswith(_REDACTED):
            return "", data.removeprefix(_REDACTED).decode()
    except (binascii.Error, ValueError):
        return said, ""
    return said, ""
