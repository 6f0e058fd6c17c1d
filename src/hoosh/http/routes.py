"""The application: a table from (path, method) to an endpoint, and the last resort for a bug.

An endpoint is an async function of an Exchange. Keys are checked here and nowhere else, by the matched route and never
by the path's text, for every route that is not marked open, and before any of the body is read.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Protocol

import msgspec

from hoosh.core.errors import HooshError, MethodNotAllowed, NotFound, Unauthorized
from hoosh.core.principal import ANONYMOUS, NOBODY, Principal
from hoosh.core.turned_away import TurnedAway
from hoosh.dialects import ClientDialect
from hoosh.dialects.openai_chat import DIALECT
from hoosh.http.exchange import Exchange
from hoosh.http.origin import check_origin, check_page
from hoosh.http.strangers import Strangers, TooManyFailures
from hoosh.policy.scopes import check_route
from hoosh.ports import Keys

log = logging.getLogger("hoosh.http")
# What base URLs of SDKs end in, before a path that we know.
_PREFIX = re.compile(r"/(?:openai|anthropic|gemini|genai|ollama|v1beta/openai|v1(?=/(?:v1|v1beta|api)/))(?=/)")


Endpoint = Callable[[Exchange], Awaitable[None]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is exact, or ends in "/*" and matches what follows. `guarded` routes need a key where keys exist; a key
    that is held to some routes names them by `name` or by `path`.

    `dialect` words the errors; None for a page that clients of all dialects share.
    """

    method: str
    path: str
    endpoint: Endpoint
    name: str = ""
    guarded: bool = True
    dialect: ClientDialect | None = None


class Gate:
    """Who may come in. `hosts` are the names that a request may call this server by, and that a page which sends one
    may come from; `open_hosts` are those for requests that need no key. None does not look.
    """

    def __init__(
        self,
        keys: Keys,
        strangers: Strangers,
        hosts: frozenset[str] | None = None,
        open_hosts: frozenset[str] | None = None,
    ) -> None:
        self._keys = keys
        self._strangers = strangers
        self._hosts = hosts
        self._open_hosts = open_hosts

    def check(self, exchange: Exchange, route: Route) -> None:
        """Say in the exchange whose key it is. Raises: Unauthorized, Forbidden, TooManyFailures, StoreFailed."""
        if self._hosts is not None:
            check_origin(exchange.headers, self._hosts)
        if route.guarded:
            principal = exchange.principal = self._identified(exchange)
            if principal is ANONYMOUS and self._open_hosts is not None:
                check_page(exchange.headers, self._open_hosts)
            if principal.routes:
                check_route(principal, route.name, route.path)

    def _identified(self, exchange: Exchange) -> Principal:
        token, peer = exchange.token, exchange.wire.peer
        try:
            self._strangers.check(peer)
        except TooManyFailures:
            known = self._keys.recall(token) if token else None
            if known is None:
                raise
            return known
        try:
            return self._keys.identify(token)
        except Unauthorized:
            if token:  # who shows none guesses none
                self._strangers.note(peer)
            raise


class Watcher(Protocol):
    """Who hears of errors. Never blocks, never raises."""

    def error(self, route: str, code: str) -> None:
        """A client was told one."""

    def refused(self, turned_away: TurnedAway) -> None:
        """And there was no call that would tell of it."""


class App:
    """HEAD is answered as GET; the connection drops the body. `marks` are request headers that
    only clients of one dialect send: on pages that all share, errors are worded in it.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        gate: "Gate",
        marks: Mapping[bytes, ClientDialect] = MappingProxyType({}),
        watcher: Watcher | None = None,
    ) -> None:
        table: dict[str, dict[str, Route]] = {}
        for route in routes:
            table.setdefault(route.path, {})[route.method] = route
        self._exact = MappingProxyType({path: by for path, by in table.items() if not path.endswith("/*")})
        self._prefixes = tuple((path[:-1], by) for path, by in table.items() if path.endswith("/*"))
        self._gate = gate
        self._marks = marks
        self.watcher = watcher
        self._families: dict[str, ClientDialect | None] = {}
        for route in routes:
            self._families.setdefault(_family(route.path), route.dialect)
        self.routes = tuple(routes)

    async def __call__(self, exchange: Exchange) -> None:
        try:
            await self._dispatch(exchange)
        except Exception:  # the last resort: a bug must reach the client as an error object, and the log whole
            log.exception("a bug while answering %s", exchange.path)
            with suppress(RuntimeError):  # a reply has begun: the connection then breaks off
                await exchange.refuse(HooshError("internal error"), self._dialect(exchange))
        if exchange.error is not None and self.watcher is not None:
            self.watcher.error(exchange.route, exchange.error.code)

    async def _dispatch(self, exchange: Exchange) -> None:
        by_method, exchange.tail = self._find(exchange.path)
        method = "GET" if exchange.method == "HEAD" else exchange.method
        route = by_method.get(method)
        if route is None:
            await self._no_route(by_method, exchange)
            return
        exchange.route = route.name
        try:
            self._gate.check(exchange, route)
            await route.endpoint(exchange)
        except HooshError as error:
            await self._turn_away(exchange, error, route.dialect)

    async def _turn_away(
        self, exchange: Exchange, error: HooshError, spoken: ClientDialect | None, *headers: tuple[bytes, bytes]
    ) -> None:
        if self.watcher is not None:
            self.watcher.refused(
                TurnedAway(
                    id=exchange.own_id,
                    request_id=exchange.id,
                    route=exchange.route,
                    status=error.status,
                    code=error.code,
                    key="" if exchange.principal is NOBODY else exchange.principal.key_id,
                )
            )
        await exchange.refuse(error, self._dialect(exchange, spoken), *headers)

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

    async def _no_route(self, by_method: Mapping[str, Route], exchange: Exchange) -> None:
        if not by_method:
            spoken = self._families.get(_family(exchange.path))
            await self._turn_away(exchange, NotFound(f"no such path: {exchange.path[:256]}"), spoken)
            return
        allowed, route = ", ".join(sorted(by_method)), next(iter(by_method.values()))
        exchange.route = route.name
        error = MethodNotAllowed(f"method not allowed, use {allowed}")
        await self._turn_away(exchange, error, route.dialect, (b"allow", allowed.encode()))


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
