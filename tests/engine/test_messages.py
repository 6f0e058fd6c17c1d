"""A client of Anthropic's before providers of its own dialect and of others: bytes, headers, what is charged."""

import asyncio
from collections.abc import Awaitable, Callable

from engine_world import GOOD, Stage
from hoosh.core.call import Call
from hoosh.dialects import ClientDialect
from hoosh.dialects.anthropic_messages import COUNT, DIALECT
from hoosh.engine.backend import Backend, tongues_of
from hoosh.providers.anthropic import PROVIDER

BODY = b'{ "model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"stream":true,"novel":1.50}'
BETA = (b"anthropic-beta", b"a-1,b-2")
REPLY = (
    b'event: message_start\ndata: {"type": "message_start", "message": {"id": "msg_9", "usage": {"input_tokens": 3}}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}\n\n'
    b'event: new\ndata: {"type": "new"}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
    b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
)


class Claude(Stage):
    """Before Anthropic."""

    @staticmethod
    def _backend(name: str) -> Backend:
        tongues = tongues_of(PROVIDER)
        return Backend(
            name=name, provider=PROVIDER, base_url=f"http://fake/{name}", models=("m", "claude-x"), tongues=tongues
        )


async def serve(stage: Stage, body: bytes, dialect: ClientDialect = DIALECT) -> None:
    asked = dialect.parse(body)
    call = Call(id="call", dialect=dialect.name, request=asked, body=body, headers=(BETA,))
    await stage.engine.serve(call, dialect, stage.sink)
    await stage.check()


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    asyncio.run(main())


def test_bytes_and_betas_go_to_anthropic_and_back_as_they_are() -> None:
    async def scene() -> None:
        stage = Claude(one=[REPLY[:50], REPLY[50:]])
        await serve(stage, BODY)
        (request,) = stage.transport.requests
        assert request.body == BODY
        assert BETA in request.headers
        assert stage.sink.out == REPLY
        assert b"x-hoosh-dropped" not in stage.sink.headers
        assert stage.budgets.lines[0].usage.input == 3

    run(scene)


def test_betas_are_no_words_of_another_provider_and_that_is_told() -> None:
    async def scene() -> None:
        stage = Stage(one=GOOD)
        await serve(stage, BODY)
        (request,) = stage.transport.requests
        assert BETA[0] not in dict(request.headers)
        assert stage.sink.headers[b"x-hoosh-dropped"] == b"extra.novel, anthropic-beta"
        assert b'"text":"Hello"' in stage.sink.out
        assert stage.sink.out.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')

    run(scene)


def test_a_count_is_asked_of_anthropic_and_charges_nothing() -> None:
    async def scene() -> None:
        stage = Claude(one=[b'{"input_tokens": 14}'])
        stage.budgets.capacity = 0
        await serve(stage, b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}', COUNT)
        (request,) = stage.transport.requests
        assert request.path == "/v1/messages/count_tokens"
        assert stage.sink.error is None
        assert stage.sink.out == b'{"input_tokens": 14}'
        assert [line.usage.total for line in stage.budgets.lines] == [0]

    run(scene)
