"""`hoosh serve --workers`: several processes on one port, as callers, operators and the system meet them."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]
import pytest

import tiny_gguf
from gateway import PATIENCE_S, QUIET, Chat, Provider, Running, clean_environ, one_provider, provider, serving
from hoosh.local.embedded import has_engine

HI = [{"role": "user", "content": "Hi"}]
WORKERS = 4
CAP = 10_000
# A hold of exactly what a call then costs: 2 bytes of input, 16 for the message, 82 of output.
COST = 100
CALL = {"model": "echo", "messages": HI, "max_tokens": COST - 16 - 2}
BUDGET = f'[[budgets]]\nname = "default"\ncapacity = {CAP}\n'


class Costly(Chat):
    """Each call uses all of what it holds; a `silent` one answers with its first byte when it is allowed to."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(json.dumps(asked).encode())
        if asked["model"] == "silent":
            assert self.server.hung_up.wait(PATIENCE_S)
        message = {"role": "assistant", "content": "Hi"}
        usage = {"prompt_tokens": 40, "completion_tokens": COST - 40, "total_tokens": COST}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._reply(200, {"id": "x", "model": asked["model"], "choices": [choice], "usage": usage})


@pytest.fixture
def fake() -> Iterator[Provider]:
    with provider(Costly) as server:
        yield server
        server.hung_up.set()


class Line:
    """One connection that is kept: all that is asked on it is answered by one worker."""

    def __init__(self, gateway: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE_S)

    def ask(self, method: str, path: str, value: object = None, **headers: str) -> tuple[int, Any]:
        body = None if value is None else json.dumps(value)
        self._connection.request(method, path, body, {"content-type": "application/json", **headers})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    @property
    def worker(self) -> int:
        index: int = self.ask("GET", "/v1/health")[1]["worker"]
        return index

    def close(self) -> None:
        self._connection.close()


class Many(NamedTuple):
    """Workers, and the connections to them."""

    gateway: Running
    lines: ExitStack

    def line(self) -> Line:
        return self.lines.enter_context(closing(Line(self.gateway)))

    def line_to(self, index: int) -> Line:
        """The system chooses by the client's port: of a few connections one comes to each worker."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            line = self.line()
            try:
                if line.worker == index:
                    return line
            except (OSError, http.client.HTTPException):  # it came to a worker that was about to die
                pass
            line.close()
            assert time.monotonic() < deadline


@contextmanager
def at_work(home: Path, config: str, count: int) -> Iterator[Many]:
    with ExitStack() as lines, serving(home, config, "--workers", str(count)) as gateway:
        yield Many(gateway, lines)


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(gateway: Running) -> list[psutil.Process]:
    children = psutil.Process(gateway.process.pid).children()
    return [child for child in children if not is_gone(child) and "hoosh.app.worker" in child.cmdline()]


def is_gone(process: psutil.Process) -> bool:
    """A zombie that nobody waits for is as gone as can be."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def used(gateway: Running) -> tuple[int, int]:
    answer = gateway.ask(b"", path="/v1/tokens/pools/default", method="GET").value
    return answer["used"], answer["reserved"]


def test_a_budget_is_exact_over_all_workers_and_all_of_them_work(fake: Provider, tmp_path: Path) -> None:
    """Whatever is admitted is paid for by the provider's own count, which is the truth."""
    answered: Counter[int] = Counter()

    def spend(gateway: Running) -> int:
        done = 0
        while True:
            line = Line(gateway)
            status, told = line.ask("POST", "/v1/chat/completions", CALL)
            if status == 200:
                answered[line.worker] += 1
            line.close()
            if status != 200:
                assert (status, told["error"]["code"]) == (429, "budget_exceeded"), told
                return done
            done += 1

    with at_work(tmp_path, one_provider(fake.url) + BUDGET, WORKERS) as many:
        assert many.gateway.banner.count("ready") == 1
        assert f"  {WORKERS} workers\n" in many.gateway.banner
        with ThreadPoolExecutor(64) as pool:
            admitted = sum(pool.map(lambda _: spend(many.gateway), range(64)))
        assert used(many.gateway) == (admitted * COST, 0)
        health = many.gateway.ask(b"", path="/v1/health", method="GET").value
        assert health["workers"] == WORKERS
    assert len(fake.bodies) == admitted
    assert 0.999 * CAP <= admitted * COST <= CAP
    assert set(answered) == set(range(WORKERS))
    lines = (tmp_path / "stderr.log").read_text().splitlines()
    assert sum(json.loads(line).get("status") == 200 for line in lines) == admitted


