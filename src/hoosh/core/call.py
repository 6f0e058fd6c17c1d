"""The life of one call: asked (Call), running (Account), over (Receipt)."""

import enum

import msgspec

from hoosh.core.asked import Request
from hoosh.core.cache_wish import CacheUse, CacheWish
from hoosh.core.errors import HooshError
from hoosh.core.events import Event, Finish, Metered, Raw, Reasoning, Refusal, Text, ToolDelta, Usage
from hoosh.core.ledger import Amount, Priced
from hoosh.core.plan import Attempt, Plan, Target
from hoosh.core.pool import Terms
from hoosh.core.principal import ANONYMOUS, Principal
from hoosh.core.quote import FREE, Quote
from hoosh.core.routing import Decision
from hoosh.core.wire import Headers


class Outcome(enum.Enum):
    OK = "ok"
    REJECTED = "rejected"  # refused before anything was sent to a provider
    FAILED = "failed"  # told to the client as an error
    CANCELLED = "cancelled"  # the client left, or the gateway stops
    CRASHED = "crashed"  # a bug of ours


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asked of the gateway itself, by header or body. "" means no wish."""

    provider: str = ""
    pool: str = ""
    agent: str = ""
    local_only: bool = False
    tags: tuple[str, ...] = ()
    session: str = ""
    cache: CacheWish = CacheWish()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request's identity. Named before anything is acquired: `id` is the root of every reservation's id, and so
    never the client's choice; `request_id` is what the client and the log call it. `headers` are those of the
    client's that go on to a provider of its own dialect. `backing` names what was set aside for it before, if anything.
    """

    id: str
    request_id: str = ""
    dialect: str
    request: Request
    body: bytes
    headers: Headers = ()
    principal: Principal = ANONYMOUS
    wishes: Wishes = Wishes()
    arrived_ns: int = 0
    deadline_ns: int = 0  # of the clock that `arrived_ns` is of; 0 for none
    backing: str = ""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An upper bound set aside for one attempt. `id` is the attempt's id and the key of idempotency.

    `pools` are what it is charged to, the caller's own first; those above them follow by themselves. The rest says
    whose it is, for the ledger. `sent`: something may reach a provider from now on, so that it is charged if nobody
    ever says how it ended. With `expires_s` the store itself keeps it for so long, and any gateway may settle it.
    It is taken out of what was set aside as `backing`, as far as that goes.
    """

    id: str
    pools: tuple[str, ...]
    amount: Amount
    sent: bool = True
    expires_s: int = 0
    backing: str = ""
    request_id: str = ""
    key: str = ""
    agent: str = ""
    provider: str = ""
    model: str = ""
    operation: str = ""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt ended. `absorbed`: it failed and another attempt took its place; `cache_hit`: no provider was
    asked. `hold` is what it is booked by where nothing was reserved under its id.
    """

    id: str
    hold: Hold
    usage: Usage
    micros: int = 0
    audio_ms: int = 0
    priced: Priced = "free"
    error: str = ""
    absorbed: bool = False
    cache_hit: bool = False


class Tried(msgspec.Struct, frozen=True):
    """One failed attempt, for the explanation."""

    target: Target
    error: HooshError


