"""`/v1/batches` of real gateway processes, as the official client uses them."""

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError

import postgres_server
import redis_server
from batching import KEYS, PHONE, TIED, URL, Busy, begun, client_of, counts, jsonl, line, pool, told, until
from gateway import Provider, Running, one_provider, provider, serving


@pytest.fixture(scope="module")
def upstream() -> Iterator[Provider]:
    with provider(Busy) as server:
        yield server


@pytest.fixture
def own() -> Iterator[Provider]:
    """A provider for one test, which says when it may answer."""
    with provider(Busy) as server:
        yield server
        server.hung_up.set()


@pytest.fixture(scope="module")
def gateway(upstream: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = one_provider(upstream.url) + "[retry]\ntries = 1\n" + KEYS
    with serving(tmp_path_factory.mktemp("home"), config) as running:
        yield running


def test_from_file_to_file(gateway: Running) -> None:
    client = client_of(gateway)
    lines = [line(f"q{n}", f"سلام {n}") for n in range(45)]
    lines += [line("bad", model="cut"), line("unknown", model="nobody/has-it"), line("unread", messages=7)]
    file = client.files.create(file=("../../x.jsonl", jsonl(lines) + b"\n \n"), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint=URL, completion_window="24h", metadata={"purpose": "trial"}
    )
    assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"purpose": "trial"})
    batch = until(client, batch)
    assert batch.status == "completed"
    assert counts(batch) == (48, 45, 3)
    stamps = (batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at)
    assert list(stamps) == sorted(stamp for stamp in stamps if stamp)
    assert batch.expires_at == batch.created_at + 86_400
    good, bad = told(client, batch.output_file_id), told(client, batch.error_file_id)
    assert list(good) == [f"q{n}" for n in range(45)]
    for n in range(45):
        response = good[f"q{n}"]["response"]
        assert (good[f"q{n}"]["error"], response["status_code"]) == (None, 200)
        assert response["body"]["choices"][0]["message"]["content"] == f"سلام {n}"
        assert response["request_id"]
    assert {name: row["response"]["status_code"] for name, row in bad.items()} == {
        "bad": 400,
        "unknown": 404,
        "unread": 400,
    }
    assert bad["unread"]["response"]["body"]["error"]["param"] == "messages"
    assert batch.output_file_id is not None
    output = client.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output"
    assert output.bytes == len(client.files.content(output.id).content)
    assert client.batches.list(limit=1).data[0].id == batch.id
    assert batch.id in {each.id for each in client.batches.list()}


def test_other_endpoints_and_models_in_one_file(gateway: Running) -> None:
    client = client_of(gateway)
    asked = {"method": "POST", "url": "/v1/embeddings"}
    lines = [{"custom_id": name, **asked, "body": {"model": name, "input": "Hi"}} for name in ("echo", "fake/echo")]
    batch = until(client, begun(client, lines, url="/v1/embeddings"))
    assert batch.status == "completed"
    good = told(client, batch.output_file_id)
    assert {row["response"]["body"]["data"][0]["embedding"][0] for row in good.values()} == {0.5}
    asked = {"method": "POST", "url": "/v1/responses"}
    lines = [{"custom_id": "r", **asked, "body": {"model": "echo", "input": "Hi there"}}]
    batch = until(client, begun(client, lines, url="/v1/responses"))
    row = told(client, batch.output_file_id)["r"]["response"]["body"]
    assert row["output"][-1]["content"][0]["text"] == "Hi there"
    assert client.responses.retrieve(row["id"]).output_text == "Hi there"


def test_what_is_busy_is_asked_again(gateway: Running, upstream: Provider) -> None:
    client = client_of(gateway)
    batch = until(client, begun(client, [line("busy", "is it busy?", "slow")]))
    assert counts(batch) == (1, 1, 0)
    assert upstream.bodies.count(b"is it busy?") == 2


