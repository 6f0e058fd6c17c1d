"""What is recorded, and that the exchange does not notice."""

import asyncio
import base64
import json
import os
import resource
import stat
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from edge.fake_upstream import eventually
from engine_world import FakeClock, FakeTransport, Script
from hoosh.core.errors import ConfigError, ConnectFailed, Truncated
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.recordings.record import Record, from_line, read_lines
from hoosh.transport.record import MAX_PIECES, RecordingFile, RecordingTransport

ASKED = WireRequest("/v1/chat/completions", b'{"stream": true, "n": 1.50}')


class Studio:
    """A recorder over providers scripted in bytes; each exchange is one line of `path` when `close` is over."""

    def __init__(
        self, path: Path, scripts: Mapping[str, Script], limit_bytes: int = 1 << 20, held_bytes: int = 1 << 26
    ) -> None:
        self.path = path
        self.file = RecordingFile(path, held_bytes)
        self.inner = FakeTransport(scripts)
        self.transport = RecordingTransport(self.inner, self.file, self._name, FakeClock(), limit_bytes)

    @staticmethod
    def _name(base_url: str, request: WireRequest) -> str:
        return base_url.rpartition("/")[2].replace("unnamed", "")

    async def pull(self, name: str, request: WireRequest = ASKED) -> list[bytes]:
        pieces = []
        async with self.transport.exchange(f"http://fake/{name}", request, Timeouts()) as reply:
            while piece := await reply.read():
                pieces.append(piece)
        return pieces

    async def close(self) -> list[Record]:
        await self.file.aclose()
        assert self.inner.open == 0
        return read_lines(str(self.path), self.path.read_bytes().splitlines(keepends=True))


def test_an_exchange_is_a_line(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"data: \xe2\x82", b"\xac\n\n")})
        assert await studio.pull("a") == [b"data: \xe2\x82", b"\xac\n\n"]
        (record,) = await studio.close()
        assert (record.provider, record.method, record.url_path) == ("a", "POST", "/a/v1/chat/completions")
        assert (record.base_url, record.host) == ("http://fake/a", "fake")
        assert record.request == ASKED.body
        assert record.response == "data: €\n\n".encode()
        assert record.response_headers == {"content-type": "text/event-stream"}
        assert [size for _, size in record.pieces] == [8, 3]
        assert all(wait_us == 1000 for wait_us, _ in record.pieces)  # what each look at this clock takes
        assert (record.status, record.stream, record.end, record.cut) == (200, True, "complete", False)

    asyncio.run(main())


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"\xff\0",)})
        await studio.pull("a", WireRequest("/x", b"\xfe"))
        (record,) = await studio.close()
        assert (record.request, record.response) == (b"\xfe", b"\xff\0")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("script", "end", "error", "kept"),
    [
        ((b"one", Truncated("cut")), "truncated", "Truncated", b"one"),
        ((ConnectFailed("no"),), "failed", "ConnectFailed", b""),
    ],
)
def test_what_the_provider_breaks_off(script: Script, end: str, error: str, kept: bytes, tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": script})
        with pytest.raises((Truncated, ConnectFailed)):
            await studio.pull("a")
        (record,) = await studio.close()
        assert (record.end, record.error, record.response) == (end, error, kept)
        assert record.is_whole

    asyncio.run(main())


def test_a_cancel_at_every_point_leaves_one_true_line(tmp_path: Path) -> None:
    """The n-th turn of the loop for each n, until the exchange is over before the cancel."""

    async def main() -> None:
        ends = []
        for turns in range(20):
            studio = Studio(tmp_path / f"{turns}.jsonl", {"a": (b"one", b"two")})
            task = asyncio.create_task(studio.pull("a"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if not studio.inner.asked:
                await studio.file.aclose()
                continue
            (record,) = await studio.close()
            assert b"onetwo".startswith(record.response)
            assert (record.end == "complete") <= (record.response == b"onetwo")
            ends.append((record.end, record.response))
        assert ends[0] == ("aborted", b"")
        assert ("aborted", b"one") in ends
        assert ends[-1] == ("complete", b"onetwo")

    asyncio.run(main())


def test_leaving_early_is_aborted(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"one", b"two")})
        async with studio.transport.exchange("http://fake/a", ASKED, Timeouts()) as reply:
            await reply.read()
        (record,) = await studio.close()
        assert (record.end, record.response, record.is_whole) == ("aborted", b"one", False)

    asyncio.run(main())


def test_a_long_reply_is_cut_in_the_record_only(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"12345", b"67890", b"x")}, limit_bytes=7)
        assert await studio.pull("a") == [b"12345", b"67890", b"x"]
        (record,) = await studio.close()
        assert (record.response, record.cut, record.end) == (b"1234567", True, "complete")
        assert [size for _, size in record.pieces] == [5, 2]

    asyncio.run(main())


