"""Every key of the configuration changes something: each is set in a file, and what is built from it is looked at.

A row is (key, one file, another file, what to look at, what it must be for each). Files are read as `hoosh serve` reads
them. Nothing is asked over the network; what `serve` hands to its server is looked at in a process of its own.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import pytest

import tiny_bert
from batch_settings import BATCH_ROWS
from budget_settings import BUDGET_ROWS
from cache_settings import CACHE_ROWS
from engine_world import BODY
from gateway import clean_environ
from hoosh.app import Gateway, known_types
from hoosh.app.asking import ask, page
from hoosh.config.load import load
from hoosh.config.schema import Config
from hoosh.core.call import Hold
from hoosh.core.errors import ConnectFailed, HooshError
from hoosh.core.kept import KeptResponse
from hoosh.core.ledger import Amount
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.dialects.openai_chat import DIALECT
from hoosh.engine.backend import Backend
from hoosh.http.exchange import Exchange, MemoryWire
from hoosh.local.embedded import has_engine
from hoosh.local.store import default_root
from hoosh.telemetry.log import QuietJournal
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings
from key_settings import ROWS as KEY_ROWS
from limit_rows import LIMIT_ROWS, refused
from overload_settings import OVERLOAD_ROWS
from price_settings import PRICE_ROWS, charged
from route_settings import ROUTE_ROWS, decided
from serve_settings import SERVE, SERVED

QUIET = "[discovery]\nenabled = false\nenv_keys = false\nrefresh_s = 0\n[embedded]\nenabled = false\n"
LOOKING = "[discovery]\nenv_keys = false\n[embedded]\nenabled = false\n"
KEY = "[[keys]]\nname = 'laptop'\ntoken = '{token}'\n"
KEEP = "[responses]\npersist = false\n"
TOKEN = "a-token-of-good-length"
ENVIRON = {"HTTP_PROXY": "http://proxy:3128", "OPENAI_API_KEY": "sk-of-the-environment"}


def one(*lines: str) -> str:
    """One provider at a port where nobody listens."""
    lines = ("type = 'openai'", "name = 'p'", "base_url = 'http://127.0.0.1:9/v1'", *lines)
    return QUIET + "[[providers]]\n" + "\n".join(_last_wins(lines)) + "\n"


def _last_wins(lines: tuple[str, ...]) -> list[str]:
    """Of several lines for one key."""
    return list({line.partition(" ")[0]: line for line in lines if line}.values())


def two(first: str, second: str) -> str:
    return one("models = ['m']", first) + one("name = 'q'", "models = ['m']", second).removeprefix(QUIET)


class Asked(HTTPTransport):
    """Notes what would be asked; nobody answers."""

    def __init__(self) -> None:
        super().__init__(TransportSettings())
        self.timeouts: list[Timeouts] = []

    def exchange(self, base_url: str, request: WireRequest, timeouts: Timeouts) -> Any:
        self.timeouts.append(timeouts)
        raise ConnectFailed("nobody is there")


class Built(NamedTuple):
    """`http` is the gateway's own transport, `asked` what stood in its place while servers were looked for."""

    gateway: Gateway
    http: HTTPTransport
    asked: Asked

    @property
    def backend(self) -> Backend:
        (backend,) = self.gateway.catalog.backends.values()
        return backend


Look = Callable[[Built], object]


class Row(NamedTuple):
    key: str
    before: str
    after: str
    look: Callable[[Built], object]
    is_before: object
    is_after: object


def wire(built: Built) -> object:
    request, backend = DIALECT.parse(BODY[:-1] + b',"max_tokens":500}'), built.backend
    tongue = backend.tongues[0]
    sent = tongue.dialect.pass_on(request, BODY[:-1] + b',"max_tokens":500}', "m", tongue.ways)
    return json.loads(sent.body)["max_tokens"]


def routed(model: str) -> Look:
    return lambda built: [str(target) for target in decided(built.gateway, model).plan.targets]


def backend(field: str) -> Look:
    return lambda built: getattr(built.backend, field)


def timeout(field: str) -> Look:
    return lambda built: getattr(built.backend.timeouts, field)


def transport(field: str) -> Look:
    return lambda built: getattr(built.http._settings, field)


def engine(field: str) -> Look:
    def look(built: Built) -> object:
        return getattr(next(iter(built.gateway.supervisors.values()))._settings, field)

    return look


def names(built: Built) -> object:
    return sorted(built.gateway.catalog.backends)


def caller(token: str) -> Look:
    def look(built: Built) -> object:
        try:
            return built.gateway.keys.identify(token).key_id
        except HooshError as error:
            return error.status

    return look