def test_the_end_lets_calls_come_to_theirs(fake: Provider, tmp_path: Path) -> None:
    with at_work(tmp_path, one_provider(fake.url), 2) as many, ThreadPoolExecutor(8) as pool:
        lines = [many.line_to(n % 2) for n in range(8)]
        slow = {"model": "silent", "messages": HI}
        calls = [pool.submit(line.ask, "POST", "/v1/chat/completions", slow) for line in lines]
        eventually(lambda: len(fake.bodies) == len(calls))
        many.gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: _refuses(many.gateway))
        fake.hung_up.set()
        assert [call.result()[0] for call in calls] == [200] * len(calls)
        assert many.gateway.process.wait(PATIENCE_S) == 0


def _refuses(gateway: Running) -> bool:
    try:
        with closing(Line(gateway)) as line:
            line.ask("GET", "/livez")
    except OSError:
        return True
    return False


def test_a_second_signal_ends_what_runs(fake: Provider, tmp_path: Path) -> None:
    config = one_provider(fake.url) + "[server]\ndrain_s = 3600\n"
    with at_work(tmp_path, config, 2) as many, ThreadPoolExecutor(1) as pool:
        line = many.line_to(1)
        call = pool.submit(line.ask, "POST", "/v1/chat/completions", {"model": "silent", "messages": HI})
        eventually(lambda: len(fake.bodies) == 1)
        many.gateway.process.send_signal(signal.SIGINT)
        eventually(lambda: _refuses(many.gateway))
        many.gateway.process.send_signal(signal.SIGINT)
        assert call.result()[0] == 503
        assert many.gateway.process.wait(PATIENCE_S) == 0


