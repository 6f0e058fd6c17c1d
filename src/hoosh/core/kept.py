"""A response that the gateway keeps for its client to come back to."""

import msgspec


class KeptResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`response` is the JSON text of the response object, `context` that of the array of all items that led to it:
    each is whole in itself, so that no other need be kept for its sake. `running` while its call has not ended.
    """

    id: str
    owner: str
    created_s: int
    response: bytes
    context: bytes
    running: bool = False

    @property
    def size_bytes(self) -> int:
        return len(self.response) + len(self.context)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept: no longer than `age_s`, no more than `entries` in number and `size_bytes` in all."""

    age_s: int
    entries: int
    size_bytes: int