def background(built: Built) -> object:
    """The tasks that a server starts; they are ended before they run."""
    built.gateway.start_background()
    return len(built.gateway._tasks)


def responds(built: Built) -> object:
    return "openai_responses" in {tongue.dialect.name for tongue in built.backend.tongues}


def response_store(built: Built) -> object:
    return type(built.gateway.response_store).__name__


async def kept(built: Built) -> object:
    store = built.gateway.response_store
    now_s = built.gateway.clock.unix_s()
    for name in ("1", "2"):
        await store.put(KeptResponse(id=name, owner="me", created_s=now_s, response=b"{}", context=b"[]"))
    return [name for name in ("1", "2") if await store.get("me", name)]


async def status_of_a_large_body(built: Built) -> object:
    wire = MemoryWire(b"x" * 5000)
    await built.gateway.app(Exchange("POST", "/v1/chat/completions", {}, wire))
    return wire.status


async def second_answer(built: Built) -> object:
    """How the second of two calls in a row ends."""
    told: list[int] = []
    for _ in range(2):
        try:
            await ask(built.gateway, BODY.replace(b'"m"', b'"p/m"'), lambda data: None, DIALECT)
        except HooshError as error:
            told.append(error.status)
    return told[-1]


async def room(built: Built) -> object:
    """What a pool says to a hold of 5000 tokens."""
    try:
        await built.gateway.budgeting.escrow.reserve(Hold(id="1", pools=("small",), amount=Amount(5000)))
    except HooshError as error:
        return error.code
    return "ok"


def bill(built: Built) -> object:
    return charged(built.gateway.config, built.gateway.clock, built.backend.provider.name)


async def interval(built: Built) -> object:
    return json.loads(await page(built.gateway, "/v1/health/providers"))["check_interval_secs"]


def asked_for_s(built: Built) -> object:
    return {timeouts.total_s for timeouts in built.asked.timeouts}


def model_file(built: Built) -> object:
    return next(iter(built.gateway.supervisors.values()))._settings.model_path.name


def embedded(*lines: str) -> str:
    lines = ("model_path = 'a.gguf'", "preload = false", *lines)
    return QUIET.replace("[embedded]\nenabled = false\n", "[embedded]\n" + "\n".join(_last_wins(lines)) + "\n")


PLAIN = one()
AT_HOME = one("base_url = 'https://api.openai.com/v1'")


def of_gateway(look: Callable[[Gateway], object]) -> Callable[[Built], object]:
    return lambda built: look(built.gateway)


