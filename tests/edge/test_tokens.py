"""Budgets over HTTP by a real gateway: three dialects of clients, books that survive a kill, and what calls cost."""

import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import postgres_server
import redis_server
from gateway import PATIENCE_S, QUIET, Provider, Running, clean_environ, one_provider, provider, running, serving
from hoosh import HooshClient

BUDGETS = (
    '[[budgets]]\nname = "default"\ncapacity = 10_000\n[[budgets]]\nname = "small"\ncapacity = 1000\nperiod = "day"\n'
)
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def fake() -> Iterator[Provider]:
    with provider() as server:
        yield server


def post(gateway: Running, verb: str, **body: object) -> dict[str, object]:
    answer = gateway.json(body, path=f"/v1/tokens/{verb}")
    assert answer.status == 200, answer.body
    value: dict[str, object] = answer.value
    return value


def test_a_reservation_holds_until_it_is_reported_once(tmp_path: Path) -> None:
    with serving(tmp_path, QUIET + BUDGETS) as gateway:
        assert post(gateway, "check", pool="small", tokens=1001)["allowed"] is False
        held = post(gateway, "reserve", pool="small", tokens=600, ttl_seconds=60)
        assert (held["reserved"], held["available"], held["remaining"]) == (True, 400, 400)
        assert post(gateway, "reserve", pool="small", tokens=401)["reserved"] is False
        for _ in range(3):
            told = post(gateway, "report", reservation_id=held["reservation_id"], actual=100)
            assert (told["used"], told["available"], told["pool"]) == (100, 900, "small")
        again = post(gateway, "reserve", pool="small", tokens=900)
        assert post(gateway, "release", reservation_id=again["reservation_id"])["available"] == 900


def test_the_first_dialect_reports_by_amounts_and_frees_nobody_elses_hold(tmp_path: Path) -> None:
    with serving(tmp_path, QUIET + BUDGETS) as gateway:
        post(gateway, "reserve", pool="small", tokens=300)
        assert post(gateway, "report", pool="small", reserved=300, actual=50)["available"] == 950
        post(gateway, "reserve", pool="small", tokens=300)
        told = post(gateway, "report", pool="small", reserved=200, actual=20)  # no such hold: booked, and nothing freed
        assert (told["used"], told["available"]) == (70, 630)
        assert post(gateway, "report", project="p", tokens=7, pool="small")["tokens_consumed"] == 7


def test_what_was_reported_by_its_id_is_not_taken_for_a_later_hold_of_the_same_size(tmp_path: Path) -> None:
    with serving(tmp_path, QUIET + BUDGETS) as gateway:
        first = post(gateway, "reserve", pool="small", tokens=300)
        post(gateway, "report", reservation_id=first["reservation_id"], actual=10)
        post(gateway, "reserve", pool="small", tokens=300)
        told = post(gateway, "report", pool="small", reserved=300, actual=50)
        assert (told["used"], told["available"]) == (60, 940)


@pytest.mark.parametrize(
    ("verb", "body", "param"),
    [
        ("check", {"pool": "small", "tokens": -1}, "tokens"),
        ("check", {"pool": "small", "tokens": 1.5}, "tokens"),
        ("check", {"pool": "small", "tokens": True}, "tokens"),
        ("check", {"pool": "small", "tokens": 10**30}, "tokens"),
        ("check", {"pool": "small"}, "tokens"),
        ("reserve", {"pool": "small", "tokens": 1, "ttl_seconds": 0}, "ttl_seconds"),
        ("report", {"pool": "small"}, "actual"),
        ("release", {"pool": "small"}, "reservation_id"),
    ],
)
def test_a_wrong_number_is_named(gateway: Running, verb: str, body: dict[str, object], param: str) -> None:
    answer = gateway.json(body, path=f"/v1/tokens/{verb}")
    assert (answer.status, answer.error["param"]) == (400, param), answer.body


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("tokens"), QUIET + BUDGETS) as running:
        yield running


def test_what_does_not_exist_is_404(gateway: Running) -> None:
    for verb in ("check", "reserve", "report"):
        answer = gateway.json({"pool": "none", "tokens": 1}, path=f"/v1/tokens/{verb}")
        assert (answer.status, answer.error["code"]) == (404, "pool_not_found")
    answer = gateway.json({"reservation_id": "none", "actual": 1}, path="/v1/tokens/report")
    assert (answer.status, answer.error["code"]) == (404, "reservation_not_found")
    assert gateway.ask(b"", path="/v1/tokens/pools/none", method="GET").status == 404


def test_the_python_client_speaks_with_the_real_endpoints(gateway: Running) -> None:
    with HooshClient(gateway.url) as client:
        assert {pool.name for pool in client.tokens.pools()} == {"default", "small"}
        before = client.tokens.pool("default")
        assert (before.capacity, before.period_remaining_seconds) == (10_000, None)
        with client.tokens.reservation("default", 500) as held:
            assert client.tokens.check("default", 10_000).allowed is False
            held.used = 120
        assert client.tokens.pool("default").used == before.used + 120


