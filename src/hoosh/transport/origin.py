"""A base URL, taken apart once: where it points (RFC 3986, the part of it that a provider's address needs).

One strict pattern instead of a lenient parser: what it does not know, it refuses. A user, a query or a fragment
has no place in a base URL, and no message here repeats the URL, which may hold a secret in the wrong place.
"""

import ipaddress
import re

import msgspec

from hoosh.core.errors import ConfigError

LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = rf"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>{LABEL}(?:\.{LABEL})*)\.?)(?::(?P<port>[0-9]{{1,5}}))?"
_BASE_URL = re.compile(rf"(?P<scheme>https?)://{HOST}(?P<path>/[!\"$->@-~]*)?", re.IGNORECASE | re.ASCII)
DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(msgspec.Struct, frozen=True):
    """`host` is lower case and without brackets."""

    secure: bool
    host: str
    port: int

    @property
    def hostport(self) -> str:
        """With the port always, as CONNECT wants it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """As the Host header wants it: without the scheme's own port."""
        default = DEFAULT_PORTS["https" if self.secure else "http"]
        return self.hostport.removesuffix(f":{self.port}") if self.port == default else self.hostport


def parse_base_url(url: str) -> tuple[Origin, str]:
    """The origin, and the path without its last slashes ("" for the root). Raises: ConfigError."""
    found = _BASE_URL.fullmatch(url)
    if found is None:
        raise ConfigError("a base URL must read http(s)://host[:port][/path], with no user, query or fragment")
    return parse_origin(found), (found["path"] or "").rstrip("/")


def parse_origin(found: re.Match[str]) -> Origin:
    """From a match of a pattern that holds HOST and a group `scheme`. Raises: ConfigError."""
    scheme = found["scheme"].lower()
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port < 1 << 16:
        raise ConfigError(f"no such port: {port}")
    host = (found["v6"] or found["name"]).lower()
    if found["v6"]:
        try:
            host = ipaddress.IPv6Address(host).compressed
        except ValueError:
            raise ConfigError("no IPv6 address between the brackets") from None
    return Origin(scheme == "https", host, port)
