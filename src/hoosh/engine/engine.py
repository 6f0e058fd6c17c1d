"""The life of one call, top to bottom. This is the one file that knows the order.

Two commit points: the status (headers sent) and the content (first model event sent). Until the second a
failure may still be another attempt; after it a failure is told in-band and the stream ends without its
terminator. Settling is synchronous, so that no cancellation can come between.
"""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial

import msgspec

from hoosh.core.call import Account, Call, Outcome
from hoosh.core.errors import (
    BadUpstream,
    ClientError,
    ConnectFailed,
    DeadlineExceeded,
    EmptyStream,
    Exhausted,
    HeldBack,
    HooshError,
    Idle,
    ModelGone,
    NoFirstEvent,
    Reset,
    Slower,
    Truncated,
    UpstreamError,
)
from hoosh.core.events import Event, Usage, has_content
from hoosh.core.plan import Attempt, Plan, Target
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.dialects import ClientDialect, Decoder, Encoders, PassingOn, Served, Tongue, Translating
from hoosh.engine.admission import Admission
from hoosh.engine.backend import Backend
from hoosh.engine.cashier import Cashier, limited
from hoosh.engine.catalog import Catalog
from hoosh.engine.hedging import race
from hoosh.engine.limiting import Limiting
from hoosh.engine.pressure import Pressure
from hoosh.engine.router import Router
from hoosh.engine.settler import Settler
from hoosh.engine.vitals import MAX_REST_S
from hoosh.policy.attempts import attempts
from hoosh.policy.decide import nobody
from hoosh.policy.estimate import input_guess
from hoosh.policy.hidden_keys import hide_key
from hoosh.policy.retry_budget import RetryBudget
from hoosh.ports import Caching, Clock, Observer, Permit, Reply, Sink, Transport
from hoosh.providers.quirks import limit_output

# An error body longer than this says nothing more.
MAX_REFUSAL_BYTES = 64 << 10
# Before the first content come role-only deltas and comments. More than this is not a reply. Bifrost's bounds, 2026-10.
MAX_SILENT_EVENTS = 64
MAX_SILENT_BYTES = 256 << 10
# Failures after which nobody knows whether the provider has answered, and charges for it.
AMBIGUOUS = (Reset, NoFirstEvent, Idle, Truncated)
# A client's thousand fields of its own must not make a head that its HTTP library refuses.
MAX_DROPPED_CHARS = 1024


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The ports that the engine works through, and who acts for it at them. A call keeps the one it began with."""

    limits: Limiting
    cashier: Cashier
    transport: Transport
    catalog: Catalog
    observer: Observer
    router: Router
    retries: RetryBudget
    settler: Settler
    clock: Clock
    caching: Caching | None = None
    admission: Admission | None = None
    pressure: Pressure | None = None
    generation: int = 1  # of the configuration

    def may_retry(self) -> bool:
        return self.retries.take(self.clock.monotonic_ns())


class _Opened(msgspec.Struct, frozen=True):
    """An attempt that has shown its first content."""

    backend: Backend
    attempt: Attempt
    dropped: tuple[str, ...]
    output_tokens: int
    reply: Reply
    decoder: Decoder
    events: list[Event]
    ended: bool
    began_ns: int


class Engine:
    """`world` may be replaced: calls that begin from then on live in the new one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.running = 0  # calls

    @property
    def limits(self) -> Limiting:
        return self.world.limits

    def check_pressure(self) -> None:
        """Raises Shed where no more calls may begin."""
        if self.world.pressure is not None:
            self.world.pressure.check(self.running)

    async def serve(self, call: Call, dialect: ClientDialect, sink: Sink) -> Account:
        account = Account(call)
        await self.run(account, dialect, sink)
        return account

    async def run(self, account: Account, dialect: ClientDialect, sink: Sink) -> None:
        """`account` is new, and belongs to this alone from here on; but who knows that the client left may say so."""
        call, world = account.call, self.world
        permit: Permit | None = None
        self.running += 1
        try:
            permit = world.limits.admit(call)
            account.terms = world.cashier.terms(call)
            account.decision = world.router.route(call, account.terms, world.may_retry)
            world.retries.call()
            relay = _Passage(world, account).relay
            if world.caching is None:
                await relay(dialect, sink)
            else:
                await world.caching.serve(account, dialect, sink, relay)
            account.outcome = Outcome.CANCELLED if account.has_left else Outcome.OK
        except HooshError as error:
            account.error = error
            refused = account.attempt is None or isinstance(error, ClientError)
            account.outcome = Outcome.REJECTED if refused else Outcome.FAILED
            await sink.fail(error)
        except asyncio.CancelledError:
            account.outcome = Outcome.CANCELLED
            raise
        finally:
            self.running -= 1
            world.settler.settle(account)  # never awaits, exactly once
            if account.ticket is not None:
                world.observer.ended(account.ticket, account.error)
            if permit is not None:
                permit.give_back(account.billed.total if account.billed else 0)  # as settling


