"""Proxies by the customary environment variables: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.

There is no standard. The rules are those that most programs share: the lower-case name goes first; an entry of
NO_PROXY covers a name and all below it, with or without a leading dot; an entry with a port covers that port;
"*" covers all. This machine itself is never reached by a proxy.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from hoosh.core.errors import ConfigError
from hoosh.transport.origin import HOST, Origin, parse_origin

_PROXY_URL = re.compile(rf"(?:(?P<scheme>https?)://)?(?:(?P<user>[^@/?#\s]*)@)?{HOST}/?", re.IGNORECASE | re.ASCII)


class Proxy(msgspec.Struct, frozen=True):
    """`authorization` is the value of Proxy-Authorization, b"" for none."""

    origin: Origin
    authorization: bytes = b""

    def __repr__(self) -> str:
        return f"Proxy({self.origin.authority})"


class Proxies(msgspec.Struct, frozen=True):
    """By the target's scheme; `exempt` holds the entries of NO_PROXY."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def find(self, origin: Origin) -> Proxy | None:
        proxy = self.https if origin.secure else self.http
        if proxy is None or _is_loopback(origin.host) or any(_covers(entry, origin) for entry in self.exempt):
            return None
        return proxy


def proxies_from(environ: Mapping[str, str]) -> Proxies:
    """Raises: ConfigError (names the variable, never its value)."""

    def value(name: str) -> str:
        return (environ.get(name.lower()) or environ.get(name) or "").strip()

    def proxy(name: str) -> Proxy | None:
        for variable in (name, "ALL_PROXY"):
            if url := value(variable):
                return _parse_proxy(variable, url)
        return None

    exempt = tuple(value("NO_PROXY").lower().replace(",", " ").split())
    return Proxies(proxy("HTTP_PROXY"), proxy("HTTPS_PROXY"), exempt)


def _parse_proxy(variable: str, url: str) -> Proxy:
    found = _PROXY_URL.fullmatch(url if "://" in url else f"http://{url}")
    if found is None:
        raise ConfigError(f"{variable} must read http(s)://[user:password@]host[:port]; SOCKS is not supported")
    user = found["user"]
    authorization = b"Basic " + base64.b64encode(unquote_to_bytes(user)) if user else b""
    return Proxy(parse_origin(found), authorization)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _covers(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    name, port = entry, ""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        port = port.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, port = entry.partition(":")
    if port and port != str(origin.port):
        return False
    name = name.removeprefix("*").strip(".")
    if name == origin.host:
        return True
    is_address = origin.host.rpartition(".")[2].isdigit()
    return bool(name) and not is_address and origin.host.endswith("." + name)
