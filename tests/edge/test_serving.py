"""`hoosh serve` as its users meet it: answers, headers, keys, clients that leave, a provider that breaks off."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import PATIENCE_S, QUIET, Provider, Running, clean_environ, one_provider, provider, serving

HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("serving"), one_provider(fake.url)) as running:
        yield running


def test_an_answer_names_who_gave_it(gateway: Running) -> None:
    answer = gateway.json({"model": "echo", "messages": HI}, "x-request-id: mine-7")
    assert answer.status == 200
    assert answer.value["choices"][0]["message"]["content"] == "Hi"
    assert answer.value["usage"]["provider"] == "fake"
    assert answer.headers["x-request-id"] == "mine-7"
    assert answer.headers["x-hoosh-provider"] == "fake"
    assert answer.headers["x-hoosh-model"] == "echo"
    assert answer.headers["x-hoosh-attempts"] == "1"
    assert answer.headers["server-timing"].startswith("first-event;dur=")


def test_a_stream_ends_in_done_with_usage_when_asked(gateway: Running) -> None:
    options = {"include_usage": True}
    answer = gateway.json({"model": "echo", "messages": HI, "stream": True, "stream_options": options})
    assert answer.headers["content-type"].startswith("text/event-stream")
    body = answer.body
    assert body.rstrip().endswith(b"0") or b"data: [DONE]\n\n" in body
    assert b'"usage":{' in body
    assert b'"estimated":true' in body  # this provider reports none


def test_the_providers_key_goes_up_and_the_clients_does_not(gateway: Running, fake: Provider) -> None:
    gateway.json({"model": "echo", "messages": HI}, "authorization: Bearer client-secret", "x-canary: client-secret")
    assert fake.headers[-1]["authorization"] == "Bearer sk-upstream-secret"
    assert "client-secret" not in json.dumps(fake.headers[-1])


def test_the_gateways_own_keys_do_not_go_up_and_unknown_ones_do(gateway: Running, fake: Provider) -> None:
    gateway.json({"model": "fake/echo", "messages": HI, "pool": "default", "novel": {"a": [1, 2.50]}})
    sent = fake.bodies[-1]
    assert b'"pool"' not in sent
    assert b'"novel":{"a": [1, 2.5]}' in sent.replace(b'"novel": ', b'"novel":')
    assert json.loads(sent)["model"] == "echo"


def test_a_client_that_leaves_before_the_first_byte_ends_the_providers_work(gateway: Running, fake: Provider) -> None:
    _leave(gateway, fake, {"model": "silent", "messages": HI}, b"")


def test_a_client_that_leaves_in_the_middle_ends_the_providers_work(gateway: Running, fake: Provider) -> None:
    _leave(gateway, fake, {"model": "slow", "messages": HI, "stream": True}, b"Hi")


def _leave(gateway: Running, fake: Provider, value: object, after: bytes) -> None:
    fake.hung_up.clear()
    seen = len(fake.bodies)
    body = json.dumps(value).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head % len(body) + body)
        got = b""
        while after not in got or len(fake.bodies) == seen:
            if after:
                got += connection.recv(65536)
    assert fake.hung_up.wait(PATIENCE_S)


def test_a_stream_that_breaks_off_ends_in_an_error_and_without_done(gateway: Running) -> None:
    answer = gateway.json({"model": "cut", "messages": HI, "stream": True})
    assert answer.status == 200
    assert b'"error":{' in answer.body
    assert b"[DONE]" not in answer.body


def test_pages(gateway: Running) -> None:
    def page(path: str) -> dict[str, Any]:
        answer = gateway.ask(b"", path=path, method="GET")
        assert answer.status == 200, path
        value: dict[str, Any] = answer.value
        return value

    assert page("/livez") == {"status": "ok"}
    assert page("/readyz") == {"status": "ready"}
    assert page("/v1/health")["providers_configured"] == 1
    (state,) = page("/v1/health/providers")["providers"]
    assert state["provider"] == "fake"
    assert {row["id"] for row in page("/v1/models")["data"]} == {"echo", "silent", "cut", "slow"}
    assert page("/v1/models/echo")["owned_by"] == "fake"
    assert gateway.ask(b"", path="/v1/health", method="HEAD").body == b""


def test_keys_are_asked_for_once_there_are_some(fake: Provider, tmp_path: Path) -> None:
    key = '[[keys]]\nname = "laptop"\ntoken = "a-token-of-good-length"\n'
    with serving(tmp_path, one_provider(fake.url) + key) as gateway:
        asked = {"model": "echo", "messages": HI}
        answer = gateway.json(asked)
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert gateway.json(asked, "authorization: Bearer wrong-token-of-length").status == 401
        assert gateway.json(asked, "Authorization: bearer a-token-of-good-length").status == 200
        assert gateway.json(asked, "X-API-Key: a-token-of-good-length").status == 200
        assert gateway.ask(b"", path="/v1/models", method="GET").status == 401
        other = gateway.json({**asked, "pool": "other"}, "X-API-Key: a-token-of-good-length")
        assert (other.status, other.error["param"]) == (403, "pool")
        assert gateway.ask(b"", path="/v1/health", method="GET").status == 200
    log = (tmp_path / "stderr.log").read_text()
    calls = [json.loads(line) for line in log.splitlines() if '"event":"call"' in line]
    assert [call["key"] for call in calls] == ["laptop", "laptop"]
    assert "a-token" not in log
    assert "sk-upstream" not in log


def test_a_repeated_request_id_does_not_make_calls_free(fake: Provider, tmp_path: Path) -> None:
    budget = '[[budgets]]\nname = "small"\ncapacity = 100\n'
    asked = {"model": "echo", "messages": HI, "max_tokens": 20, "pool": "small"}
    with serving(tmp_path, one_provider(fake.url) + budget) as gateway:
        statuses = [gateway.json(asked, "x-request-id: same").status for _ in range(30)]
    assert 200 in statuses
    assert statuses[-1] == 429


def test_a_budget_refuses_what_it_cannot_hold(fake: Provider, tmp_path: Path) -> None:
    budget = '[[budgets]]\nname = "small"\ncapacity = 100\n'
    with serving(tmp_path, one_provider(fake.url) + budget) as gateway:
        answer = gateway.json({"model": "echo", "messages": HI, "max_tokens": 200, "pool": "small"})
        assert (answer.status, answer.error["code"]) == (429, "budget_exceeded")
        assert "pool 'small' has 100 tokens remaining" in answer.error["message"]
        assert gateway.json({"model": "echo", "messages": HI, "max_tokens": 20}, "x-hoosh-pool: small").status == 200


def hoosh(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hoosh", *arguments]
    return subprocess.run(
        command, env=clean_environ(home, **environ), cwd=home, capture_output=True, text=True, timeout=PATIENCE_S
    )


def test_a_bind_off_loopback_without_keys_is_refused_in_one_line(tmp_path: Path) -> None:
    done = hoosh(tmp_path, "serve", "--bind", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "[[keys]]" in done.stderr


def test_a_port_in_use_is_told_in_one_line(tmp_path: Path, gateway: Running) -> None:
    done = hoosh(tmp_path, "serve", "--port", str(gateway.port))
    assert done.returncode == 2
    assert done.stderr == f"hoosh: port {gateway.port} of 127.0.0.1 is in use; try --port {gateway.port + 1}\n"


def test_commands_against_a_running_gateway(tmp_path: Path, gateway: Running) -> None:
    assert hoosh(tmp_path, "infer", "--server", gateway.url, "-m", "echo", "Good day").stdout == "Good day\n"
    assert hoosh(tmp_path, "infer", "--stream", "-m", "echo", "Good day", HOOSH_URL=gateway.url).stdout == "Good day\n"
    assert "echo  fake" in hoosh(tmp_path, "models", "--server", gateway.url).stdout
    assert json.loads(hoosh(tmp_path, "health", "--server", gateway.url, "--json").stdout)[0]["provider"] == "fake"
    refused = hoosh(tmp_path, "infer", "--server", gateway.url, "-m", "ecko", "Hi")
    assert refused.returncode == 1
    assert refused.stderr.startswith("hoosh: No provider configured for model 'ecko'. Did you mean echo")


def test_commands_without_a_server(tmp_path: Path, fake: Provider) -> None:
    (tmp_path / "hoosh.toml").write_text(one_provider(fake.url))
    assert hoosh(tmp_path, "infer", "-m", "echo", "Good day").stdout == "Good day\n"
    assert hoosh(tmp_path, "infer", "-m", "echo", "--stream", "Good day").stdout == "Good day\n"
    assert json.loads(hoosh(tmp_path, "infer", "-m", "echo", "--json", "x").stdout)["usage"]["provider"] == "fake"
    assert "echo  fake" in hoosh(tmp_path, "models").stdout
    assert hoosh(tmp_path, "health").returncode == 0
    assert json.loads(hoosh(tmp_path, "info", "--json").stdout)["version"]
    assert "ok" in hoosh(tmp_path, "config", "check").stdout
    assert json.loads(hoosh(tmp_path, "config", "schema").stdout)["properties"]
    assert "[server]" in hoosh(tmp_path, "config", "example").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serv",), 'Did you mean "serve"'),
        (("serve", "--prot", "1"), "Did you mean --port?"),
        (("models", "pull", "no-such-model"), "no-such-model"),
        (("infer", "--server", "http://127.0.0.1:9", "Hi"), "cannot reach http://127.0.0.1:9"),
        (("config", "check", "nope.toml"), "no config at nope.toml"),
    ],
)
def test_a_wrong_command_says_what_to_do(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = hoosh(tmp_path, *arguments)
    assert done.returncode != 0
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_all_mistakes_of_a_configuration_are_told_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "hoosh.toml").write_text(QUIET + '[server]\nprot = 1\nbind = 7\n[[providers]]\ntype = "opnai"\n')
    done = hoosh(tmp_path, "serve")
    assert done.returncode == 2
    assert 'did you mean "port"' in done.stderr
    assert 'did you mean "openai"' in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_the_banner_can_be_copied_line_by_line(gateway: Running) -> None:
    for line in (
        f"curl {gateway.url}/v1/chat/completions -H 'content-type: application/json'",
        f'openai.OpenAI(base_url="{gateway.url}/v1", api_key="any")',
        f"ANTHROPIC_BASE_URL={gateway.url} ANTHROPIC_API_KEY=any ANTHROPIC_MODEL=default claude",
    ):
        assert line in gateway.banner
