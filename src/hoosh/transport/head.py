"""A request's bytes (RFC 9112, sections 3 and 6). What frames a message is written here and by nobody else.

A header, a path or a method that could end its line early is refused, so no caller can smuggle a second request.
"""

import re

import msgspec

from hoosh.core.errors import BadRequest
from hoosh.core.wire import WireRequest
from hoosh.transport.origin import Origin, parse_base_url
from hoosh.transport.proxy import Proxies, Proxy

# HEAD and CONNECT frame their replies by other rules; no provider's API uses them.
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
_METHODS = _WITH_BODY | {b"GET", b"DELETE"}
_OWN_HEADERS = frozenset(
    b"host connection keep-alive content-length transfer-encoding te trailer upgrade expect accept-encoding "
    b"proxy-authorization proxy-connection".split()
)
# Visible ASCII without "#", and no segment of dots only: it would leave the base URL's path.
_TARGET = re.compile(r"(?![^?]*/(?:\.|%2e){1,2}(?:[/?]|\Z))/[!\"$-~]*", re.IGNORECASE)
_NAMES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9a-z-]+\n)*")


class Route(msgspec.Struct, frozen=True):
    """A base URL made ready. `label` names the host in messages; connections of one `key` are alike.

    `prefix` goes before each path, `fixed` are the header lines that never change, `user_agent` is the line for
    requests that bring none of their own.
    """

    label: str
    key: str
    origin: Origin
    proxy: Proxy | None
    prefix: str
    fixed: bytes
    user_agent: bytes


def route(base_url: str, proxies: Proxies, user_agent: str) -> Route:
    """Raises: ConfigError."""
    origin, prefix = parse_base_url(base_url)
    authority = origin.authority
    proxy = proxies.find(origin)
    fixed = f"host: {authority}\r\naccept-encoding: identity\r\n".encode()
    if proxy is not None and not origin.secure:
        prefix = f"http://{authority}{prefix}"  # absolute-form, RFC 9112 section 3.2.2
        if proxy.authorization:
            fixed += b"proxy-authorization: %b\r\n" % proxy.authorization
    key = f"{'https' if origin.secure else 'http'}://{origin.hostport}"
    return Route(authority, key, origin, proxy, prefix, fixed, b"user-agent: %b\r\n" % user_agent.encode("ascii"))


def render(way: Route, request: WireRequest) -> bytes:
    """Head and body in one. Raises: BadRequest."""
    return message(head(way, request), request)


def message(lines: bytes, request: WireRequest) -> bytes:
    """`lines` are from `head`."""
    if request.body or request.method in _WITH_BODY:
        return b"%bcontent-length: %d\r\n\r\n%b" % (lines, len(request.body), request.body)
    return lines + b"\r\n"


def head(way: Route, request: WireRequest) -> bytes:
    """All lines but the length: the same for all requests of one target. Raises: BadRequest."""
    if _TARGET.fullmatch(request.path) is None:
        raise BadRequest("the path of an upstream request holds what a path must not hold")
    if request.method not in _METHODS:
        raise BadRequest("the method of an upstream request is not one of GET, POST, PUT, PATCH, DELETE")
    names = [name.lower() for name, _ in request.headers]
    lines = [b"%b: %b\r\n" % header for header in request.headers]
    block = b"".join(lines)
    count = len(names)
    if block.count(b"\r") != count or block.count(b"\n") != count or b"\0" in block:
        raise BadRequest("a header of an upstream request holds a line break or NUL")
    if _NAMES.fullmatch(b"".join([b"%b\n" % name for name in names])) is None:
        raise BadRequest("a header of an upstream request has no valid name")
    if not _OWN_HEADERS.isdisjoint(names):
        raise BadRequest("a header of an upstream request belongs to the transport")
    if b"user-agent" not in names:
        block += way.user_agent
    target = (way.prefix + request.path).encode("ascii")
    return b"%b %b HTTP/1.1\r\n%b%b" % (request.method, target, way.fixed, block)
