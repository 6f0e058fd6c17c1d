"""`GET /metrics` of a real gateway, of one process and of several, and the lines of requests that were refused."""

import asyncio
import http.client
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from gateway import PATIENCE_S, QUIET, Provider, Running, one_provider, provider, serving
from hoosh import __version__
from hoosh.app import Gateway, known_types
from hoosh.config.load import load_text
from hoosh.core.errors import StoreFailed
from hoosh.core.ledger import Asked, Standing
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.stores.ledger_memory import MemoryLedger
from hoosh.telemetry.families import CONTENT_TYPE, FAMILIES
from hoosh.telemetry.log import QuietJournal
from prometheus_text import Page

HI = [{"role": "user", "content": "Hi"}]
CALL = {"model": "echo", "messages": HI}
KEY = "a-token-of-good-length"
KEYED = (
    f'[[keys]]\nname = "laptop"\ntoken = "{KEY}"\n[[keys]]\nname = "scraper"\ntoken = "{KEY}-2"\nroutes = ["metrics"]\n'
)


@pytest.fixture
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


def scrape(gateway: Running, *headers: str) -> Page:
    answer = gateway.ask(b"", *headers, path="/metrics", method="GET")
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].encode() == CONTENT_TYPE
    return Page(answer.body)


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def log_of(home: Path, event: str) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (home / "stderr.log").read_text().splitlines() if line.startswith("{")]
    return [entry for entry in entries if entry["event"] == event]


def test_calls_of_every_outcome_are_counted(fake: Provider, tmp_path: Path) -> None:
    budget = '[[budgets]]\nname = "default"\ncapacity = 1000000\n[[budgets]]\nname = "small"\ncapacity = 1\n'
    with serving(tmp_path, one_provider(fake.url) + budget) as gateway:
        for _ in range(3):
            assert gateway.json(CALL).status == 200
        gateway.json({**CALL, "stream": True})
        gateway.json({**CALL, "model": "cut", "stream": True})
        assert gateway.json({**CALL, "pool": "small"}).status == 429
        assert gateway.json({**CALL, "model": "none-of-these"}).status == 404
        page = scrape(gateway)
        assert page.kinds == {family.name: family.kind for family in FAMILIES}
        counted = {tuple(sample.labels.values()): sample.value for sample in page.all("hoosh_requests_total")}
        assert counted == {
            ("fake", "echo", "ok", "2xx"): 4,
            ("fake", "cut", "failed", "5xx"): 1,
            ("", "", "rejected", "4xx"): 2,
        }
        assert page.value("hoosh_tokens_total", model="echo", type="input") >= 3 * 3
        assert page.value("hoosh_request_duration_seconds_count", provider="fake") == 5
        assert page.value("hoosh_time_to_first_token_seconds_count", provider="fake") == 2
        assert page.value("hoosh_attempts_total", result="ok") == 4
        assert page.value("hoosh_attempts_total") == 4 + 1 + 1  # the budget was asked for an attempt
        errors = {tuple(sample.labels.values()): sample.value for sample in page.all("hoosh_errors_total")}
        assert errors == {
            ("chat", "upstream_error"): 1,
            ("chat", "budget_exceeded"): 1,
            ("chat", "model_not_found"): 1,
        }
        used = gateway.ask(b"", path="/v1/tokens/pools/default", method="GET").value["used"]
        page = scrape(gateway)
        assert page.value("hoosh_pool_used_tokens", pool="default") == used > 0
        assert page.value("hoosh_pool_ceiling_tokens", pool="default") == 1_000_000
        assert page.value("hoosh_pool_used_percent", pool="default") == pytest.approx(used / 10_000)
        assert page.value("hoosh_pool_used_percent", pool="small") == 0
        assert page.all("hoosh_pool_ceiling_micro_usd") == []
        assert page.value("hoosh_build_info", version=__version__) == 1
        assert page.value("hoosh_workers") == page.value("hoosh_store_up") == 1
        assert page.value("hoosh_provider_up", provider="fake") == 1
        assert page.value("hoosh_process_resident_memory_bytes", worker="0") > 1 << 20
        assert page.value("hoosh_process_open_fds", worker="0") > 3
        assert len(log_of(tmp_path, "refused")) == 0  # each of these was a call, and has its line as such


