"""The response cache, between routing and asking: a hit is one more source of events for the client's encoder.

Law: what is given from here was answered completely, to the same request of the same tenant, and costs nothing. A call
that gets it has passed its key, its limits and its models like any other; nothing is reserved for it, so that a budget
which is used up does not refuse it.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from hoosh.core.cache_wish import CacheUse
from hoosh.core.cached import Answer, CacheRules, KeptAnswer, bare, packed, unpacked
from hoosh.core.call import Account, Call, Hold
from hoosh.core.errors import DeadlineExceeded, HooshError, StoreFailed
from hoosh.core.events import Event, Finish, Reasoning, Text, Usage
from hoosh.core.ledger import Amount
from hoosh.dialects import Encoders, Served
from hoosh.engine.draining import LeavingSink
from hoosh.engine.flights import Flight, Landed, Recording, landed_on, told_again
from hoosh.policy.cache_key import cache_key, is_keepable, tenant_of, why_not
from hoosh.policy.estimate import input_guess, output_limit
from hoosh.policy.scopes import may_use
from hoosh.ports import AnswerMemory, AnswerStore, Clock, Relay, Sink

log = logging.getLogger("hoosh.cache")
# No secret hangs on it.
draw = random.random
# TTLs differ by so much, or all that was kept at once would be asked for again at once.
JITTER = 0.1
# How long the memory before a shared store is believed: what another process purged is gone here, too, after that.
MEMORY_S = 5
# A text that came whole is told a stream in pieces of this length, and a stream in no more writes than that.
PIECE_CHARS = 64
WRITES = 64


class Cached:
    """What outlives a configuration: the answers themselves, who waits for whom, and how often it was worth it.
    `counts` are of hit, miss, joined.
    """

    def __init__(self, memory: AnswerMemory, clock: Clock) -> None:
        self.memory = memory
        self.clock = clock
        self.flights: dict[bytes, Flight] = {}
        self.counts: Counter[str] = Counter()
        self.writing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """What is being written to the store is written."""
        if self.writing:
            await asyncio.wait(self.writing)


class _Found(msgspec.Struct, frozen=True):
    """An answer, and who gave it; `age_s` old."""

    answer: Answer
    provider: str
    model: str
    age_s: int = 0


class Caching:
    """ports.Caching"""

    def __init__(self, rules: CacheRules, cached: Cached, store: AnswerStore | None = None) -> None:
        self.rules = rules
        self.cached = cached
        self.store = store

    async def serve(self, account: Account, dialect: Encoders, sink: Sink, relay: Relay) -> None:
        """In place of `relay`, which asks a provider."""
        call, rules = account.call, self.rules
        wish = call.wishes.cache
        tenant = tenant_of(rules, call)
        key = None
        if (wish.reads or wish.writes) and not why_not(call.request, rules, is_asked=wish.is_asked):
            key = cache_key(call, tenant)
        if key is None:
            account.cache = "off"
            await relay(dialect, sink)
            return
        while wish.reads:
            if (found := await self._find(call, key, tenant)) is not None:
                await self._replay(account, found, "hit", dialect, sink)
                return
            if (flight := self.cached.flights.get(key)) is None:
                break
            landed = await self._join(flight, call)
            if landed.error is not None:
                self.cached.counts["joined"] += 1
                raise told_again(landed.error)
            if landed.answer is not None and may_use(call.principal, landed.provider, landed.model):
                found = _Found(landed.answer, landed.provider, landed.model)
                await self._replay(account, found, "joined", dialect, sink)
                return
            if not landed.again:
                break
        account.cache = "miss"
        self.cached.counts["miss"] += 1
        await self._lead(account, (key, tenant), dialect, sink, relay)

    async def _find(self, call: Call, key: bytes, tenant: str) -> _Found | None:
        """Raises nothing: what cannot be read is not there."""
        memory, now_s = self.cached.memory, self.cached.clock.unix_s()
        kept = memory.get(key, now_s)
        if kept is None and self.store is not None:
            try:
                kept = await self.store.get(key, now_s)
            except StoreFailed as error:
                log.warning("the shared cache cannot be read: %s", error.message)
            if kept is not None:
                memory.put(_for_now(kept, now_s), self.rules.max_bytes)
        if kept is None or kept.tenant != tenant or not may_use(call.principal, kept.provider, kept.model):
            return None
        age_s, most_s = max(0, now_s - kept.stored_s), call.wishes.cache.max_age_s
        if most_s is not None and age_s > most_s:
            return None
        answer = unpacked(kept.body)
        return None if answer is None else _Found(answer, kept.provider, kept.model, age_s)

    async def _join(self, flight: Flight, call: Call) -> Landed:
        """Raises DeadlineExceeded."""
        left_s = None
        if call.deadline_ns:
            left_s = (call.deadline_ns - self.cached.clock.monotonic_ns()) / 1e9
        try:
            return await flight.join(left_s)
        except TimeoutError:
            raise DeadlineExceeded("the time that the request gave was over before anybody answered") from None

    async def _lead(
        self, account: Account, place: tuple[bytes, str], dialect: Encoders, sink: Sink, relay: Relay
    ) -> None:
        """Ask, and keep what is answered. Where nobody else does, others may join."""
        key, tenant = place
        flight, flights = Flight(), self.cached.flights
        recording = Recording(dialect, flight, self.rules.max_entry_bytes)
        is_shared = flights.setdefault(key, flight) is flight
        end = LeavingSink(sink)
        task = asyncio.ensure_future(relay(recording, end))

        def over(task: asyncio.Future[None]) -> None:
            if is_shared:
                del flights[key]
            error = None if task.cancelled() else task.exception()
            # In less time than others have.
            own = account.call.deadline_ns and error is not None
            flight.land(Landed(again=True) if task.cancelled() else Landed() if own else landed_on(error))
            if recording.landed is not None and account.call.wishes.cache.writes:
                self._keep(account, key, tenant, recording.landed)

        task.add_done_callback(over)
        await flight.lead(task, end)

    def _keep(self, account: Account, key: bytes, tenant: str, landed: Landed) -> None:
        answer = landed.answer
        if answer is None or not is_keepable(answer.events, self.rules) or _is_cut_short(account, answer):
            return
        now_s, ttl_s = self.cached.clock.unix_s(), self.rules.ttl_s
        jitter = 1 + JITTER * (2 * draw() - 1)
        body = packed(answer)
        if body is None or len(body) > self.rules.max_entry_bytes:
            return
        kept = KeptAnswer(
            key=key,
            tenant=tenant,
            asked=account.call.request.model,
            provider=landed.provider,
            model=landed.model,
            stored_s=now_s,
            expires_s=now_s + max(1, round(ttl_s * jitter)) if ttl_s else 0,
            body=body,
        )
        self.cached.memory.put(kept if self.store is None else _for_now(kept, now_s), self.rules.max_bytes)
        if self.store is not None:
            writing = asyncio.ensure_future(_write(self.store, kept, self.rules.max_bytes))
            self.cached.writing.add(writing)
            writing.add_done_callback(self.cached.writing.discard)

    async def _replay(self, account: Account, found: _Found, use: CacheUse, dialect: Encoders, sink: Sink) -> None:
        call, clock = account.call, self.cached.clock
        self.cached.counts[use] += 1
        account.cache = use
        account.hold = _nothing(account, found)
        account.billed = Usage()
        account.first_event_ns = clock.monotonic_ns()
        encoder = dialect.encoder(call.request, _served(account, found, clock))
        headers = [
            (b"x-hoosh-provider", found.provider.encode("latin-1", "replace")),
            (b"x-hoosh-model", found.model.encode("latin-1", "replace")),
            (b"x-hoosh-cache", use.encode()),
            (b"age", b"%d" % found.age_s),
        ]
        if not call.request.stream:
            headers.append((b"x-hoosh-cost-micro-usd", b"0"))
        sink.head(encoder.content_type, headers)
        answer = found.answer
        events = answer.events if answer.stream == call.request.stream else bare(answer.events)
        for piece in _pieces(events, is_split=call.request.stream and not answer.stream):
            if data := encoder.feed(piece):
                await sink.write(data)
        await sink.close(encoder.finish(answer.usage))


async def _write(store: AnswerStore, kept: KeptAnswer, max_bytes: int) -> None:
    try:
        await store.put(kept, max_bytes)
    except HooshError as error:
        log.warning("the shared cache cannot be written: %s", error.message)


def _for_now(kept: KeptAnswer, now_s: int) -> KeptAnswer:
    """As the memory before a store has it."""
    until_s = now_s + MEMORY_S
    return msgspec.structs.replace(kept, expires_s=min(kept.expires_s or until_s, until_s))


def _is_cut_short(account: Account, answer: Answer) -> bool:
    """Whether a limit that the caller's budget set, and not the request, ended it."""
    terms = account.terms
    if not terms.is_capped or terms.top_up or output_limit(account.call.request) is not None:
        return False
    return any(isinstance(event, Finish) and event.reason == "length" for event in bare(answer.events))


