"""One line a call, from an allow-list, written in bunches."""

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from hoosh.core.call import Outcome, Receipt, Wishes
from hoosh.core.events import Usage
from hoosh.core.plan import Target
from hoosh.core.principal import Principal
from hoosh.core.turned_away import TurnedAway
from hoosh.telemetry.log import (
    FLUSH_BYTES,
    REFUSED_LINES,
    LeftOut,
    LineJournal,
    QuietJournal,
    _JSONFormatter,
    as_json,
    as_text,
)

RECEIPT = Receipt(
    call_id="call-1",
    model="m",
    outcome=Outcome.OK,
    status=200,
    principal=Principal("laptop", "secret-pool"),
    target=Target("one", "m-1"),
    attempts=2,
    usage=Usage(input=5, output=7),
    stream=True,
    first_event_ns=1_500_000,
    total_ns=2_500_000,
)
FAILED = msgspec.structs.replace(
    RECEIPT, outcome=Outcome.FAILED, status=502, error="upstream_error", target=None, wishes=Wishes(agent="crew")
)
ALLOWED = {
    *(
        "time_ms",
        "event",
        "id",
        "request_id",
        "outcome",
        "status",
        "key",
        "model",
        "provider",
        "provider_model",
        "attempts",
    ),
    *("stream", "input_tokens", "output_tokens", "usage", "cost_micro_usd", "first_event_us", "total_us"),
}


class Stream(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def test_a_line_has_the_allowed_fields_and_no_others() -> None:
    line = json.loads(as_json(RECEIPT))
    assert set(line) == ALLOWED
    assert set(json.loads(as_json(FAILED))) == ALLOWED | {"error", "agent"}
    assert line["time_ms"] > 1_600_000_000_000
    del line["time_ms"]
    assert line == {
        "event": "call",
        "id": "call-1",
        "request_id": "",
        "outcome": "ok",
        "status": 200,
        "key": "laptop",
        "model": "m",
        "provider": "one",
        "provider_model": "m-1",
        "attempts": 2,
        "stream": True,
        "input_tokens": 5,
        "output_tokens": 7,
        "usage": "reported",
        "cost_micro_usd": 0,
        "first_event_us": 1500,
        "total_us": 2500,
    }


def test_the_same_as_text() -> None:
    assert as_text(RECEIPT) == "200 m -> one/m-1 5+7 tokens 2 ms ok call-1"
    assert as_text(FAILED) == "502 m -> - 5+7 tokens 2 ms failed upstream_error call-1"


@pytest.mark.parametrize("line", [as_json, as_text])
@pytest.mark.parametrize("model", ["a\nb", "a\r\nb", "a\x1b[2J"])
def test_a_clients_word_cannot_make_a_second_line(line: Callable[[Receipt], str], model: str) -> None:
    written = line(msgspec.structs.replace(RECEIPT, model=model, target=Target("one", model)))
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written


def test_lines_are_gathered_and_written_once() -> None:
    async def main() -> None:
        stream = Stream()
        journal = LineJournal(stream, as_json)
        for n in range(20):
            journal.note(msgspec.structs.replace(RECEIPT, call_id=f"call-{n}"))
        assert stream.writes == 0
        async with asyncio.timeout(60):
            while not stream.writes:
                await asyncio.sleep(0.01)
        assert stream.writes == 1
        assert [json.loads(line)["id"] for line in stream.getvalue().splitlines()] == [f"call-{n}" for n in range(20)]
        journal.note(RECEIPT)  # the timer is armed again
        async with asyncio.timeout(60):
            while stream.writes < 2:
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_many_lines_do_not_wait_for_the_timer() -> None:
    async def main() -> None:
        stream = Stream()
        journal = LineJournal(stream, lambda receipt: "x" * (FLUSH_BYTES // 4))
        for _ in range(4):
            assert stream.writes == 0
            journal.note(RECEIPT)
        assert stream.writes == 1
        journal.flush()
        assert stream.writes == 1  # nothing is left

    asyncio.run(main())


def test_what_is_left_is_written_at_the_end() -> None:
    async def main() -> None:
        stream = Stream()
        journal = LineJournal(stream, as_text)
        journal.note(RECEIPT)
        journal.flush()
        assert stream.getvalue() == as_text(RECEIPT) + "\n"

    asyncio.run(main())


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("no space left")


def test_a_log_that_cannot_be_written_stops_no_call() -> None:
    async def main() -> None:
        closed = io.StringIO()
        closed.close()
        for stream in (closed, Full()):
            journal = LineJournal(stream, as_json)
            journal.note(RECEIPT)
            journal.flush()
            journal.note(RECEIPT)
            journal.flush()

    asyncio.run(main())
    QuietJournal().note(RECEIPT)


def test_an_entry_of_the_log_is_one_json_object() -> None:
    record = logging.LogRecord("hoosh.x", logging.WARNING, "x.py", 1, "two\nlines %s", ("here",), None)
    text = _JSONFormatter().format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["event"], line["level"], line["logger"], line["message"]) == (
        "log",
        "warning",
        "hoosh.x",
        "two\nlines here",
    )
    assert "traceback" not in line


TURNED_AWAY = TurnedAway(id="own-1", request_id="theirs", route="chat", status=401, code="invalid_api_key")


def test_a_refused_request_has_the_allowed_fields_and_no_others() -> None:
    line = json.loads(as_json(TURNED_AWAY))
    assert line.pop("time_ms") > 1_600_000_000_000
    assert line == {
        "event": "refused",
        "id": "own-1",
        "request_id": "theirs",
        "route": "chat",
        "status": 401,
        "code": "invalid_api_key",
        "key": "",
    }
    assert as_text(TURNED_AWAY) == "401 refused chat invalid_api_key - own-1"
    nowhere = msgspec.structs.replace(TURNED_AWAY, route="", key="laptop", status=404, code="not_found")
    assert as_text(nowhere) == "404 refused - not_found laptop own-1"
    assert as_text(LeftOut(7)) == "7 more requests were refused"


def test_a_flood_of_refused_requests_is_a_few_lines_and_a_number() -> None:
    async def main() -> None:
        stream = Stream()
        journal = LineJournal(stream, as_json)
        for _ in range(10_000):
            journal.refused(TURNED_AWAY)
        journal.note(RECEIPT)  # calls are not left out
        async with asyncio.timeout(60):
            while "left_out" not in stream.getvalue():
                await asyncio.sleep(0.01)
        for _ in range(REFUSED_LINES + 1):  # a new second
            journal.refused(TURNED_AWAY)
        journal.close()
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert Counter(line["event"] for line in lines) == {
            "refused": 2 * REFUSED_LINES,
            "call": 1,
            "refused_left_out": 2,
        }
        assert [line["count"] for line in lines if "count" in line] == [10_000 - REFUSED_LINES, 1]

    asyncio.run(main())


def test_a_few_refused_requests_leave_none_out() -> None:
    async def main() -> None:
        stream = Stream()
        journal = LineJournal(stream, as_json)
        for _ in range(REFUSED_LINES):
            journal.refused(TURNED_AWAY)
        journal.close()
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["refused"] * REFUSED_LINES

    asyncio.run(main())
    QuietJournal().refused(TURNED_AWAY)
