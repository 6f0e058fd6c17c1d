"""Both clients against servers that refuse, break off, stall or reset."""

import asyncio
import gc
import json
import socket
import threading
from typing import Any

import pytest

import hoosh
from either import KINDS, Kind, ask, in_turn, streamed
from hoosh import AsyncHooshClient, HooshClient, Timeouts
from scripted import CLOSE, PATIENCE_S, RESET, events, reply, scripted

both = pytest.mark.parametrize("kind", KINDS)

ANSWER = reply(json.dumps({"id": "x", "model": "m", "choices": [{"message": {"content": "Salam"}}]}).encode())
HEALTH = reply(b'{"status":"ok"}')
WORD = '{"choices":[{"index":0,"delta":{"content":"Salam"}}]}'
END = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
SHORT = Timeouts(read_s=0.05)


def chat(client: Any) -> Any:
    return client.chat("Hello")


def health(client: Any) -> Any:
    return client.health()


def refused(status: int, *headers: str, **fields: Any) -> bytes:
    return reply(json.dumps({"error": {"message": "no", **fields}}).encode(), *headers, status=status)


# Retries


@both
def test_a_refusal_that_says_when_to_come_back_is_asked_again_with_the_same_id(kind: Kind) -> None:
    with scripted([refused(429, "retry-after: 0"), refused(503, "retry-after: 0"), ANSWER]) as server:
        assert ask(kind, server.url, chat).text == "Salam"
        ids = [request.headers["x-request-id"] for request in server.requests]
        assert len(ids) == 3
        assert len(set(ids)) == 1
        assert len(server.peers) == 1


@both
@pytest.mark.parametrize(
    "refusal", [refused(503), refused(429), refused(500, "retry-after: 0"), refused(429, "retry-after: 3600")]
)
def test_any_other_refusal_is_raised_at_once(kind: Kind, refusal: bytes) -> None:
    with scripted([refusal, ANSWER]) as server:
        with pytest.raises(hoosh.APIStatusError):
            ask(kind, server.url, chat)
        assert len(server.requests) == 1


@both
def test_retries_are_bounded(kind: Kind) -> None:
    with scripted([refused(429, "retry-after: 0")] * 9) as server:
        with pytest.raises(hoosh.RateLimitError) as raised:
            ask(kind, server.url, chat, max_retries=3)
        assert raised.value.retry_after_s == 0
        assert len(server.requests) == 4


@both
@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_a_post_that_may_have_been_acted_on_is_not_sent_again(kind: Kind, end: str) -> None:
    with scripted([b"", end], [ANSWER]) as server:
        with pytest.raises(hoosh.APIConnectionError) as raised:
            ask(kind, server.url, chat)
        assert raised.value.sent
        assert len(server.requests) == 1


@both
def test_a_get_that_was_not_answered_is_sent_again(kind: Kind) -> None:
    with scripted([b"", CLOSE], [HEALTH]) as server:
        assert ask(kind, server.url, health).status == "ok"
        assert len(server.requests) == 2