def _nothing(account: Account, found: _Found) -> Hold:
    """What a hit is booked by."""
    call = account.call
    return Hold(
        id=f"{call.id}.0",
        pools=account.terms.pools,
        amount=Amount(),
        sent=False,
        backing=call.backing,
        request_id=call.request_id,
        key=call.principal.key_id,
        agent=call.wishes.agent,
        provider=found.provider,
        model=found.model,
        operation=call.request.operation,
    )


def _served(account: Account, found: _Found, clock: Clock) -> Served:
    call = account.call
    return Served(
        id=call.id,
        created_s=clock.unix_s(),
        provider=found.provider,
        model=found.model,
        cost=account.cost_micros,
        input_tokens=input_guess(call.request) if call.request.stream else 0,
        first_event_ns=account.first_event_ns - call.arrived_ns,
        elapsed_ns=lambda: clock.monotonic_ns() - call.arrived_ns,
    )


def _pieces(events: Sequence[Event], *, is_split: bool) -> Iterator[Sequence[Event]]:
    if is_split:
        events = [piece for event in events for piece in _split(event)]
    size = -(-len(events) // WRITES)
    for start in range(0, len(events), max(1, size)):
        yield events[start : start + size]


def _split(event: Event) -> Iterator[Event]:
    if isinstance(event, Text) or (isinstance(event, Reasoning) and not (event.signature or event.redacted)):
        text = event.text
        for start in range(0, len(text), PIECE_CHARS):
            yield msgspec.structs.replace(event, text=text[start : start + PIECE_CHARS])
    else:
        yield event
