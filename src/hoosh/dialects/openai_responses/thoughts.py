"""
Thoughts of models that are not OpenAI's, in the one field that every client of this dialect sends back untouched:
`encrypted_content`. What another vendor gave as proof of a thought, or of a tool call, travels in it to the next turn.
"""

import base64
import binascii

import msgspec

from hoosh.core.asked import ReasoningPart

# A provider would refuse it: an item that carries it never leaves for one as it is.
MARK = "hoosh1."
# What the id of such an item begins with: no provider keeps a thought of that name.
ID_MARK = "rs_hoosh_"


class Carried(msgspec.Struct, array_like=True):
    text: str = ""
    signature: str = ""
    redacted: str = ""
    call_id: str = ""  # the tool call that `signature` is the proof of


_carried = msgspec.json.Decoder(Carried)
_encode = msgspec.json.Encoder().encode


def carry(carried: Carried) -> str:
    return MARK + base64.urlsafe_b64encode(_encode(carried)).decode()


def carried_in(encrypted: str) -> Carried | None:
    """None for what is not ours, or not whole."""
    if not encrypted.startswith(MARK):
        return None
    try:
        return _carried.decode(base64.urlsafe_b64decode(encrypted[len(MARK) :]))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None


def part_of(carried: Carried) -> ReasoningPart:
    return ReasoningPart(carried.text, carried.signature, carried.redacted)