class _Passage:
    """One call on its way."""

    __slots__ = ("_backends", "_world", "account")

    def __init__(self, world: World, account: Account) -> None:
        self._world = world
        self.account = account
        self._backends = world.router.backends  # those that were chosen from, whoever is configured later

    async def relay(self, dialect: Encoders, sink: Sink) -> None:
        try:
            await self._relay(dialect, sink)
        except UpstreamError as error:
            if self.account.attempt is not None:
                hide_key(error, self._backends[self.account.attempt.target.provider].secrets)
            raise

    async def _relay(self, dialect: Encoders, sink: Sink) -> None:
        account, world = self.account, self._world
        async with AsyncExitStack() as held:
            plan = account.plan
            hedged = plan.hedge_s and len(plan.targets) > 1
            opened = await (self._open_hedged(held) if hedged else self.open(held))
            encoder = dialect.encoder(account.call.request, self._served(opened))
            headers = self._headers(opened)
            sink.head(encoder.content_type, headers)
            events, ended, decoder, reply = opened.events, opened.ended, opened.decoder, opened.reply
            while True:  # content commit: no other attempt below this line
                for event in events:
                    account.observe(event)
                if account.terms.top_up:
                    await world.cashier.grow(account)
                if data := encoder.feed(events):
                    await sink.write(data)  # a slow client stops our reads here
                if ended:
                    break
                piece = await reply.read()
                ended = not piece
                events = decoder.feed(piece) if piece else decoder.eof()
        world.settler.commit(account)
        usage = account.billed or Usage()
        if not sink.started and (cost_micros := account.cost_micros(usage)) is not None:
            headers.append((b"x-hoosh-cost-micro-usd", b"%d" % cost_micros))
            sink.head(encoder.content_type, headers)
        await sink.close(encoder.finish(usage))

    async def _open_hedged(self, held: AsyncExitStack) -> _Opened:
        """The first target alone for a while, and then the others, too. What the winner opened goes to `held`."""
        account, world, plan = self.account, self._world, self.account.plan
        heats: list[_Heat] = []

        def heat(targets: tuple[Target, ...], last: tuple[Target, ...], made: int) -> Coroutine[object, object, _Heat]:
            one = _Heat(_Passage(world, account.beside(targets, last)), made)
            heats.append(one)
            return one.run()

        def allows() -> bool:
            return world.retries.take(world.clock.monotonic_ns())

        second = partial(heat, plan.targets[1:], plan.last, plan.tries)
        winner: _Heat | None = None
        try:
            winner = await race(heat(plan.targets[:1], (), 0), second, plan.hedge_s, allows)
            account.become(winner.passage.account)
            held.push_async_exit(winner.held.pop_all())
            return winner.opened
        finally:
            losers = [one for one in heats if one is not winner]
            for one in losers:  # one may have answered, too, or just when the client left
                one.passage.give_up()
            account.tried = [tried for one in heats for tried in one.passage.account.tried]
            if account.attempt is None and account.tried:  # nobody won
                account.attempt = Attempt(len(account.tried), account.tried[-1].target)
                account.lost_n = account.attempt.n
            # In tasks of their own, which a second cancellation of this one does not end.
            await asyncio.wait([asyncio.create_task(one.held.aclose()) for one in heats])

    async def open(self, held: AsyncExitStack, made: int = 0) -> _Opened:
        """Make attempts until one shows content. `held` has what the last attempt opened."""
        account, world = self.account, self._world
        plan = account.plan
        tries = attempts(plan, random.random, made)
        attempt = next(tries)
        while True:
            if attempt.delay_s:
                await asyncio.sleep(attempt.delay_s)
            account.attempt = attempt
            began_ns = world.clock.monotonic_ns()
            try:
                opened = await self._try(attempt, held, began_ns)
            except UpstreamError as failed:
                error = failed
                hide_key(error, self._backends[attempt.target.provider].secrets)
            else:
                account.first_event_ns = world.clock.monotonic_ns()
                if account.ticket is not None:
                    world.observer.answered(account.ticket, (account.first_event_ns - opened.began_ns) / 1e9)
                return opened
            await held.aclose()  # before the next attempt begins
            is_ambiguous = account.sent and isinstance(error, AMBIGUOUS) and not self._may_repeat(plan)
            asked = account.ticket is not None and not isinstance(error, HeldBack)
            self._lose(error)
            if account.has_left:  # for nobody there is no second attempt
                raise asyncio.CancelledError
            if is_ambiguous:
                error.is_ambiguous = True
                raise error
            try:
                attempt = tries.send(error)
            except StopIteration:
                raise _verdict(account, error) from error
            now_ns = world.clock.monotonic_ns()
            if now_ns - account.call.arrived_ns > plan.total_s * 1e9 or (
                (asked or attempt.anyhow) and not world.retries.take(now_ns)
            ):
                raise _verdict(account, error)

    def give_up(self) -> None:
        """Nobody waits for the attempt that runs: what it may have cost is booked."""
        account = self.account
        ticket, account.ticket = account.ticket, None
        if ticket is not None:
            self._world.observer.ended(ticket, None)
        self._world.settler.absorb(account, Slower("another provider was faster"))

    def _lose(self, error: UpstreamError) -> None:
        account = self.account
        ticket, account.ticket = account.ticket, None
        if ticket is not None:
            self._world.observer.ended(ticket, error)
        self._world.settler.absorb(account, error)

    def _may_repeat(self, plan: Plan) -> bool:
        """May a provider be asked again that may have answered, and charged, already?"""
        return plan.ambiguous == "always" or (plan.ambiguous == "free" and self.account.quote.priced == "free")

    async def _try(self, attempt: Attempt, held: AsyncExitStack, began_ns: int) -> _Opened:
        """Has a place at the target until `held` closes: before the budget, for who waits holds no money."""
        admission, target = self._world.admission, attempt.target
        if admission is None:
            return await self._ask(attempt, held, began_ns)
        slot = admission.enter(target, began_ns, held) or await admission.wait(self.account, target, held)
        try:
            opened = await self._ask(attempt, held, slot.began_ns)
        except UpstreamError as error:
            slot.failed(error)
            raise
        slot.answered(self.account.call.request)
        return opened

    async def _ask(self, attempt: Attempt, held: AsyncExitStack, began_ns: int) -> _Opened:
        account, world, target = self.account, self._world, attempt.target
        call, backend = account.call, self._backends[target.provider]
        timeouts = _until(call.deadline_ns, began_ns, backend.timeouts) if call.deadline_ns else backend.timeouts
        account.ticket = world.catalog.vitals.began(target, anyhow=attempt.anyhow)
        world.limits.attempt(account, backend, target.model, held)
        tongue = backend.tongue(call.request.operation, call.dialect, target.model)
        if tongue is None:  # routing asks only those that can, but not each of their models can all
            raise ModelGone(f"{backend.name} cannot {call.request.operation} with {target.model}", param="model")
        output_tokens = await world.cashier.hold(account, backend)
        request = _request(call, tongue, attempt, output_tokens)
        url = backend.address(tongue, target.model)
        exchange = world.transport.exchange(url, backend.signed(request, target.key), timeouts)
        account.sent = True
        try:
            reply = await held.enter_async_context(exchange)
        except ConnectFailed:
            account.sent = False
            raise
        if reply.status != 200:
            account.sent = False
            raise await _refusal(backend, tongue, reply)
        decoder = _decoder(call, tongue, reply)
        events, ended = await self._first_content(decoder, reply, timeouts.first_byte_s)
        return _Opened(backend, attempt, request.dropped, output_tokens, reply, decoder, events, ended, began_ns)

    async def _first_content(self, decoder: Decoder, reply: Reply, limit_s: float) -> tuple[list[Event], bool]:
        """Events up to and with the first content, and whether the reply ended with them.

        The transport bounds the wait for each piece; a provider that only sends comments is bounded here.
        """
        clock = self._world.clock
        deadline_ns = clock.monotonic_ns() + int(limit_s * 1e9)
        events: list[Event] = []
        size_bytes = 0
        while True:
            piece = await reply.read()
            fresh = decoder.feed(piece) if piece else decoder.eof()
            events += fresh
            if any(map(has_content, fresh)):
                return events, not piece
            if not piece:
                raise EmptyStream("the provider's reply was empty")
            size_bytes += len(piece)
            is_stream = self.account.call.request.stream  # nothing of a whole reply shows before it is all here
            if is_stream and (len(events) > MAX_SILENT_EVENTS or size_bytes > MAX_SILENT_BYTES):
                raise BadUpstream("the provider's reply does not begin")
            if clock.monotonic_ns() > deadline_ns:
                raise NoFirstEvent(f"no first token within {limit_s:g} s")

    def _served(self, opened: _Opened) -> Served:
        account, clock = self.account, self._world.clock
        arrived_ns = account.call.arrived_ns
        return Served(
            id=account.call.id,
            created_s=clock.unix_s(),
            provider=opened.backend.name,
            model=opened.attempt.target.model,
            cost=account.cost_micros,
            input_tokens=input_guess(account.call.request) if account.call.request.stream else 0,
            first_event_ns=account.first_event_ns - arrived_ns,
            elapsed_ns=lambda: clock.monotonic_ns() - arrived_ns,
        )

    def _headers(self, opened: _Opened) -> list[tuple[bytes, bytes]]:
        account = self.account
        total_ns = account.first_event_ns - account.call.arrived_ns
        target = opened.attempt.target
        headers = [
            (b"x-hoosh-provider", _header(target.provider)),
            (b"x-hoosh-model", _header(target.model)),
            (b"x-hoosh-attempts", b"%d" % opened.attempt.n),
            (b"x-hoosh-route", account.decision.told if account.decision else b""),
            (b"x-hoosh-config", b"%d" % self._world.generation),
            (b"server-timing", b"first-event;dur=%.2f" % (total_ns / 1e6)),
        ]
        if account.cache:
            headers.append((b"x-hoosh-cache", account.cache.encode()))
        if opened.output_tokens:
            headers.append((b"x-hoosh-max-tokens", b"%d" % opened.output_tokens))
        if opened.dropped:
            headers.append((b"x-hoosh-dropped", _header(", ".join(opened.dropped)[:MAX_DROPPED_CHARS])))
        return headers


