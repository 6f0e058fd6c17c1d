"""Keys as their users meet them: `hoosh keys` beside gateways that run, and the admin listener."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway import PATIENCE_S, Answer, Provider, Running, clean_environ, one_provider, provider, serving

HI = [{"role": "user", "content": "Hi"}]
ECHO = {"model": "echo", "messages": HI}
ALIASES = '[aliases]\nloud = "echo"\nquiet = "silent"\n'


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


def hoosh(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hoosh", *words]
    return subprocess.run(
        command, env=clean_environ(home), cwd=home, capture_output=True, text=True, timeout=PATIENCE_S
    )


def made(home: Path, name: str, *words: str) -> str:
    done = hoosh(home, "keys", "create", "--name", name, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def until(gateway: Running, token: str, status: int, asked: dict[str, Any] = ECHO) -> Answer:
    """Ask until the gateway answers so. A key that stays as it was would never end this: the test's own limit does."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = gateway.json(asked, f"authorization: Bearer {token}")
        if answer.status == status:
            return answer
        assert time.monotonic() < deadline, answer.body


def test_a_key_lives_and_ends_on_every_gateway_of_a_store(fake: Provider, tmp_path: Path) -> None:
    """Both are asked without a pause while the key is revoked: none of the answers is anything but 200 and 401."""
    with ExitStack() as stack:
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            home = {"HOOSH_HOME": str(tmp_path / "hoosh")}
            config = one_provider(fake.url) + "[keys_store]\nfailures_per_minute = 0\n"
            gateways.append(stack.enter_context(serving(tmp_path / name, config, **home)))
        assert [gateway.json(ECHO).status for gateway in gateways] == [200, 200]  # no keys yet
        token = made(tmp_path, "laptop")
        seen: list[set[int]] = [set(), set()]
        stopped = threading.Event()

        def load(n: int) -> None:
            until(gateways[n], token, 200)
            while not stopped.is_set():
                seen[n].add(gateways[n].json(ECHO, f"authorization: Bearer {token}").status)

        for gateway in gateways:
            until(gateway, "", 401)
        threads = [threading.Thread(target=load, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        new = hoosh(tmp_path, "keys", "rotate", "laptop").stdout.strip()
        for gateway in gateways:
            until(gateway, new, 200)
        assert hoosh(tmp_path, "keys", "revoke", "laptop").returncode == 0
        told = [until(gateway, token, 401).error["message"] for gateway in gateways]
        stopped.set()
        for thread in threads:
            thread.join()
        assert all(message.startswith("API key 'laptop'") and message.endswith("was revoked.") for message in told)
        assert [until(gateway, new, 401).status for gateway in gateways] == [401, 401]
        assert [statuses <= {200, 401} for statuses in seen] == [True, True]
    for name in ("one", "two"):
        log = (tmp_path / name / "stderr.log").read_text()
        assert token.split("_")[1] in log
        for secret in (token, new):
            assert secret.split("_")[2] not in log


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyed")


@pytest.fixture(scope="module")
def tokens(home: Path) -> dict[str, str]:
    return {
        "free": made(home, "free"),
        "echo": made(home, "echo", "--models", "echo", "--agent", "a1"),
        "alias": made(home, "alias", "--models", "loud"),
        "chat": made(home, "chat", "--routes", "chat", "--routes", "models"),
        "chief": made(home, "chief", "--admin"),
    }


@pytest.fixture(scope="module")
def gateway(fake: Provider, home: Path, tokens: dict[str, str]) -> Iterator[Running]:
    admin = "[admin]\nenabled = true\nport = 0\n"
    with serving(home, one_provider(fake.url) + ALIASES + admin) as running:
        yield running


def bearer(token: str) -> str:
    return f"authorization: Bearer {token}"


def models(gateway: Running, token: str, path: str = "/v1/models") -> set[str]:
    value = gateway.ask(b"", bearer(token), path=path, method="GET").value
    return {row.get("id", row.get("name")) for row in value.get("data", value.get("models"))}


def test_a_key_for_one_model_sees_and_uses_only_that(gateway: Running, tokens: dict[str, str]) -> None:
    token = bearer(tokens["echo"])
    assert gateway.json(ECHO, token).status == 200
    assert gateway.json({**ECHO, "model": "fake/echo"}, token).status == 200
    assert gateway.json({**ECHO, "model": "loud"}, token).status == 200  # an alias of it is another spelling
    for name in ("silent", "fake/silent", "quiet"):
        answer = gateway.json({**ECHO, "model": name}, token)
        assert (answer.status, answer.error["param"]) == (403, "model")
        assert gateway.ask(b"", token, path=f"/v1/models/{name}", method="GET").status == 404
    smuggled = gateway.json({**ECHO, "models": ["silent"]}, token)
    assert (smuggled.status, smuggled.error["param"]) == (403, "models")
    assert models(gateway, tokens["echo"]) == {"echo", "loud"}
    assert models(gateway, tokens["echo"], "/api/tags") == {"echo", "loud"}
    assert models(gateway, tokens["free"]) == {"echo", "silent", "cut", "slow", "loud", "quiet"}


def test_a_name_on_the_list_is_no_way_to_what_it_stands_for(gateway: Running, tokens: dict[str, str]) -> None:
    assert gateway.json({**ECHO, "model": "loud"}, bearer(tokens["alias"])).status == 403


def test_a_key_for_some_routes_is_refused_at_all_others(gateway: Running, tokens: dict[str, str]) -> None:
    token = bearer(tokens["chat"])
    assert gateway.json(ECHO, token).status == 200
    assert gateway.json(ECHO, token, path="/openai/v1/chat/completions").status == 200
    assert gateway.ask(b"", token, path="/v1/models", method="GET").status == 200
    for path in ("/v1/completions", "/v1/messages", "/v1/v1/messages", "/api/chat", "/v1/models/x:generateContent"):
        answer = gateway.json({**ECHO, "prompt": "Hi", "max_tokens": 5}, token, path=path)
        assert answer.status == 403, path
    assert gateway.ask(b"", token, path="/v1/health/providers", method="GET").status == 403


def test_an_agent_is_one_of_the_keys_own(gateway: Running, tokens: dict[str, str], home: Path) -> None:
    token = bearer(tokens["echo"])
    answer = gateway.json(ECHO, token, "x-agent-id: other")
    assert (answer.status, answer.error["param"]) == (403, "x-agent-id")
    assert gateway.json(ECHO, token, "x-request-id: of-an-agent").status == 200
    deadline = time.monotonic() + PATIENCE_S
    while True:  # lines are written a few times a second
        lines = (home / "stderr.log").read_text().splitlines()
        if found := [line for line in lines if '"request_id":"of-an-agent"' in line]:
            break
        assert time.monotonic() < deadline
    assert json.loads(found[0])["agent"] == "a1"


class Admin:
    def __init__(self, gateway: Running, token: str) -> None:
        port = int(gateway.banner.partition("administration on http://127.0.0.1:")[2].split()[0])
        self._running = Running(gateway.process, port, "")
        self._token = token

    def ask(self, method: str, path: str, value: object = None, *headers: str) -> Answer:
        body = b"" if value is None else json.dumps(value).encode()
        kind = ["content-type: application/json"] if value is not None else []
        return self._running.ask(body, bearer(self._token), *kind, *headers, path=path, method=method)


def test_the_admin_listener_makes_shows_changes_rotates_and_ends_keys(gateway: Running, tokens: dict[str, str]) -> None:
    admin = Admin(gateway, tokens["chief"])
    answer = admin.ask(
        "POST", "/admin/keys", {"name": "made", "models": ["echo"], "expires": "30d", "limits": {"rpm": 5}}
    )
    assert answer.status == 201
    key = answer.value
    assert gateway.json(ECHO, bearer(key["secret"])).status == 200  # at once, on this gateway
    shown = admin.ask("GET", f"/admin/keys/{key['id']}").value
    assert (shown["state"], shown["limits"]) == ("active", {"rpm": 5})
    assert "secret" not in shown
    assert "digest" not in admin.ask("GET", "/admin/keys").body.decode()
    changed = admin.ask("PATCH", "/admin/keys/made", {"models": ["silent"], "expires": None})
    assert (changed.value["models"], changed.value["expires_s"], changed.value["limits"]) == (
        ["silent"],
        None,
        {"rpm": 5},
    )
    assert gateway.json(ECHO, bearer(key["secret"])).status == 403
    assert admin.ask("PATCH", "/admin/keys/made", {"models": None}).value["models"] == []
    rotated = admin.ask("POST", "/admin/keys/made/rotate", {"overlap": "0"}).value
    assert gateway.json(ECHO, bearer(key["secret"])).status == 401
    assert gateway.json(ECHO, bearer(rotated["secret"])).status == 200
    assert admin.ask("DELETE", "/admin/keys/made").value["state"] == "revoked"
    assert gateway.json(ECHO, bearer(rotated["secret"])).status == 401
    assert admin.ask("GET", "/admin/health").value["status"] == "ok"


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({}, None),
        ({"name": 5}, "name"),
        ({"name": "x", "modles": []}, None),
        ({"name": "x", "expires": "soon"}, "expires"),
        ({"name": "x", "pool": "none"}, "pool"),
        ({"name": "x", "limits": {"rpm": "5"}}, "limits.rpm"),
        ({"name": "chief"}, "name"),
        ([], "body"),
    ],
)
def test_a_mistake_names_its_field(gateway: Running, tokens: dict[str, str], value: object, param: str | None) -> None:
    answer = Admin(gateway, tokens["chief"]).ask("POST", "/admin/keys", value)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body


