"""Engine.serve over scripted providers: what the client sees, and what is owed."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from engine_world import BODY, CUT, DONE, FINISH, GOOD, HELLO, ROLE, USAGE, WORLD, Stage, Step, frame
from hoosh.core.call import Outcome, Wishes
from hoosh.core.errors import ConnectFailed, Refused, Throttled
from hoosh.core.pool import Terms


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    asyncio.run(main())


def test_a_stream_passes_through_and_is_settled_by_its_reported_usage() -> None:
    async def scene() -> None:
        stage = Stage(one=GOOD)
        await stage.serve()
        await stage.check()
        assert stage.outcome is Outcome.OK
        assert stage.sink.out.startswith(ROLE + HELLO + WORLD + FINISH)
        assert stage.sink.out.endswith(DONE)
        assert b'"prompt_tokens":5' in stage.sink.out
        (line,) = stage.budgets.lines
        assert (line.usage.input, line.usage.output, line.usage.source) == (5, 2, "reported")
        assert stage.sink.headers[b"x-hoosh-provider"] == b"one"
        assert stage.sink.headers[b"x-hoosh-attempts"] == b"1"

    run(scene)


def test_the_next_provider_is_tried_until_the_first_content() -> None:
    async def scene() -> None:
        stage = Stage(down=[ConnectFailed("refused")], empty=[ROLE, DONE], cut=[ROLE, CUT], good=GOOD)
        await stage.serve()
        await stage.check()
        assert stage.transport.asked == ["down", "down", "empty", "cut", "good"]
        assert stage.sink.out.count(ROLE) == 1
        assert stage.sink.headers[b"x-hoosh-attempts"] == b"5"
        assert [line.absorbed for line in stage.budgets.lines] == [True, True, True, True, False]
        assert [line.id for line in stage.budgets.lines] == [f"call.{n}" for n in range(1, 6)]

    run(scene)


def test_after_the_first_content_nothing_else_is_tried_and_the_error_is_told_in_band() -> None:
    async def scene() -> None:
        stage = Stage(cut=[ROLE, HELLO, CUT], good=GOOD)
        await stage.serve()
        await stage.check()
        assert stage.transport.asked == ["cut"]
        assert stage.sink.started
        assert stage.sink.error is CUT
        assert stage.sink.closed == 0
        assert stage.outcome is Outcome.FAILED
        (line,) = stage.budgets.lines
        assert line.usage.source == "estimated"
        assert line.usage.output > 0

    run(scene)


def test_a_stream_that_ends_without_a_finish_is_an_error_and_never_done() -> None:
    async def scene() -> None:
        stage = Stage(cut=[ROLE, HELLO])
        await stage.serve()
        await stage.check()
        assert stage.sink.error is not None
        assert DONE not in stage.sink.out

    run(scene)


def test_a_refused_request_is_not_tried_elsewhere() -> None:
    async def scene() -> None:
        stage = Stage(picky=[Refused("no such field", upstream_status=400)], good=GOOD)
        await stage.serve()
        await stage.check()
        assert stage.transport.asked == ["picky"]
        assert stage.sink.error is not None
        assert stage.sink.error.status == 400

    run(scene)


def test_when_all_fail_the_last_cause_gives_the_status_and_all_are_named() -> None:
    async def scene() -> None:
        stage = Stage(tries=1, a=[ConnectFailed("refused")], b=[Throttled("slow down", retry_after_s=7.0)])
        await stage.serve()
        await stage.check()
        error = stage.sink.error
        assert error is not None
        assert (error.status, error.code, error.retry_after_s) == (429, "rate_limit_exceeded", 7.0)
        assert "a/m: refused" in error.message
        assert "b/m: slow down" in error.message

    run(scene)


def test_a_budget_that_is_too_small_refuses_before_any_provider_is_asked() -> None:
    async def scene() -> None:
        stage = Stage(one=GOOD)
        stage.budgets.capacity = 10
        await stage.serve()
        await stage.check()
        assert stage.transport.asked == []
        assert stage.sink.error is not None
        assert stage.sink.error.code == "budget_exceeded"

    run(scene)


def test_an_unknown_model_is_rejected_with_nothing_reserved() -> None:
    async def scene() -> None:
        stage = Stage(one=GOOD)
        await stage.serve(BODY.replace(b'"model":"m"', b'"model":"mm"'))
        await stage.check()
        assert stage.outcome is Outcome.REJECTED
        assert stage.sink.error is not None
        assert stage.sink.error.status == 404
        assert stage.budgets.lines == []

    run(scene)


def test_a_wish_for_a_provider_is_obeyed() -> None:
    async def scene() -> None:
        stage = Stage(one=GOOD, two=GOOD)
        await stage.serve(wishes=Wishes(provider="two"))
        assert stage.transport.asked == ["two"]

    run(scene)


def test_a_bug_is_settled_as_crashed_and_not_swallowed() -> None:
    async def scene() -> None:
        stage = Stage(one=[ROLE, HELLO, RuntimeError("bug")])
        with pytest.raises(RuntimeError):
            await stage.serve()
        await stage.check()
        assert stage.outcome is Outcome.CRASHED

    run(scene)


def test_a_body_that_is_not_streamed_comes_whole_with_the_gateways_fields() -> None:
    async def scene() -> None:
        whole: Step = (
            b'{"id":"x","odd":[1, 2],"choices":[{"index":0,"message":{"role":"assistant","content":"Paris"},'
            b'"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
        )
        stage = Stage(one=[whole])
        await stage.serve(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}')
        await stage.check()
        answer = msgspec.json.decode(stage.sink.out)
        assert answer["odd"] == [1, 2]
        assert answer["usage"]["provider"] == "one"
        assert not stage.sink.started

    run(scene)


def test_usage_asked_of_the_provider_is_held_back_from_a_client_that_did_not_ask() -> None:
    async def scene() -> None:
        stage = Stage(one=GOOD)
        await stage.serve(b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}')
        await stage.check()
        assert b"include_usage" in stage.transport.requests[0].body
        assert b'"usage"' not in stage.sink.out
        assert stage.budgets.lines[0].usage.total == 7
        assert USAGE not in stage.sink.out

    run(scene)


@pytest.mark.parametrize("text", ["\u6c34" * 1500, "\u6c34" * 9000, "x" * 4500, "x" * 27_000])
def test_a_growing_answer_holds_a_token_for_each_byte_whatever_it_is_written_in(text: str) -> None:
    """A token may be a single byte of a character of three."""

    async def main() -> None:
        pieces = [frame(content=text[n : n + 900]) for n in range(0, len(text), 900)]
        stage = Stage(good=(ROLE, *pieces, FINISH, DONE))
        stage.budgets.under = Terms(pools=("default",), is_capped=True, allows_unbounded=False, top_up=True)
        await stage.serve()
        (line,) = stage.budgets.lines
        assert line.hold.amount.tokens > len(text.encode())
        assert stage.budgets.extended

    asyncio.run(main())


def test_a_growing_answer_holds_enough_for_a_piece_that_is_large() -> None:
    async def main() -> None:
        stage = Stage(good=(ROLE, frame(content="x" * 50_000), FINISH, DONE))
        stage.budgets.under = Terms(pools=("default",), is_capped=True, allows_unbounded=False, top_up=True)
        await stage.serve()
        (line,) = stage.budgets.lines
        assert line.hold.amount.tokens > 50_000

    asyncio.run(main())
