"""A whole world for the engine: every port a fake of a few lines, providers scripted in bytes of their dialect."""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType

import msgspec

from hoosh.core.call import Account, Call, Hold, Outcome, Receipt, Settlement, Wishes
from hoosh.core.errors import BudgetExceeded, HooshError, Shortage, Truncated
from hoosh.core.ledger import Amount
from hoosh.core.limit import Limit
from hoosh.core.plan import Plan, Target
from hoosh.core.pool import Terms
from hoosh.core.quote import FREE, Quote
from hoosh.core.routing import Route
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.admission import Admission, AdmissionRules
from hoosh.engine.backend import Backend, tongues_of
from hoosh.engine.cashier import Cashier
from hoosh.engine.catalog import Catalog
from hoosh.engine.engine import Engine, World
from hoosh.engine.limiting import Limiting, ModelLimit
from hoosh.engine.router import Router, Rules
from hoosh.engine.settler import Settler
from hoosh.engine.vitals import Vitals
from hoosh.policy.breaker import BreakerRules
from hoosh.policy.retry_budget import RetryBudget
from hoosh.providers import Provider
from hoosh.stores.limits_memory import MemoryLimits

Step = bytes | Exception
Script = Sequence[Step]


def frame(**delta: object) -> bytes:
    import json

    chunk = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    return b"data: %b\n\n" % json.dumps(chunk).encode()


ROLE = frame(role="assistant", content="")
HELLO = frame(content="Hello")
WORLD = frame(content=" world")
FINISH = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = (
    b'data: {"id":"1","model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
)
DONE = b"data: [DONE]\n\n"
GOOD: Script = (ROLE, HELLO, WORLD, FINISH, USAGE, DONE)
BODY = (
    b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}'
)


OF_POOL = Limit("pool", "default", rpm=60_000, tpm=100_000_000, concurrency=9)
OF_MODEL = ModelLimit("m", "", Limit("model", "m", rpm=60_000, concurrency=9))


class FakeClock:
    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns

    def unix_s(self) -> int:
        return 1_700_000_000


class FakeBudgets:
    """Loses replies: the hold stands before the caller hears of it. `capacity` is what one pool has for all holds."""

    def __init__(self) -> None:
        self.held: dict[str, Hold] = {}
        self.lines: list[Settlement] = []
        self.capacity: int | None = None
        self.under = Terms(pools=("default",))
        self.extended: list[Amount] = []

    def terms(self, pool: str, key_id: str, agent: str) -> Terms:
        return self.under

    async def reserve(self, hold: Hold) -> None:
        await asyncio.sleep(0)
        self._check(hold.amount)
        self.held[hold.id] = hold
        await asyncio.sleep(0)

    async def extend(self, hold_id: str, more: Amount) -> None:
        self._check(more)
        self.extended.append(more)

    def _check(self, more: Amount) -> None:
        left = (self.capacity or 0) - sum(hold.amount.tokens for hold in self.held.values())
        if self.capacity is not None and more.tokens > left:
            shortage = Shortage(pool="default", unit="tokens", limit=self.capacity, left=left, needed=more.tokens)
            raise BudgetExceeded("Token budget exceeded", shortage)

    def percent_used(self, pools: tuple[str, ...]) -> int:
        return 0

    def settle(self, settlement: Settlement) -> None:
        self.held.pop(settlement.id, None)
        self.lines.append(settlement)

    async def flush(self) -> None:
        """All is here."""


class FreeOfCharge:
    """ports.Prices."""

    def quote(self, target: Target, kind: str) -> Quote:
        return FREE


class FakeJournal:
    def __init__(self) -> None:
        self.receipts: list[Receipt] = []

    def note(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)


class FakeExchange:
    def __init__(self, transport: "FakeTransport", script: Script) -> None:
        self._transport = transport
        self._script = list(script)
        self.status = 200
        self.headers = {b"content-type": transport.content_type}

    async def __aenter__(self) -> "FakeExchange":
        self._transport.open += 1
        try:
            await asyncio.sleep(0)
            if self._script and isinstance(self._script[0], Exception):
                raise self._script[0]
        except BaseException:
            self._transport.open -= 1
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._transport.open -= 1  # released before any await, as the real one does
        await asyncio.sleep(0)

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if not self._script:
            return b""
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