class _Heat:
    """One of two that race: it has an account and resources of its own, and gives them up if it does not win."""

    opened: _Opened

    def __init__(self, passage: _Passage, made: int) -> None:
        self.passage = passage
        self.held = AsyncExitStack()
        self._made = made

    async def run(self) -> "_Heat":
        try:
            self.opened = await self.passage.open(self.held, self._made)
        except BaseException:
            self.passage.give_up()
            await self.held.aclose()
            raise
        return self


def _until(deadline_ns: int, now_ns: int, timeouts: Timeouts) -> Timeouts:
    """Raises DeadlineExceeded."""
    left_s = (deadline_ns - now_ns) / 1e9
    if left_s <= 0:
        raise DeadlineExceeded("the time that the request gave was over before anybody answered")
    return Timeouts(
        connect_s=min(timeouts.connect_s, left_s),
        first_byte_s=min(timeouts.first_byte_s, left_s),
        idle_s=min(timeouts.idle_s, left_s),
        total_s=min(timeouts.total_s, left_s),
    )


def _request(call: Call, tongue: Tongue, attempt: Attempt, output_tokens: int) -> WireRequest:
    """`output_tokens` is the limit on each answer that its budget sets, 0 for none."""
    dialect, model, ways = tongue.dialect, attempt.target.model, tongue.ways
    if dialect.name != call.dialect:
        asked = limited(call.request, output_tokens) if output_tokens else call.request
        request = dialect.render(asked, model, ways)
        if not call.headers:
            return request
        unsaid = tuple(name.decode() for name, _ in call.headers)
        return WireRequest(request.path, request.body, request.method, request.headers, request.dropped + unsaid)
    if output_tokens:
        quirks = (limit_output(dialect.name, output_tokens), *ways.quirks)
        ways = msgspec.structs.replace(ways, quirks=quirks)
    request = dialect.pass_on(call.request, call.body, model, ways)
    if not call.headers:
        return request
    return WireRequest(request.path, request.body, request.method, request.headers + call.headers, request.dropped)