WRONG: list[tuple[Any, str, str | None]] = [
    (b"{not json", "invalid_json_line", None),
    (b"[1]", "invalid_json_line", None),
    (line("a"), "duplicate_custom_id", "custom_id"),
    ({**line("b"), "custom_id": 7}, "invalid_custom_id", "custom_id"),
    ({"method": "POST", "url": URL, "body": {}}, "invalid_custom_id", "custom_id"),
    (line("x" * 513), "invalid_custom_id", "custom_id"),
    ({**line("c"), "method": "GET"}, "invalid_method", "method"),
    ({**line("d"), "url": "/v1/embeddings"}, "invalid_url", "url"),
    ({**line("e"), "body": [1]}, "invalid_body", "body"),
    (line("f", stream=True), "invalid_body", "body.stream"),
]


def test_a_file_that_is_wrong_is_told_line_by_line(gateway: Running, upstream: Provider) -> None:
    client, before = client_of(gateway), len(upstream.bodies)
    # What is no JSON cannot be uploaded for a batch.
    lines = [line("a"), *(each for each, code, _ in WRONG if code != "invalid_json_line")]
    batch = until(client, begun(client, lines))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    found = [(each.line, each.code, each.param) for each in batch.errors.data or ()]
    expected = [row for row in WRONG if row[1] != "invalid_json_line"]
    assert found == [(n, code, param) for n, (_, code, param) in enumerate(expected, 2)]
    assert len(upstream.bodies) == before
    batch = until(client, begun(client, []))
    assert batch.errors is not None
    assert [each.code for each in batch.errors.data or ()] == ["empty_file"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/messages"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "15d"}, "completion_window"),
        ({"completion_window": 24}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"input_file_id": 7}, "input_file_id"),
        ({"input_file_id": "evals"}, "input_file_id"),
        ({"input_file_id": None}, "input_file_id"),
    ],
)
def test_a_batch_that_is_wrong_is_refused(gateway: Running, changes: dict[str, Any], param: str) -> None:
    client = client_of(gateway)
    file = client.files.create(file=("a", jsonl([line("a")])), purpose="batch")
    if changes.get("input_file_id") == "evals":
        changes = {"input_file_id": client.files.create(file=("a", b"1"), purpose="evals").id}
    asked = {"input_file_id": file.id, "endpoint": URL, "completion_window": "24h", **changes}
    with pytest.raises(BadRequestError) as refused:
        client.post("/batches", body=asked, cast_to=object)
    assert refused.value.param == param


def test_nobody_else_finds_it(gateway: Running) -> None:
    mine, other = client_of(gateway), client_of(gateway, PHONE)
    batch = until(mine, begun(mine, [line("a")]))
    assert batch.output_file_id is not None
    for file_id in (batch.input_file_id, batch.output_file_id):
        for call in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(NotFoundError):
                call(file_id)
    for look in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(NotFoundError):
            look(batch.id)
    with pytest.raises(NotFoundError):
        other.batches.create(input_file_id=batch.input_file_id, endpoint=URL, completion_window="24h")
    assert batch.id not in {each.id for each in other.batches.list()}
    assert batch.input_file_id not in {each.id for each in other.files.list()}
    assert mine.files.content(batch.output_file_id).text


def test_lines_are_asked_in_the_name_of_the_key(gateway: Running) -> None:
    """One that may not chat may not do it by a batch."""
    client = client_of(gateway, TIED)
    batch = until(client, begun(client, [line("a")]))
    assert counts(batch) == (1, 0, 1)
    assert told(client, batch.error_file_id)["a"]["response"]["status_code"] == 403


def test_a_budget_holds_all_of_it_or_refuses_it_at_once(own: Provider, tmp_path: Path) -> None:
    config = one_provider(own.url) + KEYS
    with serving(tmp_path, config) as gateway:
        client = client_of(gateway, PHONE)
        # 20 for the answer, 16 for the message, and its text: 40 for each line, of 1000.
        batch = until(client, begun(client, [line(f"{n:4}") for n in range(26)]))
        assert batch.status == "failed"
        assert batch.errors is not None
        problem = (batch.errors.data or [])[0]
        assert (problem.code, problem.line) == ("budget_exceeded", None)
        assert "1040" in str(problem.message)
        assert own.bodies == []
        batch = begun(client, [line(f"{n:4}", model="silent") for n in range(24)])
        until(client, batch, lambda batch: batch.status == "in_progress")
        asked = {"model": "echo", "max_tokens": 20, "messages": [{"role": "user", "content": "x" * 5}]}
        refused = gateway.json(asked, f"authorization: Bearer {PHONE}")
        assert refused.status == 429, "41 tokens of the 40 that are left"
        own.hung_up.set()
        assert until(client, batch).status == "completed"
        view = pool(gateway, "small", PHONE)
        assert (view["used"], view["reserved"]) == (24 * 5, 0)


