"""The cache in the engine: one call asks for all that are the same, and whoever leaves, nobody else is harmed."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from engine_world import BODY, CUT, FINISH, GOOD, HELLO, ROLE, FakeClock, FakeSink, Script, Stage
from hoosh.core.cache_wish import CacheWish
from hoosh.core.cached import CacheRules
from hoosh.core.call import Account, Call, Outcome, Wishes
from hoosh.core.errors import BudgetExceeded, ConnectFailed, DeadlineExceeded
from hoosh.core.principal import Principal
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.caching import Cached, Caching
from hoosh.engine.draining import Drains
from hoosh.stores.answers_memory import MemoryAnswers

WHOLE = BODY.replace(b'"stream":true,"stream_options":{"include_usage":true}', b'"n":1')
FILTERED = FINISH.replace(b'"stop"', b'"content_filter"')
Scene = Callable[["Cache"], Coroutine[object, object, None]]


class Cache:
    """A stage whose engine has a cache; each call has a sink of its own."""

    def __init__(self, rules: CacheRules, **scripts: Script) -> None:
        self.stage = Stage(tries=1, hedge_s=0.0, **scripts)
        self.cached = Cached(MemoryAnswers(), FakeClock())
        self.caching = Caching(rules, self.cached)
        engine = self.stage.engine
        engine.world = msgspec.structs.replace(engine.world, caching=self.caching)
        self._ids = itertools.count()

    async def ask(self, body: bytes = BODY, key: str = "", deadline_ns: int = 0, **wish: Any) -> "Told":
        told = Told()
        await self.serve(told, body, key, deadline_ns, **wish)
        return told

    async def serve(self, told: "Told", body: bytes, key: str = "", deadline_ns: int = 0, **wish: Any) -> None:
        call = Call(
            id=f"call{next(self._ids)}",
            dialect="openai_chat",
            request=DIALECT.parse(body),
            body=body,
            wishes=Wishes(cache=CacheWish(**wish)),
            principal=Principal(key_id=key, pool="default"),
            deadline_ns=deadline_ns,
        )
        told.account = Account(call)
        await self.stage.engine.run(told.account, DIALECT, told.sink)

    def start(self, **wish: Any) -> "Running":
        told = Told()
        return Running(told, asyncio.ensure_future(self.serve(told, BODY, **wish)))

    @property
    def asked(self) -> int:
        return len(self.stage.transport.asked)

    async def check(self) -> None:
        """Nothing is left over."""
        stage = self.stage
        receipts = [receipt.call_id for receipt in stage.journal.receipts]
        assert len(receipts) == len(set(receipts)), "each call settled once"
        lines = [line.id for line in stage.budgets.lines]
        assert len(lines) == len(set(lines)), "each attempt settled once"
        assert not stage.budgets.held
        assert stage.transport.open == 0
        assert stage.engine.running == 0
        assert not self.cached.flights
        assert len(asyncio.all_tasks()) == 1
        assert all(meter.running == 0 for meter in stage.limits._meters.values())


class Told:
    account: Account

    def __init__(self) -> None:
        self.sink = FakeSink()

    @property
    def use(self) -> str:
        return self.account.cache


class Running:
    def __init__(self, told: Told, task: "asyncio.Future[None]") -> None:
        self.told = told
        self.task = task


def play(scene: Scene, rules: CacheRules = CacheRules(), **scripts: Script) -> None:
    async def main() -> None:
        cache = Cache(rules, **(scripts or {"good": GOOD}))
        await scene(cache)
        await steps(3)
        await cache.check()

    asyncio.run(main())


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_hit_is_what_was_answered_and_costs_nothing() -> None:
    async def scene(cache: Cache) -> None:
        first, second = await cache.ask(), await cache.ask()
        assert (first.use, second.use) == ("miss", "hit")
        assert second.sink.out == first.sink.out
        assert second.sink.headers[b"x-hoosh-cache"] == b"hit"
        assert second.sink.headers[b"age"] == b"0"
        assert cache.asked == 1
        paid, free = cache.stage.budgets.lines
        assert (paid.usage.total, paid.cache_hit) == (7, False)
        assert (free.usage.total, free.micros, free.cache_hit, free.hold.amount.tokens) == (0, 0, True, 0)
        receipt = cache.stage.journal.receipts[1]
        assert (receipt.outcome, receipt.cache, receipt.usage.total, receipt.cost_micros) == (Outcome.OK, "hit", 0, 0)

    play(scene)


def test_streams_and_whole_answers_share_an_entry() -> None:
    async def scene(cache: Cache) -> None:
        await cache.ask()
        whole = await cache.ask(WHOLE)
        assert whole.use == "hit"
        assert whole.sink.content_type == b"application/json"
        answer = msgspec.json.decode(whole.sink.out)
        assert answer["choices"][0]["message"]["content"] == "Hello world"
        assert answer["usage"]["total_tokens"] == 7
        assert answer["usage"]["cost_micro_usd"] == 0

    play(scene)


def test_a_whole_answer_is_told_a_stream_in_pieces() -> None:
    text = "word " * 100
    reply = msgspec.json.encode(
        {"id": "x", "model": "m", "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
    )

    async def scene(cache: Cache) -> None:
        cache.stage.transport.content_type = b"application/json"
        await cache.ask(WHOLE)
        streamed = await cache.ask()
        assert streamed.use == "hit"
        chunks = [msgspec.json.decode(line[6:]) for line in streamed.sink.out.split(b"\n\n")[:-2]]
        said = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
        assert "".join(said) == text
        assert len(said) > 5

    play(scene, good=[reply])


@pytest.mark.parametrize(
    ("wish", "second", "third"),
    [
        ({}, "hit", "hit"),
        ({"writes": False}, "miss", "miss"),
        ({"reads": False}, "miss", "miss"),
        ({"reads": False, "writes": False}, "off", "off"),
        ({"max_age_s": 0}, "hit", "hit"),
    ],
)
def test_what_a_caller_lets_it_do(wish: dict[str, Any], second: str, third: str) -> None:
    async def scene(cache: Cache) -> None:
        await cache.ask(**wish)
        assert (await cache.ask(**wish)).use == second
        assert (await cache.ask(**wish)).use == third
        kept = cache.cached.memory.standing.entries
        assert kept == (0 if wish.get("writes") is False else 1)

    play(scene)


class LaterClock(FakeClock):
    later_s = 0

    def unix_s(self) -> int:
        return super().unix_s() + self.later_s


@pytest.mark.parametrize(("ttl_s", "later_s", "use"), [(100, 89, "hit"), (100, 111, "miss"), (0, 10**9, "hit")])
def test_an_answer_has_its_time(ttl_s: float, later_s: int, use: str) -> None:
    async def scene(cache: Cache) -> None:
        clock = cache.cached.clock = LaterClock()
        await cache.ask()
        clock.later_s = later_s
        told = await cache.ask()
        assert told.use == use
        if use == "hit":
            assert told.sink.headers[b"age"] == b"%d" % later_s

    play(scene, CacheRules(ttl_s=ttl_s))


def test_an_answer_that_is_older_than_a_caller_wants_is_asked_for_anew() -> None:
    async def scene(cache: Cache) -> None:
        clock = cache.cached.clock = LaterClock()
        await cache.ask()
        clock.later_s = 10
        assert (await cache.ask(max_age_s=10)).use == "hit"
        assert (await cache.ask(max_age_s=9)).use == "miss"
        assert (await cache.ask(max_age_s=9)).use == "hit"

    play(scene)


def test_who_is_not_the_tenant_gets_nothing() -> None:
    async def scene(cache: Cache) -> None:
        await cache.ask(key="a")
        assert (await cache.ask(key="b")).use == "miss"
        memory = cache.cached.memory
        for kept in list(memory._kept.values()):  # type: ignore[attr-defined]
            memory.put(msgspec.structs.replace(kept, tenant="key:c"), 1 << 20)
        assert (await cache.ask(key="a")).use == "miss"

    play(scene)


@pytest.mark.parametrize(
    "script", [[ROLE, HELLO, CUT], [ROLE, HELLO, FILTERED, b"data: [DONE]\n\n"], [ConnectFailed("down")]]
)
def test_what_failed_was_cut_or_filtered_is_not_kept(script: Script) -> None:
    async def scene(cache: Cache) -> None:
        await cache.ask()
        assert cache.cached.memory.standing.entries == 0
        assert (await cache.ask()).use == "miss"
        assert cache.asked == 2

    play(scene, good=script)


def test_what_is_too_large_is_not_kept_and_not_waited_for_twice() -> None:
    async def scene(cache: Cache) -> None:
        running = [cache.start() for _ in range(3)]
        await asyncio.gather(*(one.task for one in running))
        assert [one.told.use for one in running] == ["miss"] * 3
        assert len({one.told.sink.out for one in running}) == 1
        assert cache.cached.memory.standing.entries == 0

    play(scene, CacheRules(max_entry_bytes=100))


def test_one_call_asks_for_all_that_are_the_same() -> None:
    async def scene(cache: Cache) -> None:
        running = [cache.start() for _ in range(9)]  # as many as the limit lets run at once
        await asyncio.gather(*(one.task for one in running))
        assert cache.asked == 1
        assert [one.told.use for one in running] == ["miss"] + ["joined"] * 8
        assert len({one.told.sink.out for one in running}) == 1
        assert sum(line.usage.total for line in cache.stage.budgets.lines) == 7
        assert [line.cache_hit for line in cache.stage.budgets.lines].count(True) == 8

    play(scene)


def test_a_failure_is_told_to_all_who_wait_and_forgotten() -> None:
    async def scene(cache: Cache) -> None:
        running = [cache.start() for _ in range(5)]
        await asyncio.gather(*(one.task for one in running))
        assert cache.asked == 1
        errors = [one.told.sink.error for one in running]
        assert [(error.status, error.message) for error in errors if error] == [(502, "down")] * 5
        assert len(set(map(id, errors))) == 5
        assert (await cache.ask()).use == "miss"
        assert cache.asked == 2

    play(scene, good=[ConnectFailed("down")])


def test_what_only_one_caller_lacks_is_not_told_to_the_others() -> None:
    async def scene(cache: Cache) -> None:
        cache.stage.budgets.capacity = 0
        running = [cache.start() for _ in range(3)]
        await asyncio.gather(*(one.task for one in running))
        assert [type(one.told.sink.error) for one in running] == [BudgetExceeded] * 3
        assert [one.told.use for one in running] == ["miss"] * 3

    play(scene)


def test_a_hit_is_given_to_who_has_no_budget_left() -> None:
    async def scene(cache: Cache) -> None:
        await cache.ask()
        cache.stage.budgets.capacity = 0
        assert (await cache.ask()).use == "hit"

    play(scene)


def test_a_waiter_has_no_more_time_than_it_said() -> None:
    async def scene(cache: Cache) -> None:
        first = cache.start()
        await steps(2)
        late = await cache.ask(deadline_ns=1)
        assert type(late.sink.error) is DeadlineExceeded
        await first.task
        assert first.told.sink.error is None

    play(scene)


def test_who_leaves_harms_nobody() -> None:
    """At every step, any of the three; the other two get the whole answer of one call."""
    for who, after in itertools.product(range(3), range(1, 25)):

        async def scene(cache: Cache, who: int = who, after: int = after) -> None:
            running = [cache.start() for _ in range(3)]
            await steps(after)
            running[who].task.cancel()
            await asyncio.wait([one.task for one in running])
            stay = [one for n, one in enumerate(running) if n != who]
            assert cache.asked <= 1
            assert len({one.told.sink.out for one in stay}) == 1
            assert stay[0].told.sink.out.endswith(b"[DONE]\n\n")
            assert cache.stage.budgets.lines[0].usage.total in (0, 7)

        play(scene)


def test_a_flight_ends_when_its_last_reader_leaves() -> None:
    for order in itertools.permutations(range(3)):

        async def scene(cache: Cache, order: tuple[int, ...] = order) -> None:
            running = [cache.start() for _ in range(3)]
            await steps(6)
            assert cache.stage.transport.open == 1
            for n in order[:2]:
                running[n].task.cancel()
                await steps(3)
                assert cache.stage.transport.open == 1
            running[order[2]].task.cancel()
            await asyncio.wait([one.task for one in running])
            assert all(one.task.cancelled() for one in running)
            assert cache.cached.memory.standing.entries == 0

        play(scene, good=[ROLE, *[HELLO] * 100, *GOOD[2:]])


def test_a_call_whose_client_takes_nothing_more_is_drained_all_the_same() -> None:
    class Full(FakeSink):
        async def write(self, data: bytes) -> None:
            self.started = True
            await asyncio.Event().wait()

    async def scene(cache: Cache) -> None:
        drains = Drains(cache.stage.engine)
        call = Call(id="drained", dialect="openai_chat", request=DIALECT.parse(BODY), body=BODY)
        sink = Full()
        task = asyncio.ensure_future(drains.serve(call, DIALECT, sink))
        while not sink.started:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        while cache.stage.engine.running:
            await asyncio.sleep(0)
        (receipt,) = cache.stage.journal.receipts
        assert (receipt.usage.total, receipt.usage.source) == (7, "reported")
        assert cache.cached.memory.standing.entries == 1

    play(scene)


def test_who_is_cancelled_again_ends_the_flight_and_another_begins_one() -> None:
    """So ends a server that waits no longer: the second cancellation is for good."""

    async def scene(cache: Cache) -> None:
        first, second = cache.start(), cache.start()
        await steps(6)
        first.task.cancel()
        await steps(2)
        assert not first.task.done()
        first.task.cancel()
        await asyncio.wait([first.task, second.task])
        assert first.task.cancelled()
        assert second.told.use == "miss"
        assert second.told.sink.out.endswith(b"[DONE]\n\n")
        assert cache.asked == 2

    play(scene, good=[ROLE, *[HELLO] * 50, *GOOD[2:]])


def test_cancels_at_every_step_twice_leave_nothing_behind() -> None:
    for who, first, second in itertools.product(range(2), range(1, 25), range(3)):

        async def scene(cache: Cache, who: int = who, first: int = first, second: int = second) -> None:
            running = [cache.start(), cache.start()]
            await steps(first)
            running[who].task.cancel()
            await steps(second)
            running[who].task.cancel()
            await asyncio.wait([one.task for one in running])
            assert running[1 - who].told.sink.out.endswith(b"[DONE]\n\n")

        play(scene)