def test_browsers_and_other_keys_are_refused(gateway: Running, tokens: dict[str, str]) -> None:
    chief = Admin(gateway, tokens["chief"])
    assert chief.ask("GET", "/admin/keys", None, "origin: https://evil.example").status == 403
    raw = b"GET /admin/keys HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\nauthorization: Bearer %b\r\n\r\n"
    assert Answer(chief._running.raw(raw % tokens["chief"].encode())).status == 403
    assert chief._running.ask(b"{}", bearer(tokens["chief"]), path="/admin/keys").status == 415
    assert Admin(gateway, tokens["free"]).ask("GET", "/admin/keys").status == 403
    assert Admin(gateway, "").ask("GET", "/admin/keys").status == 401
    assert chief.ask("GET", "/v1/models").status == 404
    assert gateway.ask(b"", bearer(tokens["chief"]), path="/admin/keys", method="GET").status == 404
    assert chief.ask("GET", "/admin/keys/none").error["code"] == "key_not_found"


@pytest.mark.skipif(os.name != "posix", reason="a UNIX socket")
def test_over_its_unix_socket_the_owner_needs_no_key(fake: Provider, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()  # as a process that was killed leaves it
    admin = f'[admin]\nenabled = true\nsocket = "{path}"\n'
    request = b"GET /admin/keys HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with serving(tmp_path, one_provider(fake.url) + admin) as gateway:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(path))
            client.sendall(request)
            data = b""
            while piece := client.recv(65536):
                data += piece
        assert (Answer(data).status, Answer(data).value["data"]) == (200, [])
        (tmp_path / "second").mkdir()
        config = tmp_path / "second" / "hoosh.toml"
        config.write_text(one_provider(fake.url) + admin)
        second = hoosh(tmp_path, "serve", "--port", "0", "--config", str(config))
        assert second.returncode == 2
        assert "admin.socket: cannot listen" in second.stderr
        assert gateway.json(ECHO).status == 200
    assert not path.exists()


def test_an_address_that_shows_wrong_keys_is_not_listened_to_but_known_keys_are(fake: Provider, tmp_path: Path) -> None:
    config = one_provider(fake.url) + "[keys_store]\nfailures_per_minute = 3\nrequired = true\n"
    token, unused = made(tmp_path, "a"), made(tmp_path, "b")
    with serving(tmp_path, config) as gateway:
        assert gateway.json(ECHO, bearer(token)).status == 200
        assert {gateway.json(ECHO).status for _ in range(5)} == {401}
        statuses = [gateway.json(ECHO, bearer("wrong")).status for _ in range(5)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        refused = gateway.json(ECHO, bearer(unused))
        assert (refused.status, refused.error["code"]) == (429, "too_many_failed_keys")
        assert int(refused.headers["retry-after"]) >= 1
        assert gateway.json(ECHO, bearer(token)).status == 200
        assert gateway.ask(b"", path="/livez", method="GET").status == 200


def test_a_gateway_does_not_start_on_a_store_that_is_spoilt(tmp_path: Path) -> None:
    (tmp_path / "hoosh").mkdir()
    (tmp_path / "hoosh" / "hoosh.db").write_bytes(b"no database" * 1000)
    done = hoosh(tmp_path, "serve", "--port", "0")
    assert (done.returncode, done.stderr) == (1, "hoosh: the store hoosh.db failed: file is not a database\n")


def test_the_commands_say_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    for words, told in (
        (("create", "--name", "a b"), "name: expected letters"),
        (("create", "--name", "a", "--expires", "soon"), "expires: expected"),
        (("create", "--name", "a", "--pool", "none"), "pool: there is no pool 'none'"),
        (("create", "--name", "a", "--period", "day"), "budget: says neither"),
        (("rotate", "none"), "no key 'none' in the store"),
        (("revoke", "none"), "no key 'none' in the store"),
    ):
        done = hoosh(tmp_path, "keys", *words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert done.stderr.startswith(f"hoosh: {told}"), done.stderr
        assert len(done.stderr.splitlines()) == 1
    (tmp_path / "hoosh.toml").write_text('[store]\nkind = "memory"\n')
    assert hoosh(tmp_path, "keys", "list").returncode == 2


def test_list_and_show_in_text_and_json(tmp_path: Path) -> None:
    assert "No keys" in hoosh(tmp_path, "keys", "list").stdout
    token = made(
        tmp_path, "laptop", "--models", "a*", "--models", "b", "--usd", "2.50", "--period", "month", "--rpm", "9"
    )
    identity = token.split("_")[1]
    (row,) = json.loads(hoosh(tmp_path, "keys", "list", "--json").stdout)
    assert (row["id"], row["models"], row["limits"]) == (identity, ["a*", "b"], {"rpm": 9})
    assert row["budget"] == {"capacity_usd_micros": 2_500_000, "period": "month"}
    assert json.loads(hoosh(tmp_path, "keys", "show", "laptop", "--json").stdout) == row
    text = hoosh(tmp_path, "keys", "show", identity).stdout + hoosh(tmp_path, "keys", "list").stdout
    assert identity in text
    assert "a*, b" in text
    assert token.split("_")[2] not in text
    rotated = json.loads(hoosh(tmp_path, "keys", "rotate", "laptop", "--overlap", "1h", "--json").stdout)
    assert rotated["secret"].startswith(f"hk_{identity}_")
    assert rotated["old_secret_until_s"] > row["created_s"]
    assert json.loads(hoosh(tmp_path, "keys", "revoke", "laptop", "--json").stdout)["state"] == "revoked"