def test_a_batch_that_is_cancelled_keeps_what_it_has(own: Provider, tmp_path: Path) -> None:
    config = one_provider(own.url) + KEYS
    with serving(tmp_path, config) as gateway:
        client = client_of(gateway, PHONE)
        lines = [line("q0"), line("q1"), *(line(f"q{n}", model="silent") for n in range(2, 20))]
        batch = until(client, begun(client, lines), lambda batch: counts(batch)[1] == 2)
        batch = client.batches.cancel(batch.id)
        assert batch.status == "cancelling"
        assert batch.cancelling_at is not None
        assert client.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
        batch = until(client, batch)
        assert batch.status == "cancelled"
        assert counts(batch) == (20, 2, 0)
        good, bad = told(client, batch.output_file_id), told(client, batch.error_file_id)
        assert list(good) == ["q0", "q1"]
        assert {row["error"]["code"] for row in bad.values()} == {"batch_cancelled"}
        assert set(bad) == {f"q{n}" for n in range(2, 20)}
        assert pool(gateway, "small", PHONE)["reserved"] == 0
        with pytest.raises(BadRequestError):
            client.batches.cancel(batch.id)


@contextmanager
def doomed(home: Path, config: str, *words: str) -> Iterator[Running]:
    """A gateway that is killed at the end, with all of its workers at once."""
    serves = serving(home, config, *words)
    gateway = serves.__enter__()
    try:
        yield gateway
        for process in (*psutil.Process(gateway.process.pid).children(recursive=True), gateway.process):
            process.send_signal(signal.SIGKILL)
        gateway.process.wait()
    finally:
        with pytest.raises(AssertionError):
            serves.__exit__(None, None, None)


STORES = [
    pytest.param("", 1, id="sqlite"),
    pytest.param("", 3, id="sqlite-workers"),
    pytest.param("postgres", 1, id="postgres"),
    pytest.param("redis", 1, id="redis"),
]


@pytest.mark.parametrize(("kind", "workers"), STORES)
def test_a_gateway_that_is_killed_goes_on_where_it_was(kind: str, workers: int, own: Provider, tmp_path: Path) -> None:
    config = one_provider(own.url) + KEYS.replace("capacity = 1000", "capacity = 100_000")
    if kind:
        url = postgres_server.shared().url if kind == "postgres" else redis_server.shared().url
        config += f'[store]\nkind = "{kind}"\nurl = "{url}"\nnamespace = "t_{tmp_path.name[-20:].replace("-", "_").lower()}"\n'
        config += "lease_s = 1\nallow_volatile = true\n"
    words = ("--workers", str(workers)) if workers > 1 else ()
    total = 120
    with doomed(tmp_path, config, *words) as gateway:
        client = client_of(gateway, PHONE)
        batch = begun(client, [line(f"q{n}", model="echo" if n % 30 != 29 else "silent") for n in range(total)])
        batch = until(client, batch, lambda batch: counts(batch)[1] >= 40)
    before = Counter(own.bodies)
    own.hung_up.set()
    with serving(tmp_path, config, *words) as gateway:
        client = client_of(gateway, PHONE)
        batch = until(client, batch)
        assert batch.status == "completed"
        assert counts(batch) == (total, total, 0)
        assert set(told(client, batch.output_file_id)) == {f"q{n}" for n in range(total)}
        view = pool(gateway, "small", PHONE)
        assert view["reserved"] == 0
    asked = Counter(own.bodies)
    assert set(asked) == {f"q{n}".encode() for n in range(total)}
    assert sum(before.values()) >= 40
    # Of those that were answered none is asked again; at most those that were on their way then.
    assert sum(asked.values()) <= total + 3 * workers