@both
def test_nobody_listens(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(hoosh.APIConnectionError, match=f"cannot reach {url}: ") as raised:
        ask(kind, url, chat, max_retries=0)
    assert not raised.value.sent
    assert raised.value.request_id
    assert ask(kind, url, lambda client: client.is_up(), max_retries=0) is False


# Connections


@both
def test_a_connection_is_used_again(kind: Kind) -> None:
    script = [ANSWER, refused(404), events(WORD, END), HEALTH]
    with scripted(script) as server:
        uses = in_turn(chat, not_found, streamed("Hello"), health)
        assert ask(kind, server.url, uses)[3].status == "ok"
        assert len(server.peers) == 1


def not_found(client: Any) -> Any:
    if isinstance(client, HooshClient):
        with pytest.raises(hoosh.NotFoundError):
            client.model("x")
        return None

    async def main() -> None:
        with pytest.raises(hoosh.NotFoundError):
            await client.model("x")

    return main()


@both
@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_a_connection_that_the_server_closed_meanwhile_is_replaced(kind: Kind, end: str) -> None:
    """A POST: sent on the dead connection it would be lost."""
    with scripted([ANSWER, end], [ANSWER]) as server:

        def wait(client: Any) -> Any:
            assert server.peer(0).gone.wait(PATIENCE_S)
            return noticed(client) if isinstance(client, AsyncHooshClient) else None

        async def noticed(client: AsyncHooshClient) -> None:
            while client._caller._idle[0].is_idle():
                await asyncio.sleep(0)

        assert ask(kind, server.url, in_turn(chat, wait, chat))[2].text == "Salam"
        assert [len(peer.requests) for peer in server.peers] == [1, 1]


@both
def test_a_connection_that_spoke_unasked_is_not_used_again(kind: Kind) -> None:
    with scripted([ANSWER + HEALTH], [ANSWER]) as server:
        assert ask(kind, server.url, in_turn(chat, chat))[1].text == "Salam"
        assert [len(peer.requests) for peer in server.peers] == [1, 1]


@both
def test_a_server_that_wants_to_close_is_let(kind: Kind) -> None:
    closing = ANSWER.replace(b"content-type", b"connection: close\r\ncontent-type", 1)
    with scripted([closing], [ANSWER]) as server:
        assert ask(kind, server.url, in_turn(chat, chat))[1].text == "Salam"
        assert server.peers[0].gone.wait(PATIENCE_S)
        assert [len(peer.requests) for peer in server.peers] == [1, 1]


@both
def test_closing_the_client_closes_its_connections(kind: Kind) -> None:
    with scripted([ANSWER]) as server:
        ask(kind, server.url, chat)
        assert server.peers[0].gone.wait(PATIENCE_S)


def test_a_closed_client_says_so() -> None:
    client = HooshClient("http://127.0.0.1:9")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.health()


@both
def test_silence_ends_in_a_timeout_and_is_not_repeated(kind: Kind) -> None:
    for use in (chat, health):
        with scripted([b""]) as server:
            with pytest.raises(hoosh.APITimeoutError, match=r"silent for 0\.05 s"):
                ask(kind, server.url, use, timeouts=SHORT)
            assert server.peers[0].gone.wait(PATIENCE_S)
            assert len(server.requests) == 1


@both
@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-x\r\n", ANSWER[:-3], b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-encoding: gzip\r\n\r\nx"],
)
def test_what_is_no_reply_is_an_error(kind: Kind, answer: bytes) -> None:
    with scripted([answer, CLOSE]) as server, pytest.raises(hoosh.APIConnectionError):
        ask(kind, server.url, chat)


@both
def test_a_body_without_a_length_ends_with_the_connection(kind: Kind) -> None:
    with scripted([b'HTTP/1.1 200 OK\r\n\r\n{"choices":[],"model":"m"}', CLOSE]) as server:
        assert ask(kind, server.url, chat).model == "m"


@both
def test_an_answer_of_another_shape_is_an_error(kind: Kind) -> None:
    for body in (b"<html>", b'{"choices": 7}', b"\xff\xfe"):
        with scripted([reply(body)]) as server, pytest.raises(hoosh.APIError, match="not what it should be"):
            ask(kind, server.url, chat)


# Streams


@both
def test_a_stream_that_breaks_off(kind: Kind) -> None:
    for end in (CLOSE, RESET):
        with scripted([events(WORD, done=False), end], [ANSWER]) as server:
            seen: list[Any] = []
            with pytest.raises(hoosh.APIStreamError):
                ask(kind, server.url, streamed("Hello", seen=seen))
            if end == CLOSE:  # a reset may take with it what was not read yet
                assert [piece.text for piece in seen] == ["Salam"]
            assert len(server.requests) == 1


@both
def test_a_stream_that_ends_well_without_its_terminator(kind: Kind) -> None:
    script = [events(WORD, END, done=False) + b"0\r\n\r\n"]
    with scripted(script) as server, pytest.raises(hoosh.APIStreamError, match="broke off"):
        ask(kind, server.url, streamed("Hello"))