def test_a_worker_that_is_killed_is_followed_by_another_and_nothing_is_lost(fake: Provider, tmp_path: Path) -> None:
    """What it had told is kept, what it had on its way is charged as held, and its siblings' journals stay theirs."""
    config = one_provider(fake.url) + BUDGET
    with at_work(tmp_path, config, 2) as many, ThreadPoolExecutor(2) as pool:
        lines = [many.line_to(index) for index in range(2)]
        for line in lines:
            assert line.ask("POST", "/v1/chat/completions", CALL)[0] == 200
        slow = {**CALL, "model": "silent"}
        calls = [pool.submit(line.ask, "POST", "/v1/chat/completions", slow) for line in lines]
        eventually(lambda: len(fake.bodies) == 4)
        victim = _worker_of(many.gateway, lines[0])
        victim.kill()
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            calls[0].result()
        eventually(lambda: len(workers_of(many.gateway)) == 2 and is_gone(victim))
        many.line_to(0).close()
        assert used(many.gateway) == (3 * COST, COST)  # the sibling's call still holds
        fake.hung_up.set()
        assert calls[1].result()[0] == 200
        eventually(lambda: used(many.gateway) == (4 * COST, 0))
        with ThreadPoolExecutor(8) as others:
            statuses = list(others.map(lambda _: many.gateway.json(CALL).status, range(CAP // COST)))
        assert Counter(statuses) == {200: CAP // COST - 4, 429: 4}
    assert "worker 0 was ended by SIGKILL" in (tmp_path / "stderr.log").read_text()
    assert not list((tmp_path / "hoosh" / "journals").iterdir())


def _worker_of(gateway: Running, line: Line) -> psutil.Process:
    """Whose end of the connection it is."""
    own = line._connection.sock.getsockname()
    return next(
        worker
        for worker in workers_of(gateway)
        if any(link.raddr and tuple(link.raddr) == own for link in worker.net_connections("tcp"))
    )


def test_no_worker_outlives_the_parent(fake: Provider, tmp_path: Path) -> None:
    config = one_provider(fake.url) + "[server]\ndrain_s = 1\n"
    (tmp_path / "hoosh.toml").write_text(config)
    command = [sys.executable, "-m", "hoosh", "serve", "--port", "0", "--workers", "3"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=clean_environ(tmp_path), cwd=tmp_path
    ) as parent:
        assert parent.stdout is not None
        while parent.stdout.readline() != "ready\n":
            assert parent.poll() is None
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) == 3
        parent.kill()
    eventually(lambda: all(is_gone(worker) for worker in workers))


def hoosh(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hoosh", *words]
    return subprocess.run(
        command, env=clean_environ(home), cwd=home, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize(
    ("config", "words", "told"),
    [
        ('[store]\nkind = "memory"\n', ("--workers", "2"), "store.kind: several workers share budgets"),
        ("[responses]\npersist = false\n", ("--workers", "2"), "responses.persist: what one worker keeps"),
        ("[server]\nworkers = 0\n", (), "server.workers"),
        ("", ("--workers", "0"), "HOOSH_SERVER__WORKERS"),
        ("[embedded]\nmodel_path = 'hoosh.toml'\nenabled = 1\n", ("--workers", "2"), "embedded.enabled"),
    ],
)
def test_a_wrong_configuration_is_told_once(tmp_path: Path, config: str, words: tuple[str, ...], told: str) -> None:
    (tmp_path / "hoosh.toml").write_text(config)
    done = hoosh(tmp_path, "serve", "--port", "0", *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr


def test_what_keeps_a_worker_from_starting_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "hoosh.toml").write_text(QUIET)
    (tmp_path / "hoosh").mkdir()
    (tmp_path / "hoosh" / "hoosh.db").write_bytes(b"no database" * 100)
    done = hoosh(tmp_path, "serve", "--port", "0", "--workers", "3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("the store hoosh.db failed") == 1


def test_a_port_is_shared_with_nobody_else(tmp_path: Path, fake: Provider) -> None:
    with at_work(tmp_path, one_provider(fake.url), 2) as many:
        for words in ((), ("--workers", "2")):
            done = hoosh(tmp_path, "serve", "--port", str(many.gateway.port), *words)
            assert done.returncode == 2
            assert f"port {many.gateway.port} of 127.0.0.1 is in use" in done.stderr


def test_a_key_is_made_and_revoked_at_one_worker_and_known_to_all(tmp_path: Path, fake: Provider) -> None:
    admin = tmp_path / "admin.sock"
    config = one_provider(fake.url) + f'[admin]\nenabled = true\nsocket = "{admin}"\n'
    with at_work(tmp_path, config, WORKERS) as many:
        assert many.gateway.banner.count("administration on") == 1
        lines = [many.line_to(index) for index in range(WORKERS)]
        made = _administer(admin, "POST", "/admin/keys", {"name": "laptop"})
        headers = {"authorization": f"Bearer {made['secret']}"}

        def all_answer(*statuses: int) -> bool:
            return all(line.ask("POST", "/v1/chat/completions", CALL, **headers)[0] in statuses for line in lines)

        eventually(lambda: all_answer(200))
        _administer(admin, "DELETE", f"/admin/keys/{made['id']}")
        eventually(lambda: all_answer(401, 429))  # who goes on with a wrong key is held back


def _administer(path: Path, method: str, target: str, value: object = None) -> Any:
    body = b"" if value is None else json.dumps(value).encode()
    head = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(path))
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_response_is_found_continued_cancelled_and_deleted_at_any_worker(tmp_path: Path, fake: Provider) -> None:
    with at_work(tmp_path, one_provider(fake.url), 2) as many:
        one, other = (many.line_to(index) for index in range(2))
        status, made = one.ask("POST", "/v1/responses", {"model": "echo", "input": "Hi"})
        assert status == 200
        at = f"/v1/responses/{made['id']}"
        assert other.ask("GET", at) == (200, made)
        more = {"model": "echo", "input": "And?", "previous_response_id": made["id"]}
        assert other.ask("POST", "/v1/responses", more)[0] == 200
        assert len(json.loads(fake.bodies[-1])["messages"]) == 3
        assert other.ask("DELETE", at)[0] == 200
        assert one.ask("GET", at)[0] == 404

        running = {"model": "silent", "input": "Hi", "background": True}
        for end in ("cancel", "delete"):
            _, made = one.ask("POST", "/v1/responses", running)
            at = f"/v1/responses/{made['id']}"
            assert other.ask("GET", at)[1]["status"] in ("queued", "in_progress")
            if end == "cancel":
                status, told = other.ask("POST", f"{at}/cancel")
                assert (status, told["status"]) == (200, "cancelled")
                assert one.ask("GET", at)[1]["status"] == "cancelled"
            else:
                assert other.ask("DELETE", at)[0] == 200
                assert [line.ask("GET", at)[0] for line in (one, other)] == [404, 404]


def test_what_ran_at_a_worker_that_died_has_failed(tmp_path: Path, fake: Provider) -> None:
    with at_work(tmp_path, one_provider(fake.url), 2) as many:
        one, other = (many.line_to(index) for index in range(2))
        _, made = one.ask("POST", "/v1/responses", {"model": "silent", "input": "Hi", "background": True})
        _worker_of(many.gateway, one).kill()
        eventually(lambda: other.ask("GET", f"/v1/responses/{made['id']}")[1]["status"] == "failed")


def test_a_rate_limit_is_divided_among_the_workers(tmp_path: Path, fake: Provider) -> None:
    """From the first call on: all workers know of each other before there is one."""
    config = one_provider(fake.url) + '[[keys]]\nname = "laptop"\ntoken = "a-token-of-good-length"\nrpm = 40\n'
    with at_work(tmp_path, config, WORKERS) as many:
        key = {"authorization": "Bearer a-token-of-good-length"}
        for index in range(WORKERS):
            line = many.line_to(index)
            statuses = [line.ask("POST", "/v1/chat/completions", CALL, **key)[0] for _ in range(12)]
            assert statuses[:10] == [200] * 10
            assert 429 in statuses[10:]


@pytest.mark.skipif(not has_engine(), reason="the engine (hoosh[llama]) is not installed")
def test_there_is_one_engine_and_all_workers_use_it(tmp_path: Path) -> None:
    weights = tiny_gguf.make(tmp_path / "tiny.gguf")
    config = (
        "[discovery]\nenabled = false\nenv_keys = false\n[embedded]\nmodel = 'tiny'\nthreads = 1\n"
        f"context_tokens = 2048\nmodel_path = '{weights}'\n"
    )
    asked = {"model": "tiny", "messages": HI, "max_tokens": 3}
    with at_work(tmp_path, config, 3) as many, ThreadPoolExecutor(3) as pool:
        lines = [many.line_to(index) for index in range(3)]

        def ask(line: Line) -> int:
            return line.ask("POST", "/v1/chat/completions", asked)[0]

        def engines() -> list[psutil.Process]:
            return [
                child
                for child in psutil.Process(many.gateway.process.pid).children(recursive=True)
                if "hoosh.local.llama_child" in child.cmdline()
            ]

        assert list(pool.map(ask, lines)) == [200] * 3
        (engine,) = engines()
        for line in lines:
            running = line.ask("GET", "/api/ps")[1]["models"]
            assert [model["name"].partition(":")[0] for model in running] == ["tiny"]
        _worker_of(many.gateway, lines[0]).kill()
        assert ask(lines[1]) == 200
        assert ask(many.line_to(0)) == 200
        assert [child.pid for child in engines()] == [engine.pid]
        os.kill(engine.pid, signal.SIGKILL)
        assert ask(lines[2]) in (200, 502)  # it may have been asked in that very moment
        assert list(pool.map(ask, lines[1:])) == [200] * 2
        (second,) = engines()
        assert second.pid != engine.pid
    assert is_gone(second)