def test_one_that_was_killed_while_it_validated_begins_anew(own: Provider, tmp_path: Path) -> None:
    """And what it had held already is free. Of 1200, 120 are charged for what was on its way, 960 are held anew, and for
    the 160 that the store still held there would be no room.
    """
    config = one_provider(own.url) + KEYS.replace("capacity = 1000", "capacity = 1200")
    with doomed(tmp_path, config) as gateway:
        client = client_of(gateway, PHONE)
        lines = [line(f"{n:4}", model="silent") for n in range(24)]
        batch = until(client, begun(client, lines), lambda _: len(own.bodies) == 3)
    with closing(sqlite3.connect(tmp_path / "hoosh" / "batches.db")) as db:
        db.execute("UPDATE batches SET status = 'validating'")
        db.execute("DELETE FROM batch_lines WHERE n > 7")
        db.commit()
    own.hung_up.set()
    with serving(tmp_path, config) as gateway:
        client = client_of(gateway, PHONE)
        batch = until(client, batch)
        assert (batch.status, counts(batch)) == ("completed", (24, 24, 0)), batch.errors
        view = pool(gateway, "small", PHONE)
        assert (view["used"], view["reserved"]) == (3 * 40 + 24 * 5, 0)


def test_one_of_several_workers_runs_a_batch(own: Provider, tmp_path: Path) -> None:
    config = one_provider(own.url) + KEYS
    with serving(tmp_path, config, "--workers", "3") as gateway:
        client = client_of(gateway)
        batches = [begun(client, [line(f"{n}-{m}") for m in range(30)]) for n in range(4)]
        for batch in batches:
            assert counts(until(client, batch)) == (30, 30, 0)
    assert max(Counter(own.bodies).values()) == 1
    assert len(own.bodies) == 120


def test_a_window_that_ends_leaves_the_rest_unasked(own: Provider, tmp_path: Path) -> None:
    """What is over for good is told so: the batch was made long ago, and its gateway was down since."""
    config = one_provider(own.url) + KEYS + "[store]\nkind = 'sqlite'\n"
    with serving(tmp_path, config) as gateway:
        client = client_of(gateway)
        lines = [line("q0"), *(line(f"q{n}", model="silent") for n in range(1, 9))]
        batch = until(client, begun(client, lines, "1h"), lambda batch: counts(batch)[1] == 1)
    make_older(tmp_path / "hoosh" / "batches.db", 3601)
    with serving(tmp_path, config) as gateway:
        client = client_of(gateway)
        batch = until(client, batch)
        assert batch.status == "expired"
        assert counts(batch) == (9, 1, 0)
        assert list(told(client, batch.output_file_id)) == ["q0"]
        bad = told(client, batch.error_file_id)
        assert {row["error"]["code"] for row in bad.values()} == {"batch_expired"}
        assert len(bad) == 8


def make_older(path: Path, by_s: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        ((body,),) = db.execute("SELECT body FROM batches").fetchall()
        told = json.loads(body)
        told["expires_s"] -= by_s
        db.execute("UPDATE batches SET body = ?", (json.dumps(told).encode(),))
        db.commit()


def test_files_have_a_bound_in_size_each_and_together(own: Provider, tmp_path: Path) -> None:
    config = one_provider(own.url) + KEYS + "max_file_bytes = 5000\nmax_bytes = 8000\nmax_lines = 3\n"
    with serving(tmp_path, config) as gateway:
        client = client_of(gateway)
        with pytest.raises(APIStatusError) as refused:
            client.files.create(file=("a", b"x" * 5001), purpose="evals")
        assert refused.value.status_code == 413
        first = client.files.create(file=("a", b"x" * 5000), purpose="evals")
        with pytest.raises(APIStatusError) as full:
            client.files.create(file=("a", b"x" * 3001), purpose="evals")
        assert (full.value.status_code, full.value.code) == (507, "storage_full")
        client.files.delete(first.id)
        batch = until(client, begun(client, [line(f"{n}") for n in range(4)]))
        assert batch.errors is not None
        assert [(each.code, each.line) for each in batch.errors.data or ()] == [("too_many_lines", 4)]
        assert batch.input_file_id in {each.id for each in client.files.list()}
        client.files.delete(batch.input_file_id)
        batch = until(client, begun(client, [line("long", "x" * 4000)]))  # its lines are kept beside its file
        assert batch.errors is not None
        assert [each.code for each in batch.errors.data or ()] == ["storage_full"]
        assert own.bodies == []