class FakeTransport:
    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = scripts
        self.open = 0
        self.asked: list[str] = []
        self.requests: list[WireRequest] = []
        self.statuses: dict[str, int] = {}
        self.content_type = b"text/event-stream"

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> FakeExchange:
        name = base_url.rpartition("/")[2]
        self.asked.append(name)
        self.requests.append(request)
        exchange = FakeExchange(self, self._scripts[name])
        exchange.status = self.statuses.get(name, 200)
        return exchange


class FakeSink:
    def __init__(self) -> None:
        self.started = False
        self.out = b""
        self.headers: dict[bytes, bytes] = {}
        self.content_type = b""
        self.error: HooshError | None = None
        self.closed = 0

    def head(self, content_type: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.headers = dict(headers)
        self.content_type = content_type

    async def write(self, data: bytes) -> None:
        self.started = True
        self.out += data
        await asyncio.sleep(0)

    async def close(self, data: bytes) -> None:
        self.out += data
        self.closed += 1
        await asyncio.sleep(0)

    async def fail(self, error: HooshError) -> None:
        self.error = error
        await asyncio.sleep(0)


class Stage:
    """One engine over scripted providers, tried in the order given. Make it inside a running loop.

    `limited`: other limits than OF_POOL and the providers' own, by name.
    """

    def __init__(
        self,
        engine_class: type[Engine] = Engine,
        limited: Sequence[Limit] = (),
        /,
        *,
        tries: int = 2,
        hedge_s: float = 0.0,
        **scripts: Script,
    ) -> None:
        self.budgets = FakeBudgets()
        self.journal = FakeJournal()
        self.transport = FakeTransport(scripts)
        self.sink = FakeSink()
        clock = self.clock = FakeClock()
        self.limits = MemoryLimits(clock)
        own = {limit.name: limit for limit in limited}
        backends = [self._backend(name) for name in scripts]
        backends = [msgspec.structs.replace(one, limit=own.get(one.name, one.limit)) for one in backends]
        plan = Plan(targets=(), tries=tries, attempts=8, base_s=0.0, max_s=1.0, hedge_s=hedge_s)
        self.vitals = Vitals(clock, BreakerRules())
        self.catalog = Catalog(backends, self.transport, clock, self.vitals)
        rules = Rules(fallback=Route(plan=plan))
        self.router = Router(self.catalog, rules, FreeOfCharge(), self.budgets)
        self.settler = Settler(self.budgets, self.journal, clock)
        self.admission = Admission(AdmissionRules(), clock)
        self.engine = engine_class(
            World(
                limits=Limiting(
                    self.limits, pools={"default": (own.get("default", OF_POOL),)}, agents={}, models=(OF_MODEL,)
                ),
                cashier=Cashier(self.budgets, FreeOfCharge()),
                transport=self.transport,
                catalog=self.catalog,
                observer=self.catalog,
                router=self.router,
                retries=RetryBudget(),
                settler=self.settler,
                clock=clock,
                admission=self.admission,
            )
        )

    @staticmethod
    def _backend(name: str) -> Backend:
        provider = Provider(name=name, title=name, dialect=DIALECT, base_url=f"http://fake/{name}", docs="")
        return Backend(
            name=name,
            provider=provider,
            base_url=provider.base_url,
            models=("m",),
            tongues=tongues_of(provider),
            limit=Limit("provider", name, rpm=60_000, tpm=100_000_000, concurrency=9),
        )

    async def serve(self, body: bytes = BODY, wishes: Wishes = Wishes()) -> Account:
        request = DIALECT.parse(body)
        call = Call(id="call", dialect="openai_chat", request=request, body=body, wishes=wishes)
        return await self.engine.serve(call, DIALECT, self.sink)

    async def check(self) -> None:
        """The invariants."""
        assert len(self.journal.receipts) == 1, "one receipt"
        ids = [line.id for line in self.budgets.lines]
        assert len(ids) == len(set(ids)), "each attempt settled once"
        assert not self.budgets.held, "no hold leaks"
        assert self.transport.open == 0, "every upstream is closed"
        assert self.engine.running == 0, "no call counts as running"
        gates = self.admission._gates.values()
        assert all(not gate.running and not gate.waiting for gate in gates), "no slot and no place in a queue leaks"
        meters = self.limits._meters
        assert {scope for scope, _ in meters} >= {"pool"}
        assert all(meter.running == 0 and len(meter.tokens._peaks_ns) == 1 for meter in meters.values()), (
            "no limit leaks"
        )

    @property
    def outcome(self) -> Outcome:
        return self.journal.receipts[0].outcome


CUT = Truncated("cut")
