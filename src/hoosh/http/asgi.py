"""The ASGI application: a table from (path, method) to an endpoint, and the last resort for a bug.

An endpoint is an async function of an Exchange. Keys are checked here, by the matched route and never by
the path's text, for every route that is not marked open.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

import msgspec

from hoosh.core.errors import HooshError, MethodNotAllowed, NotFound
from hoosh.dialects import ClientDialect
from hoosh.dialects.openai_chat import DIALECT
from hoosh.http.request import LEAVING, ClientLeft, Listeners, headers_of, request_id, token_of
from hoosh.http.sink import Message, Receive, Send, error_headers
from hoosh.ports import Keys

log = logging.getLogger("hoosh.http")
_encode = msgspec.json.Encoder().encode
# What base URLs of SDKs end in, before a path that we know.
_PREFIX = re.compile(r"/(?:openai|anthropic|gemini|genai|ollama|v1beta/openai|v1(?=/(?:v1|v1beta|api)/))(?=/)")


class Exchange:
    """One HTTP request and the way to answer it."""

    __slots__ = ("headers", "id", "listeners", "query", "receive", "send", "tail", "token")

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.headers: Mapping[bytes, bytes] = headers_of(scope)
        self.id = request_id(self.headers)
        self.query: bytes = scope.get("query_string", b"")
        self.token = token_of(self.headers, self.query)
        self.receive = receive
        self.send = send
        self.listeners: Listeners = scope.get(LEAVING, set())
        self.tail = ""  # what a route ending in "/*" matched there

    @property
    def place(self) -> str:
        """What follows the route's path, with the query."""
        return f"{self.tail}?{self.query.decode('latin-1')}" if self.query else self.tail

    async def answer(self, value: object, status: int = 200) -> None:
        await self.reply(status, _encode(value), b"application/json", ())

    async def reply(
        self, status: int, body: bytes, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        head = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", self.id.encode()),
            *headers,
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse(self, error: HooshError, dialect: ClientDialect, *headers: tuple[bytes, bytes]) -> None:
        body = dialect.fault(error, self.id)
        await self.reply(error.status, body, b"application/json", (*error_headers(error), *headers))


Endpoint = Callable[[Exchange], Awaitable[None]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is exact, or ends in "/*" and matches what follows. `guarded` routes need a key where keys exist.
    An inference route is not: it needs to know its caller, and asks itself.

    `dialect` words the errors; None for a page that clients of all dialects share.
    """

    method: str
    path: str
    endpoint: Endpoint
    guarded: bool = True
    dialect: ClientDialect | None = None


class App:
    """The ASGI callable. HEAD is answered as GET by the server, which drops the body. `marks` are request headers that
    only clients of one dialect send: on pages that all share, errors are worded in it.
    """

    def __init__(
        self, routes: Sequence[Route], keys: Keys, marks: Mapping[bytes, ClientDialect] = MappingProxyType({})
    ) -> None:
        table: dict[str, dict[str, Route]] = {}
        for route in routes:
            table.setdefault(route.path, {})[route.method] = route
        self._exact = MappingProxyType({path: by for path, by in table.items() if not path.endswith("/*")})
        self._prefixes = tuple((path[:-1], by) for path, by in table.items() if path.endswith("/*"))
        self._keys = keys
        self._marks = marks
        self._families: dict[str, ClientDialect | None] = {}
        for route in routes:
            self._families.setdefault(_family(route.path), route.dialect)
        self.routes = tuple(routes)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._dispatch(scope, exchange)
        except ClientLeft:
            return
        except Exception:  # the last resort: a bug must reach the client as an error object, and the log whole
            log.exception("a bug while answering %s", scope["path"])
            with suppress(RuntimeError):  # a reply has begun: the server then closes the connection
                await exchange.refuse(HooshError("internal error"), self._dialect(exchange))

    async def _dispatch(self, scope: Message, exchange: Exchange) -> None:
        by_method, exchange.tail = self._find(scope["path"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = by_method.get(method)
        if route is None:
            await self._no_route(scope["path"], by_method, exchange)
            return
        try:
            if route.guarded:
                self._keys.identify(exchange.token)
            await route.endpoint(exchange)
        except HooshError as error:
            await exchange.refuse(error, self._dialect(exchange, route.dialect))

    def _dialect(self, exchange: Exchange, spoken: ClientDialect | None = None) -> ClientDialect:
        if spoken is not None:
            return spoken
        return next((dialect for mark, dialect in self._marks.items() if mark in exchange.headers), DIALECT)

    def _find(self, path: str) -> tuple[Mapping[str, Route], str]:
        if found := self._match(path):
            return found
        for spelling in _spellings(path):
            if found := self._match(spelling):
                return found
        return {}, ""

    def _match(self, path: str) -> tuple[Mapping[str, Route], str] | None:
        found = self._exact.get(path)
        if found is not None:
            return found, ""
        for prefix, by_method in self._prefixes:
            if path.startswith(prefix) and len(path) > len(prefix):
                return by_method, path[len(prefix) :]
        return None

    async def _no_route(self, path: str, by_method: Mapping[str, Route], exchange: Exchange) -> None:
        if not by_method:
            spoken = self._dialect(exchange, self._families.get(_family(path)))
            await exchange.refuse(NotFound(f"no such path: {path[:256]}"), spoken)
            return
        allowed = ", ".join(sorted(by_method))
        spoken = self._dialect(exchange, next(iter(by_method.values())).dialect)
        error = MethodNotAllowed(f"method not allowed, use {allowed}")
        await exchange.refuse(error, spoken, (b"allow", allowed.encode()))


def _family(path: str) -> str:
    """The first segment: paths that share it are one vendor's, but for /v1, whose first is a page for all."""
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _spellings(path: str) -> Iterator[str]:
    """What a path that we do not know may have meant: SDKs put a prefix of their vendor's before it (Groq's
    /openai/v1), append a version to a base URL that has one (/v1/v1), or leave it out.
    """
    while prefix := _PREFIX.match(path):
        path = path[prefix.end() :]
        yield path
    yield f"/v1{path}"
