"""Another configuration for a gateway that serves: taken whole or not at all, and no call falls between."""

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import PATIENCE_S, QUIET, Answer, Provider, Running, provider, serving

HI = [{"role": "user", "content": "Hi"}]
LOUD = "[logging]\nformat = 'text'\n"


def backend(name: str, url: str) -> str:
    return f'[[providers]]\ntype = "vllm"\nname = "{name}"\nbase_url = "{url}"\nmodels = ["echo", "slow"]\n'


def ask(gateway: Running, model: str, *headers: str) -> Answer:
    return gateway.json({"model": model, "messages": HI}, *headers)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def logged(home: Path, words: str) -> int:
    return (home / "stderr.log").read_text().count(words)


class Scene:
    def __init__(self, home: Path, gateway: Running, fake: Provider) -> None:
        self.home = home
        self.gateway = gateway
        self.fake = fake

    def write(self, *parts: str) -> None:
        """As editors do: another file in its place."""
        new = self.home / "new.toml"
        new.write_text("\n".join((QUIET, LOUD, *parts)))
        new.replace(self.home / "hoosh.toml")

    def hup(self, words: str) -> None:
        """Tell it, and wait for what it says to that."""
        before = logged(self.home, words)
        self.gateway.process.send_signal(signal.SIGHUP)
        until(lambda: logged(self.home, words) > before)


@contextmanager
def scene(home: Path, *parts: str) -> Iterator[Scene]:
    with provider() as fake:
        config = "\n".join((QUIET, LOUD, *(part.replace("{url}", fake.url) for part in parts)))
        with serving(home, config) as gateway:
            yield Scene(home, gateway, fake)


READ, STAYS = "the configuration was read again", "the configuration stays as it is"


def test_a_hangup_takes_new_routes_and_providers_and_says_what_is_different(tmp_path: Path) -> None:
    with scene(tmp_path, backend("a", "{url}")) as at:
        assert ask(at.gateway, "fast").status == 404
        at.write(backend("b", at.fake.url), '[aliases]\nfast = "b/echo"\n[store]\nlease_s = 7\n')
        at.hup(READ)
        answer = ask(at.gateway, "fast")
        assert (answer.status, answer.headers["x-hoosh-provider"], answer.headers["x-hoosh-config"]) == (200, "b", "2")
        assert ask(at.gateway, "a/echo").status == 404
        told = (tmp_path / "stderr.log").read_text()
        for line in ("providers.a: removed", "providers.b: added", "aliases.fast: added", "(needs a restart)"):
            assert line in told


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("[[providers]]\ntype = 'nope'\n", "unknown provider"),
        ("[aliases\n", "not TOML"),
        ("[retry]\ntries = 'many'\n", "retry.tries"),
        ("[[routes]]\nname = 'r'\nmodels = ['m']\nstrategy = 'luck'\n", "routes[0].strategy"),
        ("[[keys]]\nname = 'k'\ntoken = '$NOT_SET'\n", "NOT_SET is not set"),
    ],
)
def test_a_bad_file_changes_nothing_and_says_why(tmp_path: Path, bad: str, why: str) -> None:
    with scene(tmp_path, backend("a", "{url}")) as at:
        at.write(backend("b", at.fake.url), bad)
        at.hup(STAYS)
        assert why in (tmp_path / "stderr.log").read_text()
        answer = ask(at.gateway, "a/echo")
        assert (answer.status, answer.headers["x-hoosh-config"]) == (200, "1")
        assert ask(at.gateway, "b/echo").status == 404


def test_a_key_that_is_gone_is_refused_at_once_and_what_was_used_stays_used(tmp_path: Path) -> None:
    def keys(*names: str) -> str:
        rows = (f"[[keys]]\nname = '{name}'\ntoken = '{name * 20}'\npool = 'p'\n" for name in names)
        return "".join(rows) + "[[budgets]]\nname = 'p'\ncapacity = 100000\n"

    with scene(tmp_path, backend("a", "{url}"), keys("x", "y")) as at:
        bearers = {name: f"authorization: Bearer {name * 20}" for name in "xy"}
        assert [ask(at.gateway, "a/echo", bearers[name]).status for name in "xy"] == [200, 200]
        at.write(backend("a", at.fake.url), keys("y"))
        at.hup(READ)
        assert [ask(at.gateway, "a/echo", bearers[name]).status for name in "xy"] == [401, 200]
        pools = at.gateway.ask(b"", bearers["y"], path="/v1/tokens/pools/p", method="GET").value
        assert pools["used"] == 15
        at.write(backend("a", at.fake.url), keys("y").replace("100000", "15"))
        at.hup(READ)
        assert ask(at.gateway, "a/echo", bearers["y"]).status == 429
        at.write(backend("a", at.fake.url))
        at.hup(READ)
        assert ask(at.gateway, "a/echo").status == 401  # without keys nobody is let in who was not before