LOCAL_BUDGET = "[[budgets]]\nname = '{name}'\ncapacity = {capacity}\n"
ROWS = (
    Row(
        "server.body_limit_bytes",
        QUIET,
        QUIET + "[server]\nbody_limit_bytes = 1024\n",
        status_of_a_large_body,
        400,
        413,
    ),
    Row(
        "keys.token", QUIET + KEY.format(token="b" * 20), QUIET + KEY.format(token=TOKEN), caller(TOKEN), 401, "laptop"
    ),
    Row(
        "keys.name",
        QUIET + KEY.format(token=TOKEN),
        QUIET + KEY.format(token=TOKEN).replace("laptop", "desk"),
        caller(TOKEN),
        "laptop",
        "desk",
    ),
    Row(
        "keys.pool",
        QUIET + KEY.format(token=TOKEN),
        QUIET + KEY.format(token=TOKEN) + "pool = 'small'\n" + LOCAL_BUDGET.format(name="small", capacity=9),
        lambda built: built.gateway.keys.identify(TOKEN).pool,
        "default",
        "small",
    ),
    *(Row(*row) for row in (*KEY_ROWS, *BATCH_ROWS, *CACHE_ROWS)),
    Row("providers.type", PLAIN, one("type = 'groq'"), lambda built: built.backend.provider.name, "openai", "groq"),
    Row("providers.name", PLAIN, one("name = 'q'"), names, ["p"], ["q"]),
    Row(
        "providers.base_url",
        PLAIN,
        one("base_url = 'http://127.0.0.1:7/'"),
        backend("base_url"),
        "http://127.0.0.1:9/v1",
        "http://127.0.0.1:7",
    ),
    Row(
        "providers.api_key",
        PLAIN,
        one("api_key = 'sk-1'"),
        backend("auths"),
        (),
        (((b"authorization", b"Bearer sk-1"),),),
    ),
    Row("providers.api_keys", PLAIN, one("api_keys = ['a', 'b']"), lambda built: len(built.backend.auths), 0, 2),
    Row("providers.models", two("", ""), two("", "models = ['n']"), routed("m"), ["p/m", "q/m"], ["p/m"]),
    Row("providers.priority", two("", ""), two("", "priority = 1"), routed("m"), ["p/m", "q/m"], ["q/m", "p/m"]),
    Row("providers.enabled", PLAIN, one("enabled = false"), names, ["p"], []),
    Row("providers.local", PLAIN, one("local = true"), backend("local"), False, True),
    Row("providers.max_tokens_limit", PLAIN, one("max_tokens_limit = 99"), wire, 500, 99),
    Row("providers.rate_limit_rpm", PLAIN, one("rate_limit_rpm = 1"), second_answer, 502, 429),
    Row("providers.connect_timeout_s", PLAIN, one("connect_timeout_s = 3"), timeout("connect_s"), 10, 3),
    Row("providers.first_byte_timeout_s", PLAIN, one("first_byte_timeout_s = 3"), timeout("first_byte_s"), 300, 3),
    Row("providers.idle_timeout_s", PLAIN, one("idle_timeout_s = 3"), timeout("idle_s"), 120, 3),
    Row("providers.total_timeout_s", PLAIN, one("total_timeout_s = 3"), timeout("total_s"), 3600, 3),
    Row("providers.responses", PLAIN, one("responses = true"), responds, False, True),
    Row("providers.responses", AT_HOME, AT_HOME + "responses = false\n", responds, True, False),
    Row("responses.persist", PLAIN, PLAIN + KEEP, response_store, "SQLiteResponses", "MemoryResponses"),
    Row("responses.keep_days", PLAIN + KEEP, PLAIN + KEEP + "keep_days = 0\n", kept, ["1", "2"], []),
    Row("responses.max_entries", PLAIN + KEEP, PLAIN + KEEP + "max_entries = 1\n", kept, ["1", "2"], ["2"]),
    Row("responses.max_bytes", PLAIN + KEEP, PLAIN + KEEP + "max_bytes = 5\n", kept, ["1", "2"], ["2"]),
    Row("network.ca_file", PLAIN, PLAIN + "[network]\nca_file = 'a.gguf'\n", transport("ca_file"), "", "{path}/a.gguf"),
    Row(
        "network.trust_env_proxy",
        PLAIN,
        PLAIN + "[network]\ntrust_env_proxy = false\n",
        lambda built: bool(built.http._settings.proxies.http),
        True,
        False,
    ),
    Row(
        "network.max_reply_bytes",
        PLAIN,
        PLAIN + "[network]\nmax_reply_bytes = 2048\n",
        transport("max_reply_bytes"),
        67_108_864,
        2048,
    ),
    Row("network.connect_timeout_s", PLAIN, PLAIN + "[network]\nconnect_timeout_s = 4\n", timeout("connect_s"), 10, 4),
    Row(
        "network.first_byte_timeout_s",
        PLAIN,
        PLAIN + "[network]\nfirst_byte_timeout_s = 4\n",
        timeout("first_byte_s"),
        300,
        4,
    ),
    Row("network.idle_timeout_s", PLAIN, PLAIN + "[network]\nidle_timeout_s = 4\n", timeout("idle_s"), 120, 4),
    Row("network.total_timeout_s", PLAIN, PLAIN + "[network]\ntotal_timeout_s = 4\n", timeout("total_s"), 3600, 4),
    Row("aliases", PLAIN, PLAIN + "[aliases]\n'p/m' = 'p/n'\n", routed("p/m"), ["p/m"], ["p/n"]),
    Row("budgets.name", QUIET, QUIET + LOCAL_BUDGET.format(name="small", capacity=9999), room, "invalid_request", "ok"),
    *(Row(key, was, now, of_gateway(look), *told) for key, was, now, look, *told in BUDGET_ROWS),
    *(Row(key, PLAIN + before, PLAIN + after, bill, *told) for key, before, after, *told in PRICE_ROWS),
    *(Row(key, before, after, lambda built: refused(built.gateway), *told) for key, before, after, *told in LIMIT_ROWS),
    *(
        Row(key, before, after, of_gateway(look), *told)
        for key, before, after, look, *told in (*ROUTE_ROWS, *OVERLOAD_ROWS)
    ),
    Row(
        "discovery.enabled",
        LOOKING,
        LOOKING.replace("env_keys", "enabled = false\nenv_keys"),
        lambda built: bool(built.asked.timeouts),
        True,
        False,
    ),
    Row(
        "discovery.timeout_ms",
        LOOKING,
        LOOKING.replace("env_keys", "timeout_ms = 70\nenv_keys"),
        asked_for_s,
        {0.3},
        {0.07},
    ),
    Row("discovery.env_keys", QUIET, QUIET.replace("env_keys = false\n", ""), names, [], ["openai"]),
    Row("discovery.refresh_s", QUIET, QUIET.replace("refresh_s = 0", "refresh_s = 7"), interval, 0, 7),
    Row("discovery.refresh_s", QUIET, QUIET.replace("refresh_s = 0", "refresh_s = 7"), background, 0, 1),
)
ENGINE_ROWS = (
    Row("embedded.enabled", embedded(), embedded("enabled = false"), names, ["embedded"], []),
    Row(
        "embedded.model",
        embedded(),
        embedded("model = 'mine'"),
        routed("default"),
        ["embedded/smollm2-135m"],
        ["embedded/mine"],
    ),
    Row("embedded.model", embedded(), embedded("model = 'mine'"), engine("alias"), "smollm2-135m", "mine"),
    Row(
        "embedded.embedding_model",
        embedded(),
        embedded("embedding_model = 'minilm'"),
        lambda built: built.gateway.router.default_model("embed"),
        "all-minilm-l6-v2",
        "minilm",
    ),
    Row("embedded.model_path", embedded(), embedded("model_path = 'b.gguf'"), model_file, "a.gguf", "b.gguf"),
    Row("embedded.context_tokens", embedded(), embedded("context_tokens = 777"), engine("context_tokens"), 4096, 777),
    Row("embedded.parallel", embedded(), embedded("parallel = 7"), engine("parallel"), 2, 7),
    Row("embedded.threads", embedded(), embedded("threads = 7"), engine("threads"), 0, 7),
    Row("embedded.preload", embedded(), embedded("preload = true"), background, 0, 1),
)