def test_what_runs_is_told_while_it_runs(fake: Provider, tmp_path: Path) -> None:
    with serving(tmp_path, one_provider(fake.url)) as gateway:
        body = json.dumps({**CALL, "model": "silent", "max_tokens": 50}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as client:
            client.sendall(head.encode() + body)
            eventually(lambda: len(fake.bodies) == 1)
            page = scrape(gateway)
            assert page.value("hoosh_in_flight") == page.value("hoosh_budget_holds") == 1
            assert page.value("hoosh_budget_held_tokens") >= 50
            assert page.all("hoosh_requests_total") == []
        eventually(lambda: scrape(gateway).value("hoosh_in_flight") == 0)
        page = scrape(gateway)
        assert page.value("hoosh_budget_holds") == page.value("hoosh_budget_held_tokens") == 0
        assert page.value("hoosh_requests_total", model="silent", outcome="cancelled", status="4xx") == 1


def test_a_provider_that_is_down_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    with serving(tmp_path, one_provider(nobody) + "[retry]\ntries = 1\n") as gateway:
        assert scrape(gateway).value("hoosh_provider_state", provider="fake", state="unknown") == 1
        assert gateway.json(CALL).status == 502
        page = scrape(gateway)
        assert [sample.value for sample in page.all("hoosh_provider_up")] == [0]
        states = {sample.labels["state"]: sample.value for sample in page.all("hoosh_provider_state")}
        assert states == {"unknown": 0, "healthy": 0, "unhealthy": 1}
        assert page.value("hoosh_attempts_total", provider="fake", result="connect_failed") == 1
        assert page.value("hoosh_requests_total", model="echo", outcome="failed") == 1


def test_refused_requests_are_counted_and_have_a_line(fake: Provider, tmp_path: Path) -> None:
    config = one_provider(fake.url) + KEYED + "[server]\nbody_limit_bytes = 1024\n"
    key = f"authorization: Bearer {KEY}"
    with serving(tmp_path, config) as gateway:
        assert gateway.ask(b"", path="/metrics", method="GET").status == 401
        assert gateway.json(CALL, "authorization: Bearer no-secret-of-ours").status == 401
        assert gateway.json(CALL, key, path="/v1/nothing?secret=in-the-query").status == 404
        assert gateway.ask(b"", key, path="/v1/chat/completions", method="GET").status == 405
        assert gateway.json({**CALL, "more": "x" * 2000}, key, "x-request-id: theirs").status == 413
        assert gateway.json(CALL, f"authorization: Bearer {KEY}-2").status == 403
        assert b"400" in gateway.raw(b"GET / HTTP/1.1\r\nno head\r\n\r\n")[:20]
        page = scrape(gateway, f"authorization: Bearer {KEY}-2")
        told = {tuple(sample.labels.values()): sample.value for sample in page.all("hoosh_errors_total")}
        assert told == {
            ("metrics", "invalid_api_key"): 1,
            ("chat", "invalid_api_key"): 1,
            ("", "not_found"): 1,
            ("chat", "method_not_allowed"): 1,
            ("chat", "request_too_large"): 1,
            ("chat", "forbidden"): 1,
            ("", "invalid_request"): 1,
        }
    lines = log_of(tmp_path, "refused")
    assert [(line["route"], line["status"], line["code"], line["key"]) for line in lines] == [
        ("metrics", 401, "invalid_api_key", ""),
        ("chat", 401, "invalid_api_key", ""),
        ("", 404, "not_found", ""),
        ("chat", 405, "method_not_allowed", ""),
        ("chat", 413, "request_too_large", "laptop"),
        ("chat", 403, "forbidden", "scraper"),
        ("", 400, "invalid_request", ""),
    ]
    assert lines[4]["request_id"] == "theirs"
    assert len({line["id"] for line in lines}) == len(lines)
    log = (tmp_path / "stderr.log").read_text()
    assert "secret" not in log
    assert KEY not in log


def test_a_flood_of_refused_requests_is_counted_whole_and_logged_in_part(fake: Provider, tmp_path: Path) -> None:
    def flood(gateway: Running) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE_S)) as connection:
            for _ in range(300):
                connection.request("GET", "/nowhere")
                connection.getresponse().read()

    with serving(tmp_path, one_provider(fake.url)) as gateway, ThreadPoolExecutor(4) as pool:
        list(pool.map(flood, [gateway] * 4))
        assert scrape(gateway).value("hoosh_errors_total", route="", code="not_found") == 1200
    left_out = sum(line["count"] for line in log_of(tmp_path, "refused_left_out"))
    assert len(log_of(tmp_path, "refused")) + left_out == 1200
    assert left_out > 0


