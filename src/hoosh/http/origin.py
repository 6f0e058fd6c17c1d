"""Browsers of this machine reach every loopback port, and any web page can make them try.

A page whose name's address was changed to 127.0.0.1 (DNS rebinding) still says that name as Host; a page of elsewhere
says so as Origin. Both are refused: at the listener of administration before a key is looked at, elsewhere where no
key is needed, for a page has none.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from hoosh.core.errors import Forbidden

_USUAL = frozenset((b"127.0.0.1", b"localhost"))


def check_origin(headers: Mapping[bytes, bytes], hosts: frozenset[str]) -> None:
    """Raises Forbidden."""
    host = _name(f"//{headers.get(b'host', b'').decode('latin-1')}")
    if not _is_ours(host, hosts):
        raise Forbidden("this server does not go by the name that the request's Host says; see admin.host")
    origin = headers.get(b"origin")
    if origin is not None and not _is_ours(_name(origin.decode("latin-1")), hosts):
        raise Forbidden("pages of another origin may not ask here")


def check_page(headers: Mapping[bytes, bytes], hosts: frozenset[str]) -> None:
    """For a request that needs no key. Raises Forbidden."""
    host = headers.get(b"host", b"localhost")  # HTTP/1.0 may do without one; no browser does
    if host.partition(b":")[0] not in _USUAL and not _is_near(_name(f"//{host.decode('latin-1')}"), hosts):
        raise Forbidden("this server does not go by the name that the request's Host says; see server.host")
    origin = headers.get(b"origin")
    if origin is not None and not _is_trusted(origin.decode("latin-1"), hosts):
        raise Forbidden("pages of another origin may not ask here without a key; see server.host")


def _is_near(name: str, hosts: frozenset[str]) -> bool:
    """A name that no page of elsewhere can have: an address needs no DNS, and public DNS does not have the others
    (RFC 6761 for "localhost"; ICANN keeps "internal", by which containers call their host).
    """
    if name.endswith((".localhost", ".internal")) or _is_ours(name, hosts):
        return True
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _is_trusted(origin: str, hosts: frozenset[str]) -> bool:
    """A page of this machine, or none of the web at all: an extension of the browser, a desktop program."""
    scheme, is_url, _ = origin.partition("://")
    if not is_url or scheme.lower() in ("http", "https"):
        name = _name(origin)
        return name.endswith(".localhost") or _is_ours(name, hosts)
    return True


def _is_ours(name: str, hosts: frozenset[str]) -> bool:
    if name in hosts or name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
