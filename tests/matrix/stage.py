"""One call through the engine, from a client of one dialect to a provider of another, in bytes at both ends.

The provider's bytes are written by its dialect's client face and the client's are read by its provider face: what both
faces of a dialect got wrong alike is not seen here, but by the recorded exchanges and the vendors' own SDKs.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine_world import FakeBudgets, FakeClock, FakeJournal, FakeSink, FakeTransport, FreeOfCharge
from hoosh.core.asked import ChatRequest
from hoosh.core.call import Call
from hoosh.core.errors import HooshError, UpstreamError
from hoosh.core.events import Event
from hoosh.core.plan import Plan
from hoosh.core.routing import Route
from hoosh.core.wire import WireRequest
from hoosh.dialects import ClientDialect, ProviderDialect, Served, Translating, Ways
from hoosh.engine.backend import Backend, tongues_of
from hoosh.engine.cashier import Cashier
from hoosh.engine.catalog import Catalog
from hoosh.engine.engine import Engine, World
from hoosh.engine.limiting import Limiting
from hoosh.engine.router import Router, Rules
from hoosh.engine.settler import Settler
from hoosh.engine.vitals import Vitals
from hoosh.policy.breaker import BreakerRules
from hoosh.policy.retry_budget import RetryBudget
from hoosh.providers import Provider
from hoosh.stores.limits_memory import MemoryLimits
from matrix.scenes import USED, Scene


class Tongue(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect's two faces, and what it has no word for."""

    client: ClientDialect
    provider: ProviderDialect
    losses: frozenset[str]

    @property
    def name(self) -> str:
        return self.provider.name

    def heard(self, request: WireRequest) -> ClientDialect:
        """The client's face as it is spoken at the request's path."""
        place, _, query = request.path.partition("?")
        tail = place.rpartition("/")[2]
        return self.client.at(f"{tail}?{query}" if query else tail)


class Played(msgspec.Struct, frozen=True):
    """`heard` is what the gateway understood, `events` what the client reads, `error` what it is told in place of them or after them; `asked` is what the
    provider was asked, as its own dialect reads it.
    """

    heard: ChatRequest
    asked: ChatRequest | None
    events: list[Event]
    error: HooshError | None
    sink: FakeSink
    requests: list[WireRequest]
    settled: Any


def provider_bytes(tongue: Tongue, scene: Scene, *, stream: bool) -> list[bytes]:
    """The provider's reply to `scene`, in as many pieces as it has events."""
    asked = scene.asked(tongue.name, stream=stream)
    encoder = tongue.heard(tongue.provider.render(asked, "m", Ways())).encoder(
        ChatRequest(model="m", messages=(), stream=stream, include_usage=stream),
        Served(id="r1", created_s=1_700_000_000, provider="theirs", model="m"),
    )
    pieces = [encoder.feed([event]) for event in scene.events]
    return [piece for piece in (*pieces, encoder.finish(USED)) if piece]


async def play(
    client: Tongue, provider: Tongue, asked: ChatRequest, reply: Sequence[bytes], *, status: int = 200
) -> Played:
    body = client.provider.render(asked, "m", Ways(stream_usage=asked.include_usage))
    heard = client.heard(body)
    stage = _Stage(provider.provider, reply, status, stream=asked.stream)
    request = heard.parse(body.body)
    call = Call(id="call", dialect=client.name, request=request, body=body.body)
    await stage.engine.serve(call, heard, stage.sink)
    sent = stage.transport.requests[0]
    assert isinstance(request, ChatRequest)
    return Played(
        heard=request,
        asked=provider.heard(sent).parse(sent.body),  # type: ignore[arg-type]
        events=_read(client.provider, asked, stage.sink),
        error=stage.sink.error,
        sink=stage.sink,
        requests=stage.transport.requests,
        settled=stage.budgets.lines,
    )


def _read(client: ProviderDialect, asked: ChatRequest, sink: FakeSink) -> list[Event]:
    """What the client reads, up to where its reply breaks off."""
    kind = sink.content_type
    decoder = Translating(client.splitter(asked, kind), client.reader(asked, Ways()))
    events: list[Event] = []
    try:
        events += decoder.feed(sink.out)
        events += decoder.eof()
    except UpstreamError as error:
        if sink.error is None:
            raise AssertionError(f"the client cannot read what it gets: {error.message}") from error
    return events


class _Stage:
    def __init__(self, dialect: Any, reply: Sequence[bytes], status: int, *, stream: bool) -> None:
        kind = Provider(name="theirs", title="", dialect=dialect, base_url="http://fake/theirs", docs="")
        backend = Backend(name="theirs", provider=kind, base_url=kind.base_url, models=("m",), tongues=tongues_of(kind))
        self.transport = FakeTransport({"theirs": tuple(reply)})
        self.transport.statuses["theirs"] = status
        self.transport.content_type = b"text/event-stream" if stream and status == 200 else b"application/json"
        self.budgets, self.sink, clock = FakeBudgets(), FakeSink(), FakeClock()
        rules = Rules(fallback=Route(plan=Plan(targets=(), tries=1, attempts=1)))
        catalog = Catalog([backend], self.transport, clock, Vitals(clock, BreakerRules()))
        self.settler = Settler(self.budgets, FakeJournal(), clock)
        self.engine = Engine(
            World(
                limits=Limiting(MemoryLimits(clock), pools={}, agents={}, models=()),
                cashier=Cashier(self.budgets, FreeOfCharge()),
                transport=self.transport,
                catalog=catalog,
                observer=catalog,
                router=Router(catalog, rules, FreeOfCharge(), self.budgets),
                retries=RetryBudget(),
                settler=self.settler,
                clock=clock,
            )
        )