SECRETS = {
    "sk-": "sk-live-0123456789abcdefABCDEF",
    "header": "only-in-a-header-7",
    "cookie": "session=cookie-canary",
    "org": "org-0123456789abcdefABCDEF",
    "query": "query-canary-1",
}


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    async def main() -> None:
        echoed = f"wrong key {SECRETS['header']} of {SECRETS['org']}; use Bearer {SECRETS['sk-']}".encode()
        split = (echoed[:20], echoed[20:])
        studio = Studio(tmp_path / "t.jsonl", {"a": split})
        headers = (
            (b"authorization", f"Bearer {SECRETS['header']}".encode()),
            (b"cookie", SECRETS["cookie"].encode()),
            (b"openai-organization", SECRETS["org"].encode()),
            (b"content-type", b"application/json"),
        )
        body = json.dumps({"messages": [{"content": f"my key is {SECRETS['sk-']}"}]}).encode()
        path = f"/v1/x?key={SECRETS['query']}&alt=sse"
        assert b"".join(await studio.pull("a", WireRequest(path, body, headers=headers))) == echoed
        (record,) = await studio.close()
        raw = studio.path.read_bytes()
        for secret in SECRETS.values():
            assert secret.encode() not in raw
            assert base64.b64encode(secret.encode()).rstrip(b"=") not in raw
        assert record.request_headers == {"content-type": "application/json"}
        assert record.url_path == "/a/v1/x?alt=sse"
        assert len(record.response) == len(echoed)
        assert [size for _, size in record.pieces] == [20, len(echoed) - 20]
        json.loads(record.request)

    asyncio.run(main())


def test_two_recorders_at_once_do_not_mix_their_lines(tmp_path: Path) -> None:
    async def main() -> None:
        path, reply = tmp_path / "t.jsonl", (b"x" * 50_000, b"y" * 50_000)
        studios = [Studio(path, {"a": reply}), Studio(path, {"b": reply})]
        await asyncio.gather(
            *(studio.pull(name) for _ in range(50) for studio, name in zip(studios, "ab", strict=True))
        )
        await studios[0].file.aclose()
        records = await studios[1].close()
        assert len({record.id for record in records}) == 100
        assert sorted(record.provider for record in records) == ["a"] * 50 + ["b"] * 50
        assert {record.response for record in records} == {b"".join(reply)}

    asyncio.run(main())


def test_a_file_is_appended_to_and_only_for_its_owner(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "t.jsonl"
        for _ in range(2):
            studio = Studio(path, {"a": (b"one",)})
            await studio.pull("a")
            records = await studio.close()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            path.chmod(0o644)
        assert len(records) == 2

    asyncio.run(main())


@pytest.mark.parametrize("place", [".", "missing/t.jsonl", "/dev/null"])
def test_what_is_no_file_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot record to"):
        RecordingFile(tmp_path / place)


def test_memory_is_bounded_over_all_exchanges_and_given_back(tmp_path: Path) -> None:
    """The second of two at once is cut where the first left no room, and stays cut when there is room again."""

    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"x" * 1000,), "b": (b"y" * 1000, b"z")}, held_bytes=3500)
        first, second = AsyncExitStack(), AsyncExitStack()
        here = await first.enter_async_context(studio.transport.exchange("http://fake/a", ASKED, Timeouts()))
        assert await here.read() == b"x" * 1000
        there = await second.enter_async_context(studio.transport.exchange("http://fake/b", ASKED, Timeouts()))
        assert await there.read() == b"y" * 1000
        assert await studio.pull("a") == [b"x" * 1000]
        assert studio.file.lost == 1
        await first.aclose()
        await eventually(lambda: studio.file.written == 1)
        assert await there.read() == b"z"
        assert await there.read() == b""
        await second.aclose()
        records = await studio.close()
        assert studio.file._held_bytes == 0
        assert [(len(record.response), record.cut) for record in records] == [(1000, False), (0, True)]

    asyncio.run(main())


def test_without_memory_or_after_its_end_the_record_is_lost_and_not_the_exchange(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        for name, held_bytes in (("narrow", 0), ("ended", 1 << 20)):
            studio = Studio(tmp_path / name, {"a": (b"one",)}, held_bytes=held_bytes)
            if name == "ended":
                await studio.file.aclose()
            assert await studio.pull("a") == [b"one"]
            assert (studio.file.lost, studio.file.written) == (1, 0)
            if name == "narrow":
                await studio.file.aclose()

    asyncio.run(main())
    assert "not recorded: too much is under way" in caplog.text
    assert "not recorded: the recording has ended" in caplog.text


def test_a_write_that_fails_loses_the_record_and_not_the_exchange(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"one",)})
        read_only = os.open(studio.path, os.O_RDONLY)
        os.dup2(read_only, studio.file._fd)
        os.close(read_only)
        assert await studio.pull("a") == [b"one"]
        await studio.file.aclose()
        assert studio.file.lost == 1

    asyncio.run(main())


def test_a_disk_that_fills_up_tears_one_line_only(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"one",), "b": (b"two",)})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            await studio.pull("a")
            await eventually(lambda: studio.file.lost == 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await studio.pull("b")
        await studio.file.aclose()
        torn, whole = studio.path.read_bytes().splitlines()
        assert len(torn) == 100
        assert from_line(whole).response == b"two"

    asyncio.run(main())


def test_a_reply_in_very_many_pieces_keeps_its_body(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"a": (b"x",) * (MAX_PIECES + 5)})
        await studio.pull("a")
        (record,) = await studio.close()
        assert len(record.response) == MAX_PIECES + 5
        assert len(record.pieces) == MAX_PIECES
        assert record.pieces[-1][1] == 6

    asyncio.run(main())


def test_what_has_no_name_is_not_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path / "t.jsonl", {"unnamed": (b"one",), "a": (b"two",)})
        await studio.pull("unnamed")
        await studio.pull("a")
        assert [record.response for record in await studio.close()] == [b"two"]

    asyncio.run(main())