# What `hoosh serve` passes on: (key, file, place in what SERVE prints, before, after).
def leaves(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """Every key that holds a value, tables and lists of tables taken apart."""
    for field in msgspec.structs.fields(kind):
        inner = get_args(field.type)[0]
        inner = next((item for item in get_args(inner) if _is_table(item)), inner)
        if _is_table(inner):
            yield from leaves(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def test_no_key_is_forgotten_and_none_is_made_up() -> None:
    keys = set(leaves(Config))
    assert {"server.port", "providers.models", "aliases", "budgets.capacity", "embedded.preload"} <= keys
    assert {row[0] for row in (*ROWS, *ENGINE_ROWS, *SERVED)} == keys


def seen(directory: Path, text: str, look: Look) -> object:
    async def main() -> object:
        path = directory / "hoosh.toml"
        path.write_text(text.replace("{path}", str(directory)))
        gateway = Gateway(load(path, ENVIRON, known_types()), {**ENVIRON, "HOOSH_HOME": str(directory)}, QuietJournal())
        http, asked = gateway.http, Asked()
        gateway.http = asked  # from here on used by discovery only
        try:
            await gateway.open()
            found = look(Built(gateway, http, asked))
            return await found if isinstance(found, Awaitable) else found
        finally:
            await gateway.close()
            await http.aclose()

    for name in ("a.gguf", "b.gguf"):
        (directory / name).write_bytes(b"GGUF")
    tiny_bert.store(default_root({"HOOSH_HOME": str(directory)}), "all-minilm-l6-v2")
    return asyncio.run(main())


def check(row: Row, directory: Path) -> None:
    expected = row.is_after
    if isinstance(expected, str):
        expected = expected.replace("{path}", str(directory))
    assert (seen(directory, row.before, row.look), seen(directory, row.after, row.look)) == (row.is_before, expected)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_a_key_changes_what_is_built(row: Row, tmp_path: Path) -> None:
    check(row, tmp_path)


@pytest.mark.skipif(not has_engine(), reason="the embedded engine is not installed")
@pytest.mark.parametrize("row", ENGINE_ROWS, ids=lambda row: row.key)
def test_a_key_changes_the_embedded_engine(row: Row, tmp_path: Path) -> None:
    check(row, tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """What SERVE saw without any of the keys, then with each."""
    home = tmp_path_factory.mktemp("served")
    files = [home / f"{n}.toml" for n in range(len(SERVED) + 1)]
    for file, text in zip(files, ["", *(row[1] for row in SERVED)], strict=True):
        file.write_text(QUIET + text)
    command = [sys.executable, "-c", SERVE, *map(str, files)]
    done = subprocess.run(command, env=clean_environ(home), cwd=home, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    told: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("n", range(len(SERVED)), ids=lambda n: SERVED[n][0])
def test_a_key_changes_what_serve_starts(served: list[dict[str, object]], n: int) -> None:
    _, _, place, before, after = SERVED[n]
    assert (served[0][place], served[n + 1][place]) == (before, after)
