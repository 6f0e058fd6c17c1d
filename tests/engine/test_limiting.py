"""Where limits stand in a call's life: the caller's before any provider is asked, a provider's before it is asked."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from engine_world import BODY, CUT, GOOD, HELLO, ROLE, Stage
from hoosh.core.asked import ChatRequest, CountRequest
from hoosh.core.call import Call, Outcome
from hoosh.core.errors import ConnectFailed, HeldBack, RateLimited
from hoosh.core.limit import Limit
from hoosh.core.principal import ANONYMOUS, KeyLimits, Principal
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.engine import Engine
from hoosh.engine.limiting import Limiting
from hoosh.policy.estimate import bound
from hoosh.stores.limits_memory import MemoryLimits

REPORTED_TOKENS = 7  # what GOOD says it used
TPM = 6000  # so slow that the clock of the stage brings next to nothing back
ENOUGH = Limit("pool", "default", tpm=TPM)


def free(stage: Stage, limit: Limit) -> int:
    (gauge,) = stage.limits.gauges([limit])
    return gauge.free


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


def test_a_caller_beyond_its_limit_is_refused_before_anything_else() -> None:
    async def scene() -> None:
        stage = Stage(Engine, [Limit("pool", "default", rpm=1)], one=GOOD)
        await stage.serve()
        account = await stage.serve(BODY.replace(b'"m"', b'"no-such-model"'))
        error = account.error
        assert isinstance(error, RateLimited)
        assert (error.status, error.code, error.kind, error.param) == (
            429,
            "rate_limit_exceeded",
            "rate_limit_error",
            None,
        )
        assert error.message.startswith(
            "Rate limit reached for pool 'default' on requests per minute (RPM): limit 1, used 1, requested 1. "
            "Please try again in 59."
        )
        assert error.retry_after_s is not None
        assert 59 < error.retry_after_s < 60
        assert account.outcome is Outcome.REJECTED
        assert stage.transport.asked == ["one"]
        assert [line.id for line in stage.budgets.lines] == ["call.1"]

    run(scene())


def test_what_a_call_did_not_use_is_given_back() -> None:
    async def scene() -> None:
        theirs = Limit("provider", "one", tpm=TPM)
        stage = Stage(Engine, [ENOUGH, theirs], one=GOOD)
        await stage.serve()
        for limit in (ENOUGH, theirs):
            assert TPM - REPORTED_TOKENS <= free(stage, limit) < TPM
        await stage.check()

    run(scene())


def test_a_broken_answer_is_charged_what_was_seen_of_it() -> None:
    async def scene() -> None:
        stage = Stage(Engine, [ENOUGH], tries=1, cut=[ROLE, HELLO, CUT])
        account = await stage.serve()
        assert account.outcome is Outcome.FAILED
        assert account.billed is not None
        assert TPM - account.billed.total <= free(stage, ENOUGH) < TPM
        await stage.check()

    run(scene())


def test_while_a_call_runs_its_bound_is_held() -> None:
    async def scene() -> None:
        stage = Stage(Engine, [ENOUGH], one=GOOD)
        task = asyncio.create_task(stage.serve())
        await asyncio.sleep(0)
        held = bound(DIALECT.parse(BODY))
        assert TPM - held <= free(stage, ENOUGH) < TPM - held + 5
        second = await stage.serve()
        assert isinstance(second.error, RateLimited)
        words = f"on tokens per minute (TPM): limit {TPM}, used {held}, requested {held}. Please try again in 2"
        assert words in second.error.message
        task.cancel()
        await asyncio.wait([task])
        assert free(stage, ENOUGH) == TPM

    run(scene())


def test_a_provider_at_its_limit_is_passed_over_and_is_not_called_down() -> None:
    async def scene() -> None:
        stage = Stage(Engine, [Limit("provider", "one", concurrency=1)], tries=1, one=GOOD, two=GOOD)
        taken = stage.limits.take([Limit("provider", "one", concurrency=1)], 0)
        for _ in range(5):
            account = await stage.serve()
            assert account.outcome is Outcome.OK
            assert isinstance(account.tried[0].error, HeldBack)
        assert stage.transport.asked == ["two"] * 5
        assert stage.catalog.standing("one").failures == 0
        taken.give_back(0)  # type: ignore[union-attr]
        await stage.serve()
        assert stage.transport.asked[5:] == ["one"]

    run(scene())


def test_where_all_are_at_their_limit_the_client_is_told_429() -> None:
    async def scene() -> None:
        stage = Stage(Engine, [Limit("provider", "one", rpm=6, burst_part=10)], tries=1, one=GOOD)
        await stage.serve()
        account = await stage.serve()
        assert account.outcome is Outcome.FAILED
        assert account.error is not None
        assert (account.error.status, account.error.code) == (429, "rate_limit_exceeded")
        assert "provider 'one' on requests per minute (RPM): limit 6, 1 at once, used 1" in account.error.message

    run(scene())


def test_each_attempt_takes_of_its_provider_and_one_call_takes_once_of_its_caller() -> None:
    async def scene() -> None:
        pool, one = Limit("pool", "default", rpm=1000), Limit("provider", "one", rpm=1000)
        stage = Stage(Engine, [pool, one], tries=3, one=[ConnectFailed("refused")])
        await stage.serve()
        assert (free(stage, pool), free(stage, one)) == (999, 997)

    run(scene())


class Still:
    def monotonic_ns(self) -> int:
        return 10**9

    def unix_s(self) -> int:
        return 0


def test_who_is_under_which_limits() -> None:
    pool, parent, agent = Limit("pool", "p", rpm=1), Limit("pool", "all", rpm=2), Limit("pool", "a", rpm=3)
    limiting = Limiting(
        MemoryLimits(Still()), pools={"p": (pool, parent)}, agents={"tarang": (agent, parent)}, models=()
    )
    own = Limit("key", "laptop", tpm=5)
    caller = Principal("laptop", "p", limits=KeyLimits(tpm=5))
    assert limiting.of_caller(ANONYMOUS, "", "") == ()
    assert limiting.of_caller(ANONYMOUS, "p", "") == (pool, parent)
    assert limiting.of_caller(ANONYMOUS, "", "tarang") == (agent, parent)
    assert limiting.of_caller(caller, "", "other") == (own, pool, parent)
    assert limiting.of_caller(caller, "p", "tarang") == (own, pool, parent, agent)
    assert limiting.of_caller(caller, "q", "") == (own,)


def test_counting_takes_a_request_and_no_tokens() -> None:
    limits = MemoryLimits(Still())
    limiting = Limiting(limits, pools={}, agents={}, models=())
    caller = Principal("laptop", "p", limits=KeyLimits(rpm=10, tpm=10_000))
    chat = DIALECT.parse(BODY)
    assert isinstance(chat, ChatRequest)
    for request in (CountRequest(chat=chat), chat):
        permit = limiting.admit(Call(id="1", dialect="d", request=request, body=b"", principal=caller))
        assert permit is not None
    free_now = {gauge.resource: gauge.free for gauge in limits.gauges(limiting.of_caller(caller, "", ""))}
    assert free_now == {"requests": 8, "tokens": 10_000 - bound(chat)}