def _decoder(call: Call, tongue: Tongue, reply: Reply) -> Decoder:
    dialect, request = tongue.dialect, call.request
    splitter = dialect.splitter(request, reply.headers.get(b"content-type", b""))
    reader = dialect.reader(request, tongue.ways)
    return PassingOn(splitter, reader) if dialect.name == call.dialect else Translating(splitter, reader)


async def _refusal(backend: Backend, tongue: Tongue, reply: Reply) -> UpstreamError:
    if reply.status < 400:
        return BadUpstream(f"{backend.name} answered with status {reply.status}")
    body = b""
    while len(body) < MAX_REFUSAL_BYTES and (piece := await reply.read()):
        body += piece
    error = tongue.dialect.refusal(reply.status, reply.headers, body)
    if error.retry_after_s is not None:  # so is the client told: whoever rests is asked again then
        error.retry_after_s = min(error.retry_after_s, MAX_REST_S)
    return error


def _verdict(account: Account, last: UpstreamError) -> HooshError:
    """One failure is told as it is; several are told together, as what the last one was."""
    if last.verdict in ("stop", "wider", "content"):
        return last
    if account.decision is not None and not account.plan.targets:  # only those were asked that are left alone
        return nobody(account.call.request.model, account.decision)
    if len(account.tried) == 1:
        return last
    tried = "; ".join(f"{tried.target}: {tried.error.message}" for tried in account.tried)
    return Exhausted(f"All {len(account.tried)} attempts failed: {tried}", last)


def _header(text: str) -> bytes:
    return text.encode("latin-1", "replace") if text.isprintable() else b"?"