def test_the_admin_listener_has_the_page_and_its_socket_asks_for_no_key(fake: Provider, tmp_path: Path) -> None:
    admin = tmp_path / "admin.sock"
    config = one_provider(fake.url) + KEYED + f'[admin]\nenabled = true\nsocket = "{admin}"\n'
    with serving(tmp_path, config) as gateway:
        assert gateway.json(CALL, f"authorization: Bearer {KEY}").status == 200
        assert _over(admin, "/admin/keys/nobody-of-this-name")[0] == 404
        status, body = _over(admin, "/metrics")
        assert status == 200
        page = Page(body)
        assert page.value("hoosh_requests_total", model="echo") == 1
        assert page.value("hoosh_errors_total", route="admin", code="key_not_found") == 1


def _over(path: Path, target: str) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(path))
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


class Line:
    """One connection that is kept: all that is asked on it is answered by one worker."""

    def __init__(self, gateway: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE_S)
        self.worker: int = json.loads(self._ask("GET", "/v1/health"))["worker"]
        self.port: int = self._connection.sock.getsockname()[1]

    def call(self) -> None:
        self._ask("POST", "/v1/chat/completions", json.dumps(CALL))

    def scrape(self) -> Page:
        return Page(self._ask("GET", "/metrics"))

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        self._connection.request(method, path, body, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return data


def lines_to(gateway: Running, count: int) -> list[Line]:
    """One to each worker: the system chooses by the client's port."""
    found: dict[int, Line] = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline
        try:
            line = Line(gateway)
        except (OSError, http.client.HTTPException):  # it came to a worker that was about to die
            continue
        if found.setdefault(line.worker, line) is not line:
            line.close()
    return [found[index] for index in range(count)]


def calls(page: Page) -> float:
    return page.value("hoosh_requests_total", outcome="ok")


def test_any_of_several_workers_tells_of_all(fake: Provider, tmp_path: Path) -> None:
    with serving(tmp_path, one_provider(fake.url), "--workers", "2") as gateway:
        lines = lines_to(gateway, 2)
        for n in range(100):
            lines[n % 3 > 0].call()
        for line in lines:
            eventually(lambda line=line: calls(line.scrape()) == 100)  # type: ignore[misc]
            eventually(lambda line=line: line.scrape().value("hoosh_pool_used_tokens") == 100 * 5)  # type: ignore[misc]
            page = line.scrape()
            assert page.value("hoosh_request_duration_seconds_count") == page.value("hoosh_attempts_total") == 100
            assert page.value("hoosh_workers") == page.value("hoosh_provider_state", state="healthy") == 2
            assert page.value("hoosh_provider_up", provider="fake") == page.value("hoosh_build_info") == 1
            workers = {sample.labels["worker"] for sample in page.all("hoosh_process_resident_memory_bytes")}
            assert workers == {"0", "1"}
        for line in lines:
            line.close()
    assert list((tmp_path / "hoosh" / "metrics").iterdir()) == []


def test_what_one_worker_told_no_other_says_less(fake: Provider, tmp_path: Path) -> None:
    """A second is long: who is asked tells the others before it answers."""
    with serving(tmp_path, one_provider(fake.url), "--workers", "2") as gateway:
        lines = lines_to(gateway, 2)
        told = 0.0
        for n in range(30):
            lines[n % 2].call()
            for line in (lines[n % 2], lines[1 - n % 2]):
                now = calls(line.scrape())
                assert now >= told
                told = now
        assert told == 30
        _closed(lines)


def test_no_count_falls_when_a_worker_dies(fake: Provider, tmp_path: Path) -> None:
    with serving(tmp_path, one_provider(fake.url), "--workers", "2") as gateway:
        lines = lines_to(gateway, 2)
        for _ in range(30):
            lines[0].call()
        for _ in range(12):
            lines[1].call()
        assert calls(lines[0].scrape()) >= 30  # from here on nobody may say less
        _kill(gateway, lines[0])
        assert calls(lines[1].scrape()) >= 42
        lines = [*_closed(lines), *lines_to(gateway, 2)]
        for line in lines:
            assert calls(line.scrape()) >= 42
        for line in lines:
            for _ in range(4):
                line.call()
        for line in lines:
            eventually(lambda line=line: calls(line.scrape()) == 50)  # type: ignore[misc]
            eventually(lambda line=line: line.scrape().value("hoosh_workers") == 2)  # type: ignore[misc]
        _closed(lines)


def _kill(gateway: Running, line: Line) -> None:
    """The worker at the other end."""
    for worker in psutil.Process(gateway.process.pid).children():
        if any(link.raddr and link.raddr.port == line.port for link in worker.net_connections("tcp")):
            worker.kill()
            psutil.wait_procs([worker], timeout=PATIENCE_S)
            return
    raise AssertionError("no worker has this connection")


def _closed(lines: Sequence[Line]) -> list[Line]:
    for line in lines:
        line.close()
    return []


def test_what_dead_gateways_left_behind_goes(fake: Provider, tmp_path: Path) -> None:
    left = tmp_path / "hoosh" / "metrics" / "0123456789abcdef"
    left.mkdir(parents=True)
    (left / "0").write_bytes(b"of another life")
    with serving(tmp_path, one_provider(fake.url), "--workers", "2") as gateway:
        assert not left.exists()
        with serving_beside(tmp_path / "beside", fake, tmp_path) as other:
            assert len(list((tmp_path / "hoosh" / "metrics").glob("*.lock"))) == 2
            (line, _) = lines = lines_to(other, 2)
            line.call()
            assert calls(line.scrape()) == 1
            _closed(lines)
        assert calls(scrape(gateway)) == 0  # they share budgets, and each counts its own calls


def serving_beside(home: Path, fake: Provider, state: Path) -> Any:
    home.mkdir()
    environ = {"HOOSH_HOME": str(state / "hoosh")}
    return serving(home, one_provider(fake.url), "--workers", "2", **environ)


class Away(MemoryLedger):
    """A store that cannot be asked how pools stand."""

    async def standing(self, asked: Sequence[Asked]) -> Sequence[Standing]:
        raise StoreFailed("away", code="store_down")


def test_a_store_that_is_away_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        environ = {"HOOSH_HOME": str(tmp_path)}
        text = QUIET + '[store]\nkind = "memory"\n'
        gateway = Gateway(load_text(text, None, environ, known_types()), environ, QuietJournal())
        await gateway.open()
        try:
            before = await page(gateway)
            assert before.value("hoosh_store_up") == 1
            assert before.value("hoosh_pool_used_tokens", pool="default") == 0
            assert len(before.all("hoosh_pool_used_tokens")) == 1
            gateway.budgeting.ledger = Away(lambda: time.time_ns() // 1_000_000)
            gateway.budgeting.courier.failed = StoreFailed("away")
            after = await page(gateway)
            assert [sample.value for sample in after.all("hoosh_store_up")] == [0]
            assert after.all("hoosh_pool_used_tokens") == []
            assert after.value("hoosh_build_info") == 1
        finally:
            await gateway.close()

    asyncio.run(main())


async def page(gateway: Gateway) -> Page:
    wire = MemoryWire()
    await gateway.app(Exchange("GET", "/metrics", {}, wire))
    assert wire.status == 200
    return Page(wire.said)


def test_a_folder_that_cannot_be_made_stops_no_worker(fake: Provider, tmp_path: Path) -> None:
    (tmp_path / "hoosh").mkdir()
    (tmp_path / "hoosh" / "metrics").write_bytes(b"in the way")
    with serving(tmp_path, one_provider(fake.url), "--workers", "2") as gateway:
        lines = lines_to(gateway, 2)
        lines[0].call()
        assert [calls(line.scrape()) for line in lines] == [1, 0]
        _closed(lines)
    warnings = Counter(line["message"] for line in log_of(tmp_path, "log"))
    assert warnings == {f"workers cannot tell each other their metrics: {os.strerror(17)}": 1}
