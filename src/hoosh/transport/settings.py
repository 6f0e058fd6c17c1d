"""What a transport is told at start. Nothing here changes while it runs."""

import msgspec

from hoosh.transport.proxy import Proxies


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`ca_file`: PEM roots trusted besides the system's, "" for none.

    `max_reply_bytes` ends an endless reply. Back-pressure already bounds the memory, and an hour at a thousand
    tokens a second is about 0.9 GB of events, so a good reply stays below 1 GiB. `max_header_bytes` bounds a
    reply's head, and loosely (by twice that much) any other run of bytes without content, such as trailers.
    """

    proxies: Proxies = Proxies()
    ca_file: str = ""
    user_agent: str = "hoosh"
    max_reply_bytes: int = 1 << 30
    max_header_bytes: int = 64 << 10
    idle_keepalive_s: float = 60.0
    max_idle_per_origin: int = 64