def killed(home: Path, config: str, scene: Callable[[Running], None]) -> None:
    """A gateway that dies by SIGKILL after the scene."""
    gone = False
    try:
        with serving(home, config) as gateway:
            scene(gateway)
            gateway.process.send_signal(signal.SIGKILL)
            gateway.process.wait()
            gone = True
    except AssertionError:  # it did not end well, as it should not
        assert gone


def test_what_was_used_outlives_a_kill_and_what_was_on_its_way_is_charged(fake: Provider, tmp_path: Path) -> None:
    config = one_provider(fake.url) + BUDGETS
    slow = {"model": "slow", "messages": HI, "stream": True, "max_tokens": 20}

    def asked(gateway: Running) -> None:
        with suppress(OSError, IndexError):  # it is cut off
            gateway.json(slow)

    def scene(gateway: Running) -> None:
        assert gateway.json({"model": "echo", "messages": HI, "max_tokens": 20}).value["usage"]["total_tokens"] == 5
        threading.Thread(target=asked, args=(gateway,), daemon=True).start()
        while len(fake.bodies) < 2:
            time.sleep(0.01)

    killed(tmp_path, config, scene)
    with serving(tmp_path, config) as gateway:
        answer = gateway.ask(b"", path="/v1/tokens/pools/default", method="GET").value
        # 5 reported, and what the cut stream held: its input's bytes, 16 for the message, and 20 of output.
        assert (answer["used"], answer["reserved"]) == (5 + 2 + 16 + 20, 0)
        rows = gateway.ask(b"", path="/v1/usage?group_by=model", method="GET").value["data"]
        assert [(row["model"], row["tokens"], row["estimated"]) for row in rows] == [("echo", 5, 0), ("slow", 38, 1)]
    assert not list((tmp_path / "hoosh" / "journals").glob("*.0*"))


def test_an_answer_without_a_limit_gets_what_its_budget_can_pay_for(fake: Provider, tmp_path: Path) -> None:
    with serving(tmp_path, one_provider(fake.url) + BUDGETS) as gateway:
        answer = gateway.json({"model": "echo", "messages": HI}, "x-hoosh-pool: small")
        assert answer.status == 200
        told = int(answer.headers["x-hoosh-max-tokens"])
        assert told == 1000 - 2 - 16
        assert json.loads(fake.bodies[-1])["max_completion_tokens"] == told


def test_costs_are_told_the_same_everywhere(fake: Provider, tmp_path: Path) -> None:
    price = '[[prices]]\nprovider = "fake"\nmodel = "echo"\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 2.5\n'
    with serving(tmp_path, one_provider(fake.url) + price) as gateway:
        told = [gateway.json({"model": "echo", "messages": HI}).value["usage"]["cost_micro_usd"] for _ in range(2)]
        assert told == [8, 8]  # 3 x 1.0 + 2 x 2.5
        assert gateway.json({"model": "echo", "messages": HI}).headers["x-hoosh-cost-micro-usd"] == "8"
        costs = gateway.ask(b"", path="/v1/costs", method="GET").value
        assert costs["total_cost_micro_usd"] == 24
        assert costs["records"][0]["total_cost_micro_usd"] == 24
        table = gateway.ask(b"", path="/v1/usage?group_by=provider,model&format=csv", method="GET")
        head, row = table.body.decode().splitlines()
        assert dict(zip(head.split(","), row.split(","), strict=True))["cost_micro_usd"] == "24"
        assert gateway.ask(b"", path="/v1/usage?group_by=nothing", method="GET").status == 400


def test_money_runs_out(fake: Provider, tmp_path: Path) -> None:
    more = '[[prices]]\nprovider = "fake"\nmodel = "echo"\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 2.5\n'
    more += '[[budgets]]\nname = "default"\ncapacity_usd = 0.0001\n'
    with serving(tmp_path, one_provider(fake.url) + more) as gateway:
        answers = [gateway.json({"model": "echo", "messages": HI, "max_tokens": 20}) for _ in range(8)]
        assert [answer.status for answer in answers] == [200] * 5 + [429] * 3  # each may cost 68 and does cost 8
        assert "micro-USD remaining" in answers[-1].error["message"]


