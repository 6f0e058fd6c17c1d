"""A request that never became a call: whoever asked was told an error at the door."""

import msgspec


class TurnedAway(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is ours, `request_id` what the client was told. `route` is the matched route's name, "" where none was;
    `key` is whose key it was, "" where that was not known yet.
    """

    id: str
    request_id: str
    route: str
    status: int
    code: str
    key: str = ""