@both
def test_a_stream_that_tells_an_error(kind: Kind) -> None:
    told = '{"error":{"message":"the provider is gone","code":"upstream_error","request_id":"r1"}}'
    seen: list[Any] = []
    with scripted([events(WORD, told)]) as server:
        with pytest.raises(hoosh.APIStreamError, match="the provider is gone") as raised:
            ask(kind, server.url, streamed("Hello", seen=seen))
        assert raised.value.code == "upstream_error"
        assert raised.value.request_id == "r1"
        assert [piece.text for piece in seen] == ["Salam"]


@both
def test_a_stream_that_falls_silent(kind: Kind) -> None:
    with scripted([events(WORD, done=False)]) as server:
        with pytest.raises(hoosh.APIStreamError) as raised:
            ask(kind, server.url, streamed("Hello"), timeouts=Timeouts(read_s=0.3))
        assert raised.value.code == "timeout"
        assert server.peers[0].gone.wait(PATIENCE_S)


@both
def test_a_stream_that_is_refused_is_an_error_before_it_begins(kind: Kind) -> None:
    with scripted([refused(429, "retry-after: 0"), refused(404, code="model_not_found")]) as server:
        with pytest.raises(hoosh.NotFoundError) as raised:
            ask(kind, server.url, streamed("Hello"))
        assert raised.value.code == "model_not_found"


def test_leaving_a_stream_early_closes_its_connection() -> None:
    with scripted([events(WORD, done=False)]) as server, HooshClient(server.url) as client:
        with client.stream("Hello") as stream:
            assert next(stream).text == "Salam"
        assert server.peers[0].gone.wait(PATIENCE_S)
        with pytest.raises(hoosh.APIStreamError, match="closed"):
            next(stream)


def test_another_thread_may_close_a_stream() -> None:
    with scripted([events(WORD, done=False)]) as server, HooshClient(server.url) as client:
        stream = client.stream("Hello")
        assert next(stream).text == "Salam"
        closing = threading.Timer(0.05, stream.close)  # by then the other one most likely reads; it ends in any case
        closing.start()
        with pytest.raises(hoosh.APIStreamError):
            next(stream)
        closing.join()


def test_a_stream_that_is_not_entered_opens_when_it_is_read() -> None:
    with scripted([events(WORD, END)]) as server, HooshClient(server.url) as client:
        stream = client.stream("Hello")
        assert not server.requests
        assert "".join(piece.text for piece in stream) == "Salam"


# Cancelling


def test_a_cancelled_call_closes_its_connection() -> None:
    async def main() -> None:
        async with AsyncHooshClient(server.url) as client:
            task = asyncio.create_task(client.chat("Hello"))
            assert await asyncio.to_thread(lambda: server.peer(0).asked.wait(PATIENCE_S))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.peer(0).gone.wait, PATIENCE_S)

    with scripted([b""]) as server:
        asyncio.run(main())


def test_a_cancelled_stream_closes_its_connection() -> None:
    async def main() -> None:
        async with AsyncHooshClient(server.url) as client:
            begun = asyncio.Event()

            async def read() -> None:
                async with client.stream("Hello") as stream:
                    async for _ in stream:
                        begun.set()

            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.peer(0).gone.wait, PATIENCE_S)

    with scripted([events(WORD, done=False)]) as server:
        asyncio.run(main())


def test_a_cancelled_read_closes_the_connection_by_itself() -> None:
    """Without an `async with` around it."""

    async def main() -> None:
        async with AsyncHooshClient(server.url) as client:
            stream = client.stream("Hello")
            assert (await anext(stream)).text == "Salam"
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.peer(0).gone.wait, PATIENCE_S)

    with scripted([events(WORD, done=False)]) as server:
        asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_client_in_two_loops() -> None:
    """The first loop closes without closing what is open on it, which is what asyncio warns of."""
    with scripted([ANSWER], [ANSWER]) as server:
        client = AsyncHooshClient(server.url)
        assert asyncio.run(client.chat("Hello")).text == "Salam"
        assert asyncio.run(client.chat("Hello")).text == "Salam"
        asyncio.run(client.close())
        del client
        gc.collect()


def test_threads_share_a_client() -> None:
    with scripted([ANSWER] * 100) as server, HooshClient(server.url) as client:
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda: texts.extend(client.chat("Hello").text for _ in range(10)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == ["Salam"] * 80
        assert len(server.peers) <= 8