def test_a_call_that_runs_keeps_the_configuration_that_it_began_with(tmp_path: Path) -> None:
    with scene(tmp_path, backend("a", "{url}")) as at:
        body = json.dumps({"model": "a/slow", "messages": HI, "stream": True}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", at.gateway.port), timeout=PATIENCE_S) as client:
            client.sendall(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
            said = b""
            while b"data:" not in said:
                said += client.recv(65536)
            assert b"x-hoosh-provider: a\r\n" in said
            at.write(backend("b", at.fake.url))
            at.hup(READ)
            assert ask(at.gateway, "b/echo").status == 200
            client.setblocking(False)
            with pytest.raises(BlockingIOError):  # it is neither over nor broken off
                client.recv(1)
        assert at.fake.hung_up.wait(PATIENCE_S)


def test_a_file_that_changes_is_read_by_itself_once_it_is_whole(tmp_path: Path) -> None:
    with scene(tmp_path, backend("a", "{url}"), "[server]\nwatch_config = true\n") as at:
        at.write(backend("b", at.fake.url))
        until(lambda: logged(tmp_path, READ) == 1)
        assert ask(at.gateway, "b/echo").status == 200
        (tmp_path / "hoosh.toml").write_text("[aliases")
        until(lambda: logged(tmp_path, STAYS) == 1)
        assert ask(at.gateway, "b/echo").status == 200
        (tmp_path / "hoosh.toml").unlink()
        at.write(backend("a", at.fake.url))
        until(lambda: logged(tmp_path, READ) == 2)
        assert ask(at.gateway, "a/echo").status == 200


def test_an_admin_asks_for_it_and_hears_what_became_of_it(tmp_path: Path) -> None:
    def reload(path: Path) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE_S)
        connection.sock.connect(str(path))
        connection.request("POST", "/admin/reload")
        reply = connection.getresponse()
        told = json.loads(reply.read())
        connection.close()
        return reply.status, told

    admin = f"[admin]\nenabled = true\nsocket = '{tmp_path}/admin.sock'\n"
    with scene(tmp_path, backend("a", "{url}"), admin) as at:
        at.write(backend("a", at.fake.url), admin, '[aliases]\nfast = "a/echo"\n[store]\nlease_s = 7\n')
        status, told = reload(tmp_path / "admin.sock")
        assert (status, told["changed"], told["needs_restart"]) == (
            200,
            ["aliases.fast: added"],
            ["store.lease_s: 30.0 -> 7.0"],
        )
        assert ask(at.gateway, "fast").status == 200
        at.write(backend("a", at.fake.url), admin, "[aliases]\nfast = 7\n")
        status, told = reload(tmp_path / "admin.sock")
        assert status == 400
        assert "aliases.fast" in str(told["error"])


def test_all_workers_take_it_and_so_does_one_that_is_started_later(tmp_path: Path) -> None:
    with scene(tmp_path, backend("a", "{url}"), "[server]\nworkers = 2\n") as at:
        at.write(backend("b", at.fake.url))
        at.gateway.process.send_signal(signal.SIGHUP)
        until(lambda: logged(tmp_path, READ) == 2)
        assert {ask(at.gateway, "b/echo").status for _ in range(20)} == {200}
        at.write("[aliases")
        at.hup(STAYS)
        assert {ask(at.gateway, "b/echo").status for _ in range(20)} == {200}
        children = Path(f"/proc/{at.gateway.process.pid}/task/{at.gateway.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        until(lambda: logged(tmp_path, "it is started again") == len(children))
        until(lambda: _is_up(at.gateway))
        assert {ask(at.gateway, "b/echo").status for _ in range(20)} == {200}


def _is_up(gateway: Running) -> bool:
    try:
        return ask(gateway, "b/echo").status == 200
    except (OSError, IndexError, ValueError):
        return False


def test_a_hundred_reloads_under_load_fail_no_call_and_mix_no_two_configurations(tmp_path: Path) -> None:
    """Two configurations that share nothing: what came half of each would find no provider for its alias."""
    variants = [('"a/echo"', "a"), ('"b/echo"', "b")]
    with scene(tmp_path, backend("a", "{url}"), '[aliases]\nfast = "a/echo"\n') as at:
        stop = threading.Event()
        answers: list[Answer] = []

        def load() -> None:
            while not stop.is_set():
                answers.append(ask(at.gateway, "fast"))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in range(100):
            if n % 3 == 2:
                at.write(backend("c", at.fake.url), "[aliases]\nfast = 7\n")
                at.hup(STAYS)
            else:
                alias, name = variants[(n - n // 3) % 2]
                at.write(backend(name, at.fake.url), f"[aliases]\nfast = {alias}\n")
                at.hup(READ)
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert {answer.status for answer in answers} == {200}
        by_config: dict[str, set[str]] = {}
        for answer in answers:
            by_config.setdefault(answer.headers["x-hoosh-config"], set()).add(answer.headers["x-hoosh-provider"])
        assert all(len(names) == 1 for names in by_config.values())
        assert len(by_config) > 10
