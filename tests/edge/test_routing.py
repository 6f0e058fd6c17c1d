"""Routes, failover and explanations through a real gateway and real sockets."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway import PATIENCE_S, QUIET, Answer, Chat, Provider, Running, clean_environ, provider, serving

HI = [{"role": "user", "content": "Hi"}]
LONG = {"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}}
FLAGGED = {"error": {"message": "The prompt was flagged", "code": "content_policy_violation"}}
WRONG_KEY = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}


class Moody(Chat):
    """Fails as it is told: `server.mood` is a status and a body, "reset", or nothing."""

    def do_POST(self) -> None:
        mood = getattr(self.server, "mood", None)
        if mood is None:
            super().do_POST()
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        if mood == "reset":
            self.close_connection = True
            return
        status, value, *headers = mood
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, told in headers:
            self.send_header(name, told)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Scene:
    def __init__(self, home: Path, gateway: Running, fakes: dict[str, Provider]) -> None:
        self.home = home
        self.gateway = gateway
        self.fakes = fakes

    def ask(self, model: str = "echo", *headers: str, **more: object) -> Answer:
        return self.gateway.json({"model": model, "messages": HI, **more}, *headers)

    def mood(self, name: str, mood: object) -> None:
        self.fakes[name].mood = mood  # type: ignore[attr-defined]

    def asked(self, name: str) -> int:
        return len(self.fakes[name].bodies)


def table(name: str, url: str, kind: str = "vllm", more: str = "") -> str:
    return f'[[providers]]\ntype = "{kind}"\nname = "{name}"\nbase_url = "{url}"\nmodels = ["echo", "slow"]\n{more}\n'


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Scene]:
    """Three servers, in the order of their priority, and some routes over them."""
    with ExitStack() as held:
        fakes = {name: held.enter_context(provider(Moody)) for name in "abc"}
        tables = [table(name, fake.url, more=f"priority = {n}") for n, (name, fake) in enumerate(fakes.items(), 1)]
        config = "\n".join((QUIET, "[retry]\nbase_delay_s = 0.0\n[health]\nopen_s = 60\nmax_open_s = 60\n", *tables))
        config += ROUTES
        yield Scene(tmp_path, held.enter_context(serving(tmp_path, config)), fakes)


ROUTES = """
[[routes]]
name = "turns"
models = ["turns"]
strategy = "round_robin"
targets = [{model = "a/echo", weight = 3}, {model = "b/echo"}, {model = "c/echo", tier = 1}]
[[routes]]
name = "gold"
models = ["fast"]
targets = [{model = "c/echo"}]
[routes.when]
tags = ["gold"]
[[routes]]
name = "fast"
models = ["fast"]
targets = [{model = "a/echo"}, {model = "b/echo"}]
fallback_on = ["context", "content"]
[[routes]]
name = "wide"
models = ["wide"]
targets = [{model = "a/echo", context_tokens = 10}, {model = "b/echo", context_tokens = 5}, {model = "c/echo", context_tokens = 99}]
[[routes]]
name = "plain"
models = ["plain"]
targets = [{model = "a/echo"}, {model = "b/echo"}]
fallback_on = []
"""


def test_a_reply_says_which_way_it_went(three: Scene) -> None:
    answer = three.ask("fast")
    assert answer.headers["x-hoosh-route"] == "fast; strategy=priority; usable=2/2"
    assert three.ask("echo").headers["x-hoosh-route"] == "default; strategy=priority; usable=3/3"
    assert three.ask("fast", "x-hoosh-tags: eu, gold").headers["x-hoosh-provider"] == "c"


def test_weights_and_sessions_hold_over_many_calls(three: Scene) -> None:
    served = [three.ask("turns").headers["x-hoosh-provider"] for _ in range(100)]
    assert abs(served.count("a") - 75) <= 3
    assert served.count("c") == 0
    mine = {three.ask("turns", "x-session-id: mine").headers["x-hoosh-provider"] for _ in range(10)}
    assert len(mine) == 1
    by_key = {three.ask("turns", prompt_cache_key="k").headers["x-hoosh-provider"] for _ in range(10)}
    assert len(by_key) == 1


def test_virtual_models_are_listed_and_shown(three: Scene) -> None:
    listed = {row["id"] for row in three.gateway.ask(b"", path="/v1/models", method="GET").value["data"]}
    assert {"turns", "fast", "wide", "plain", "echo"} <= listed
    assert three.gateway.ask(b"", path="/v1/models/fast", method="GET").value["owned_by"] == "hoosh"


@pytest.mark.parametrize("status", [500, 502, 503, 529, 429, 401, 402, 404])
def test_what_one_provider_cannot_the_next_does(three: Scene, status: int) -> None:
    three.mood("a", (status, {"error": {"message": "model trouble"}}))
    answer = three.ask()
    assert (answer.status, answer.headers["x-hoosh-provider"]) == (200, "b")
    assert three.asked("c") == 0


def test_a_provider_that_fails_is_left_alone_and_all_down_is_503_with_reasons(three: Scene) -> None:
    for name in "abc":
        three.mood(name, (500, {"error": {"message": "broken"}}))
    for _ in range(5):
        assert three.ask().status == 500
    answer = three.ask()
    assert (answer.status, answer.error["code"]) == (503, "no_provider")
    assert all(f"{name}/echo: upstream_error" in answer.error["message"] for name in "abc")
    assert int(answer.headers["retry-after"]) >= 1
    asked = sum(three.asked(name) for name in "abc")
    assert {three.ask().status for _ in range(150)} == {503}
    more = sum(three.asked(name) for name in "abc") - asked
    assert more < 150  # those who are left alone are asked in the end, out of the budget for further attempts
    health = three.gateway.ask(b"", path="/v1/health/providers", method="GET").value["providers"]
    assert [row["circuits_open"][0]["name"] for row in health] == ["a/echo", "b/echo", "c/echo"]
    assert three.ask("unknown-model").status == 404


def test_a_rate_limit_rests_the_key_and_says_when_to_come_again(three: Scene) -> None:
    three.mood("a", (429, {"error": {"message": "slow down"}}, ("retry-after", "30")))
    assert three.ask("a/echo").status == 429
    answer = three.ask("a/echo")
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert 25 <= int(answer.headers["retry-after"]) <= 30
    assert three.asked("a") == 1
    assert three.ask().headers["x-hoosh-provider"] == "b"


def test_too_long_a_prompt_goes_to_who_reads_more_and_to_nobody_else(three: Scene) -> None:
    three.mood("a", (400, LONG))
    answer = three.ask("wide")
    assert (answer.status, answer.headers["x-hoosh-provider"]) == (200, "c")
    assert three.asked("b") == 0
    assert three.ask("plain").error["code"] == "context_length_exceeded"


def test_refused_content_goes_elsewhere_only_by_the_routes_leave(three: Scene) -> None:
    three.mood("a", (400, FLAGGED))
    assert three.ask("fast").headers["x-hoosh-provider"] == "b"
    answer = three.ask("plain")
    assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")


def test_a_deadline_of_the_client_ends_a_call_and_a_wrong_one_is_refused(three: Scene) -> None:
    answer = three.gateway.json({"model": "a/silent", "messages": HI}, "x-request-timeout: 0.3")
    assert answer.status == 504
    for wrong in ("soon", "-1", "0", "nan", "1e9"):
        answer = three.ask("echo", f"x-request-timeout: {wrong}")
        assert (answer.status, answer.error["param"]) == (400, "x-request-timeout")


def test_a_decision_is_kept_with_what_was_tried_and_only_its_owner_finds_it(three: Scene) -> None:
    three.mood("a", (500, {"error": {"message": "broken"}}))
    answer = three.ask("fast", "x-request-id: my-own")
    assert answer.headers["x-hoosh-provider"] == "b"
    told = three.gateway.ask(b"", path="/v1/route/decisions/my-own", method="GET").value
    assert (told["route"], told["outcome"], told["attempts"]) == ("fast", "ok", told["attempts"])
    assert told["served_by"] == {"provider": "b", "model": "echo"}
    assert told["failed"][0]["provider"] == "a"
    assert told["failed"][0]["error"]["status"] == 500
    assert three.gateway.ask(b"", path="/v1/route/decisions/nobodys", method="GET").status == 404


def explained(scene: Scene, model: str, *headers: str, query: str = "") -> dict[str, Any]:
    answer = scene.gateway.json({"model": model, "messages": HI}, *headers, path=f"/v1/route/explain{query}")
    assert answer.status == 200, answer.body
    value: dict[str, Any] = answer.value
    return value


def test_an_explanation_names_all_candidates_and_why_each_is_passed_over(three: Scene) -> None:
    three.mood("a", (429, {"error": {"message": "slow down"}}, ("retry-after", "30")))
    three.ask("a/echo")
    told = explained(three, "fast")
    rows = {row["provider"]: row for row in told["candidates"]}
    assert told["targets"] == [{"provider": "b", "model": "echo"}]
    assert (rows["a"]["skipped"], rows["a"]["place"], rows["b"]["place"]) == ("rate limited", None, 1)
    assert rows["a"]["retry_in_s"] > 20
    assert told["routes_passed"] == [{"route": "gold", "failed": "tags"}]
    assert told["budget"] == {
        "pools": ["default"],
        "percent_used": 0,
        "has_limit": False,
        "tokens_held": told["budget"]["tokens_held"],
    }
    assert told["hardware"]["cpus"] >= 1
    assert explained(three, "fast", query="?tags=gold")["route"] == "gold"
    assert explained(three, "fast", "x-hoosh-tags: gold")["route"] == "gold"
    assert three.asked("b") == 0  # nothing was asked of anybody


def test_an_explanation_takes_any_dialect_and_refuses_what_it_does_not_know(three: Scene) -> None:
    body = {"model": "fast", "max_tokens": 5, "messages": HI}
    assert three.gateway.json(body, path="/v1/route/explain?for=/v1/messages").value["route"] == "fast"
    answer = three.gateway.json(body, path="/v1/route/explain?for=/nowhere")
    assert (answer.status, answer.error["param"]) == (400, "for")
    answer = three.gateway.json(body, path="/v1/route/explain?input_tokens=many")
    assert (answer.status, answer.error["param"]) == (400, "input_tokens")
    assert three.gateway.json({"model": "never-heard-of", "messages": HI}, path="/v1/route/explain").status == 404


def test_the_command_says_the_same_as_the_gateway(three: Scene) -> None:
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "hoosh", "route", "explain", *words]
        done = subprocess.run(
            command, env=clean_environ(three.home), capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        return done.stdout

    remote = json.loads(run("turns", "--server", three.gateway.url, "--json"))
    here = json.loads(run("turns", "--config", str(three.home / "hoosh.toml"), "--json"))
    assert remote["targets"] == here["targets"]
    text = run("fast", "--config", str(three.home / "hoosh.toml"), "--tag", "gold")
    assert "model fast: route gold, strategy priority" in text


def test_a_paid_call_that_may_have_been_answered_is_not_made_again(tmp_path: Path) -> None:
    with ExitStack() as held:
        fakes = {name: held.enter_context(provider(Moody)) for name in "pq"}
        paid = "[[prices]]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n"
        tables = [table(name, fake.url, "openai", "api_key = 'sk-1'") for name, fake in fakes.items()]
        scene = Scene(tmp_path, held.enter_context(serving(tmp_path, "\n".join((QUIET, paid, *tables)))), fakes)
        scene.mood("p", "reset")
        answer = scene.ask()
        assert answer.status == 502
        assert answer.headers["x-should-retry"] == "false"
        assert (scene.asked("p"), scene.asked("q")) == (1, 0)


def test_a_route_has_a_bound_on_what_one_call_may_cost(tmp_path: Path) -> None:
    def price(name: str, usd: int) -> str:
        return f"[[prices]]\nprovider = '{name}'\ninput_usd_per_mtok = {usd}\noutput_usd_per_mtok = {usd}\n"

    with ExitStack() as held:
        fakes = {name: held.enter_context(provider(Moody)) for name in "pq"}
        tables = [table(name, fake.url, "openai", "api_key = 'sk-1'") for name, fake in fakes.items()]
        route = "[[routes]]\nname = 'r'\nmodels = ['r']\nmax_cost_usd = 0.01\n"
        route += "targets = [{model = 'p/echo'}, {model = 'q/echo'}]\n"
        config = "\n".join((QUIET, price("p", 1000), price("q", 1), *tables, route))
        scene = Scene(tmp_path, held.enter_context(serving(tmp_path, config)), fakes)
        answer = scene.ask("r", max_tokens=100)
        assert (answer.status, answer.headers["x-hoosh-provider"]) == (200, "q")
        answer = scene.ask("r", max_tokens=100_000)
        assert (answer.status, answer.error["code"]) == (402, "cost_limit")
        assert scene.asked("p") == 0


def test_several_keys_take_turns_and_a_refused_one_is_not_shown_again(tmp_path: Path) -> None:
    class Gate(Chat):
        def do_POST(self) -> None:
            if self.headers["authorization"] == "Bearer bad":
                self.rfile.read(int(self.headers["content-length"]))
                self.server.headers.append({"authorization": "Bearer bad"})
                self._reply(401, WRONG_KEY)
            else:
                super().do_POST()

    with provider(Gate) as fake:
        keys = "api_key = 'one'\napi_keys = ['bad', 'two']"
        with serving(tmp_path, QUIET + table("p", fake.url, "openai", keys)) as gateway:
            scene = Scene(tmp_path, gateway, {"p": fake})
            assert {scene.ask().status for _ in range(12)} == {200}
            shown = [headers["authorization"] for headers in fake.headers]
            assert shown.count("Bearer bad") == 1
            assert shown.count("Bearer one") >= 5
            assert shown.count("Bearer two") >= 5


def test_the_faster_of_two_answers_where_a_route_hedges(tmp_path: Path) -> None:
    with ExitStack() as held:
        fakes = {name: held.enter_context(provider(Moody)) for name in "ab"}
        tables = [table(name, fake.url).replace('"slow"]', '"slow", "silent"]') for name, fake in fakes.items()]
        hedge = "[[routes]]\nname = 'h'\nmodels = ['h']\nhedge_after_s = 0.05\n"
        hedge += "targets = [{model = 'a/silent'}, {model = 'b/echo'}]\n"
        scene = Scene(tmp_path, held.enter_context(serving(tmp_path, "\n".join((QUIET, *tables, hedge)))), fakes)
        answer = scene.ask("h")
        assert (answer.status, answer.headers["x-hoosh-provider"]) == (200, "b")
        assert fakes["a"].hung_up.wait(PATIENCE_S)  # the slower one was left


def test_calls_at_once_share_the_probe_of_a_provider_that_comes_back(tmp_path: Path) -> None:
    with ExitStack() as held:
        fakes = {name: held.enter_context(provider(Moody)) for name in "ab"}
        quick = "[retry]\nbase_delay_s = 0.0\ntries = 1\n[health]\nopen_s = 0.2\nmax_open_s = 0.2\n"
        tables = [table(name, fake.url, more=f"priority = {n}") for n, (name, fake) in enumerate(fakes.items())]
        scene = Scene(tmp_path, held.enter_context(serving(tmp_path, "\n".join((QUIET, quick, *tables)))), fakes)
        scene.mood("a", (500, {"error": {"message": "broken"}}))
        answers = [scene.ask() for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert scene.asked("a") < 20
        scene.mood("a", None)
        back = threading.Event()
        while not back.is_set():
            if scene.ask().headers["x-hoosh-provider"] == "a":
                back.set()
        assert {scene.ask().headers["x-hoosh-provider"] for _ in range(5)} == {"a"}
