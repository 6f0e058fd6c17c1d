"""Of a field that is there twice in a body, one reader takes the first and another the last."""

import re
from collections.abc import Mapping

import msgspec

from hoosh.core.errors import BadRequest

_FIELD = re.compile(rb'[ \t\r\n]*+[{,][ \t\r\n]*+"([^"\\]*+)"[ \t\r\n]*+:[ \t\r\n]*+')
_END = re.compile(rb"[ \t\r\n]*+}[ \t\r\n]*+")


def check_once(body: bytes, fields: Mapping[str, msgspec.Raw]) -> None:
    """`fields` is what was read of `body`: of a field that is there twice the last. A provider may read the first, and
    so another model or another limit than was looked at here. Raises BadRequest.
    """
    if len(body) == 1 + sum([4 + len(name) + memoryview(value).nbytes for name, value in fields.items()]):
        return  # no byte is left for another field
    at = 0
    for name, value in fields.items():
        found = _FIELD.match(body, at)
        text = bytes(value)
        if found is None or found[1] != name.encode() or not body.startswith(text, found.end()):
            raise BadRequest(f"{name[:64]}: a field is there twice, or its name is escaped", param=name[:64])
        at = found.end() + len(text)
    if fields and _END.fullmatch(body, at) is None:
        raise BadRequest("a field is there twice, or its name is escaped", param="body")
