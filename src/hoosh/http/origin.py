"""Browsers of this machine reach every loopback port, and any web page can make them try.

A page whose name's address was changed to 127.0.0.1 (DNS rebinding) still says that name as Host; a page of elsewhere
says so as Origin. Both are refused before a key is looked at.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from hoosh.core.errors import Forbidden


def check_origin(headers: Mapping[bytes, bytes], hosts: frozenset[str]) -> None:
    """Raises Forbidden."""
    host = _name(f"//{headers.get(b'host', b'').decode('latin-1')}")
    if not _is_ours(host, hosts):
        raise Forbidden("this server does not go by the name that the request's Host says; see admin.host")
    origin = headers.get(b"origin")
    if origin is not None and not _is_ours(_name(origin.decode("latin-1")), hosts):
        raise Forbidden("pages of another origin may not ask here")


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