def test_a_key_made_with_a_budget_has_no_more_than_that(fake: Provider, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hoosh", "keys", "create", "--name", "ada", "--tokens", "60", "--json"]
    with serving(tmp_path, one_provider(fake.url)) as gateway:
        made = subprocess.run(command, env=clean_environ(tmp_path), cwd=tmp_path, capture_output=True, text=True)
        bearer = f"authorization: Bearer {json.loads(made.stdout)['secret']}"
        deadline = time.monotonic() + PATIENCE_S
        ask = {"model": "echo", "messages": HI, "max_tokens": 20}
        while gateway.json(ask).status != 401 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the gateway has seen that there are keys now
        answers = [gateway.json(ask, bearer) for _ in range(8)]
        # Each may take 38 and takes 5: what is left of 60 is enough for five.
        assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
        assert "pool 'key:" in answers[-1].error["message"]


def test_a_store_that_fails_is_told_in_health_and_refuses_and_recovers(fake: Provider, tmp_path: Path) -> None:
    config = one_provider(fake.url) + BUDGETS + '[store]\ndurability = "durable"\n'
    ask = {"model": "echo", "messages": HI, "max_tokens": 20}
    db, aside = tmp_path / "hoosh" / "hoosh.db", tmp_path / "hoosh" / "aside.db"

    def health(gateway: Running) -> str:
        return str(gateway.ask(b"", path="/v1/health", method="GET").value["store"])

    with serving(tmp_path, config) as gateway:
        assert gateway.json(ask).status == 200
        assert health(gateway) == "ok"
        db.rename(aside)
        db.mkdir()
        refused = gateway.json(ask)
        assert (refused.status, refused.error["code"]) == (503, "storage_unreachable")
        assert health(gateway) == "storage_unreachable"
        db.rmdir()
        aside.rename(db)
        deadline = time.monotonic() + PATIENCE_S
        while gateway.json(ask).status != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert health(gateway) == "ok"
        used = gateway.ask(b"", path="/v1/tokens/pools/default", method="GET").value["used"]
        assert used == 5 * 2
    assert len(fake.bodies) == 2  # what was refused was never sent


def test_gateways_on_one_store_share_a_rate(fake: Provider, tmp_path: Path) -> None:
    keys = '[[keys]]\nname = "laptop"\ntoken = "a-token-of-good-length"\nrpm = 100\n'
    ask = {"model": "echo", "messages": HI, "max_tokens": 20}

    def left(gateway: Running) -> int:
        told = gateway.json(ask, "authorization: Bearer a-token-of-good-length").headers
        return int(told["x-ratelimit-remaining-requests"])

    with serving(tmp_path, one_provider(fake.url) + keys) as one:
        assert left(one) == 99
        second = ("serve", "--port", "0", "--config", str(tmp_path / "hoosh.toml"))
        (tmp_path / "two").mkdir()
        with running(tmp_path / "two", *second, HOOSH_HOME=str(tmp_path / "hoosh")) as two:
            assert left(two) == 49
            lefts: list[int] = []
            while not lefts or (lefts[-1] >= 50 and len(lefts) < 30):
                lefts.append(left(one))
                time.sleep(0.05)
            assert lefts[-1] < 50  # which thirty calls alone would not have come to


def in_sqlite() -> str:
    return ""


def in_postgres() -> str:
    url = postgres_server.shared().url
    return f"[store]\nkind = 'postgres'\nurl = '{url}'\nnamespace = 't_{secrets.token_hex(8)}'\n"


def in_redis() -> str:
    url = redis_server.shared().url
    return f"[store]\nkind = 'redis'\nurl = '{url}'\nnamespace = 't_{secrets.token_hex(8)}'\n"


@pytest.mark.parametrize("store", [in_sqlite, in_postgres, in_redis])
def test_two_gateways_share_one_budget_to_the_last_call_and_not_beyond(
    fake: Provider, tmp_path: Path, store: Callable[[], str]
) -> None:
    # Each call may take 38 (2 of input, 16 of its message, 20 of output) and takes 5.
    config = one_provider(fake.url) + '[[budgets]]\nname = "default"\ncapacity = 1000\n' + store()
    ask = {"model": "echo", "messages": HI, "max_tokens": 20}

    def until_refused(gateway: Running) -> int:
        admitted = 0
        while gateway.json(ask).status == 200:
            admitted += 1
        return admitted

    with serving(tmp_path, config) as one:
        second = ("serve", "--port", "0", "--config", str(tmp_path / "hoosh.toml"))
        (tmp_path / "two").mkdir()
        with running(tmp_path / "two", *second, HOOSH_HOME=str(tmp_path / "hoosh")) as two:
            with ThreadPoolExecutor(8) as threads:
                admitted = sum(threads.map(until_refused, [one, two] * 4))
            pools = [each.ask(b"", path="/v1/tokens/pools/default", method="GET").value for each in (one, two)]
            assert [(pool["used"], pool["reserved"]) for pool in pools] == [(5 * admitted, 0)] * 2
            # Who asks last must find less left than one call may take, or have met calls that were still running.
            assert 1000 - 8 * 38 <= 5 * admitted <= 1000
            while one.json(ask).status == 200:
                admitted += 1
            assert 1000 - 38 < 5 * admitted <= 1000