class Failure(msgspec.Struct, frozen=True):
    """How one attempt failed, in words: who keeps an exception keeps all that its frames hold."""

    target: Target
    code: str
    status: int
    message: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged and counted of a finished call: one value for all of them."""

    call_id: str
    request_id: str = ""
    model: str
    outcome: Outcome
    status: int
    principal: Principal
    target: Target | None
    attempts: int
    usage: Usage
    cost_micros: int | None = 0
    stream: bool
    first_event_ns: int
    total_ns: int
    error: str = ""
    wishes: Wishes = Wishes()
    decision: Decision | None = None
    tried: tuple[Failure, ...] = ()
    cache: CacheUse = ""


class Ticket:
    """That an attempt has begun. `probes` names the circuit breakers that it shows whether they may close. `anyhow`: it
    was made past those that are open, and closes them if it succeeds.
    """

    __slots__ = ("anyhow", "first_event_s", "probes", "target")

    def __init__(self, target: Target, probes: tuple[tuple[str, ...], ...] = (), *, anyhow: bool = False) -> None:
        self.target = target
        self.anyhow = anyhow
        self.probes = probes
        self.first_event_s: float | None = None  # once it has answered


_NO_PLAN = Plan(targets=())


class Account:
    """Everything that one call will owe; its only owner is the engine. Pessimistic: crashed until proven otherwise."""

    __slots__ = (
        "_costed",
        "attempt",
        "billed",
        "cache",
        "call",
        "decision",
        "error",
        "finished",
        "first_event_ns",
        "has_left",
        "hold",
        "lost",
        "lost_n",
        "outcome",
        "quote",
        "reported",
        "seen_chars",
        "seen_wide_bytes",
        "sent",
        "spent_micros",
        "terms",
        "ticket",
        "tried",
    )

    def __init__(self, call: Call) -> None:
        self.call = call
        self.outcome = Outcome.CRASHED
        self.error: HooshError | None = None
        self.attempt: Attempt | None = None
        self.hold: Hold | None = None
        self.billed: Usage | None = None  # once it is known for good
        self.sent = False  # a provider may have got the request, and answered nothing yet that says it costs nothing
        self.quote: Quote = FREE
        self._costed: tuple[Usage, Quote, int, int | None] | None = None
        self.terms = Terms(pools=())
        self.tried: list[Tried] = []
        self.decision: Decision | None = None
        self.ticket: Ticket | None = None  # of the attempt that runs
        self.spent_micros = 0  # by the attempts before it
        self.lost_n = 0  # the last attempt that came to nothing
        self.lost = Usage()  # what the last attempt that came to nothing was charged
        self.reported: Usage | None = None
        self.finished = False  # the provider ended an answer itself
        self.seen_chars = 0
        self.seen_wide_bytes = 0  # of UTF-8, beyond one for each character
        self.first_event_ns = 0
        self.cache: CacheUse = ""
        self.has_left = False  # the client; the answer is read to its end all the same

    def beside(self, targets: tuple[Target, ...], last: tuple[Target, ...]) -> "Account":
        """One for a part of the call that runs beside another: to ask these, and nobody else."""
        part = Account(self.call)
        part.terms = self.terms
        if self.decision is not None:
            plan = msgspec.structs.replace(self.decision.plan, targets=targets, last=last, hedge_s=0.0)
            part.decision = msgspec.structs.replace(self.decision, plan=plan)
        return part

    def become(self, part: "Account") -> None:
        """The attempt that runs there is this one's from now on."""
        for name in ("attempt", "hold", "quote", "sent", "ticket", "first_event_ns", "lost", "lost_n", "spent_micros"):
            setattr(self, name, getattr(part, name))

    @property
    def plan(self) -> Plan:
        return self.decision.plan if self.decision is not None else _NO_PLAN

    def cost_micros(self, usage: Usage, audio_ms: int = 0) -> int | None:
        """What `usage` costs at the attempt's quote; None where that is not known. The reply, its head, the ledger and
        the log all ask, so the last answer is kept.
        """
        costed = self._costed
        if costed is None or costed[0] is not usage or costed[1] is not self.quote or costed[2] != audio_ms:
            costed = self._costed = (usage, self.quote, audio_ms, self.quote.cost(usage, audio_ms))
        return costed[3]

    def observe(self, event: Event) -> None:
        kind = type(event)
        if kind is Raw:
            for inner in event.events:  # type: ignore[union-attr]
                self.observe(inner)
        elif kind is Text or kind is Reasoning or kind is Refusal:
            self._see(event.text)  # type: ignore[union-attr]
        elif kind is ToolDelta:
            self._see(event.name + event.arguments)  # type: ignore[union-attr]
        elif kind is Metered:
            self.reported = event.usage  # type: ignore[union-attr]
        elif kind is Finish:
            self.finished = True

    def _see(self, text: str) -> None:
        self.seen_chars += len(text)
        if not text.isascii():
            self.seen_wide_bytes += len(text.encode("utf-8", "surrogatepass")) - len(text)
