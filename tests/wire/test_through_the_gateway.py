"""Every recorded chat exchange, end to end: OpenAI's SDK before `hoosh serve` before the provider as it was recorded.

What the client must be told is norm.py's word. The request is the recorded one in OpenAI's words (norm.to_openai);
where it has none (server tools, cache marks, a request that was not kept), a plain question stands in its place, so
that the reply is still read.
"""

import queue
import threading
from collections import Counter
from collections.abc import Iterator

import openai
import pytest

from gateway import Running
from hoosh.codecs.json import JSON
from wire.replayed import Lane, gateway, lanes
from wire.told import ask
from wire_corpus import Folded, Record, expected, norm, one_of_each_sort, records, require_corpus

LANES = 2
CHUNKS = ("event", "random", "byte")
KINDS = ("chat", "messages", "generateContent", "ollama_chat")
PLAIN: JSON = {"messages": [{"role": "user", "content": "Hello"}]}
# Recorded from an endpoint that speaks another dialect than the provider's own.
COMPATIBLE = {("anthropic", "chat"): "anthropic-compatible"}

# Refused by the gateway itself, with the status that the provider gave: no provider takes it.
REFUSED_HERE = {
    "openai-aigateway-47964618": "messages: []",
    "openai-aigateway-6773d22e": "temperature: -0.5, max_tokens: 0",
    "openai-rig-d9d93250": "temperature: 99",
    "anthropic-rig-bdbd4964": "temperature: -5",
}
# What is told otherwise than norm.py says: each a class of recordings, found by what they hold, with the reason.
# Their counts are those of the corpus, so that none of them grows unseen.
ON_PURPOSE = {
    "status of a wrong key": (3, "a 400 that means a wrong key is a 401, as everywhere else"),
    "status 529": (1, "Anthropic's own word for 503, which clients know"),
    "nothing counted": (1, "where the provider counts nothing the client is told an estimate"),
    "reason by number": (3, "Vertex may say the number of a finish reason; the client is told the word"),
    "arguments in pieces": (1, "norm.py takes each piece of a call's arguments for a call"),
    "reasoning beside output": (16, "xAI leaves reasoning out of completion_tokens; the gateway never does"),
}


def chats() -> list[Record]:
    """Those that norm.py can read. A recording without a reply, or of Cohere's own dialect, says nothing here."""
    return [record for record in records(kinds=KINDS) if expected(record) is not None]


def purposes(record: Record, told: Folded) -> Iterator[str]:
    """Names of ON_PURPOSE."""
    body, status = record["response_body"], record["status"]
    if status == 400 and "API key not valid" in body:
        yield "status of a wrong key"
    if status == 529:
        yield "status 529"
    if told.get("usage") and not told["usage"]["in"] and not told["usage"]["out"]:
        yield "nothing counted"
    if isinstance(told.get("finish"), int):
        yield "reason by number"
    if '"partialArgs"' in body:
        yield "arguments in pieces"
    if record["provider"] == "xai" and (told.get("usage") or {}).get("reasoning"):
        yield "reasoning beside output"


def wanted(record: Record) -> Folded:
    told = expected(record)
    assert told is not None
    for purpose in purposes(record, told):
        match purpose:
            case "status of a wrong key":
                told["status"] = 401
            case "status 529":
                told["status"] = 503
            case "nothing counted":
                told["usage"] = None  # any
            case "reason by number":
                told["finish"] = "tool_calls" if told["tools"] else "stop"
            case "arguments in pieces":
                told["tools"] = [tool for tool in told["tools"] if tool["name"]]
                told["tools"][-1]["args"] = None  # any
            case "reasoning beside output":
                told["usage"]["out"] += told["usage"]["reasoning"]
    return told


def request_of(record: Record) -> JSON:
    asked = None if record.get("request_unknown") else norm().to_openai(record)
    if asked is None or not isinstance(asked.get("messages"), list):
        asked = PLAIN | {"stream": bool(record["stream"])}
    return {"model": "unset", **asked}


class Call:
    """One record, asked through one lane."""

    def __init__(self, record: Record, lane: Lane, running: Running, chunks: str) -> None:
        self._record = record
        self._lane = lane
        self._chunks = chunks
        self._url = f"{running.url}/v1"

    def differences(self) -> list[str]:
        record, lane = self._record, self._lane
        name = COMPATIBLE.get((record["provider"], record["kind"]), str(record["provider"]))
        request = request_of(record)
        request["model"] = f"{lane.backend(name, self._chunks)}/{request['model']}"
        lane.play(record["id"])
        found = self._ask(request)
        times = len(lane.asked())
        if record["id"] in REFUSED_HERE:
            return found if times == 0 else [*found, "it was sent"]
        return found if times == 1 else [*found, f"asked {times} times"]

    def _ask(self, request: JSON) -> list[str]:
        told = wanted(self._record)
        with openai.OpenAI(base_url=self._url, api_key="any", max_retries=0, timeout=60) as client:
            try:
                got = ask(client, request)
            except openai.APIStatusError as error:
                return self._refused(told, error)
            except openai.APIError as error:  # inside a stream
                return [] if told.get("error") and error.message else [f"an error: {error.message}"]
        if told.get("error"):
            return ["an error was swallowed"]
        return [*unlike(told, got), *self._cost(got)]

    def _refused(self, told: Folded, error: openai.APIStatusError) -> list[str]:
        body = error.body
        if not isinstance(body, dict) or not body.get("message") or {"type", "param", "code"} - body.keys():
            return [f"not an error object: {body!r}"]
        status = told.get("status", 200)
        return [] if error.status_code == status else [f"status {status} != {error.status_code}: {error.message}"]

    def _cost(self, got: Folded) -> list[str]:
        """What the provider says the call cost reaches the client in the provider's own words."""
        body = self._record["response_body"]
        words = [word for word in ("cost_in_usd_ticks", "cost") if f'"{word}":' in body.replace(" ", "")]
        return [f"usage.{word} is lost" for word in words[:1] if got["usage"] and word not in got["usage_raw"]]


def unlike(told: Folded, got: Folded) -> list[str]:
    found = [name for name in ("text", "finish") if (told[name] or "") != (got[name] or "")]
    if told["reasoning"] and told["reasoning"] != got["reasoning"]:
        found.append("reasoning")
    if len(told["tools"]) != len(got["tools"]) or not all(map(_same_call, told["tools"], got["tools"])):
        found.append("tools")
    ids = [tool["id"] for tool in got["tools"]]
    if len(set(ids)) != len(ids) or not all(ids):
        found.append("tool ids")
    for name, count in (told["usage"] or {}).items():
        if count is not None and count != (got["usage"] or {}).get(name):
            found.append(f"usage.{name} {count} != {(got['usage'] or {}).get(name)}")
    return found


def _same_call(told: Folded, got: Folded) -> bool:
    return bool(told["name"] == got["name"] and told["args"] in (None, got["args"]))


def all_differences(found: list[Record], played: list[Lane], running: Running, chunks: str) -> dict[str, list[str]]:
    """Every lane takes the next record until none is left."""
    waiting: queue.SimpleQueue[Record] = queue.SimpleQueue()
    for record in found:
        waiting.put(record)
    bad: dict[str, list[str]] = {}

    def work(lane: Lane) -> None:
        while True:
            try:
                record = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                differences = Call(record, lane, running, chunks).differences()
            except Exception as error:  # the SDK stumbles: that is a difference, too
                differences = [f"{type(error).__name__}: {error}"]
            if differences:
                bad[record["id"]] = differences

    workers = [threading.Thread(target=work, args=(lane,)) for lane in played]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return bad


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Lane], Running]]:
    require_corpus()
    home = tmp_path_factory.mktemp("wire")
    with lanes(home, chats(), LANES) as played, gateway(home, played, CHUNKS) as running:
        yield played, running


def test_a_recording_of_each_sort(stage: tuple[list[Lane], Running]) -> None:
    found = one_of_each_sort(chats())
    assert len(found) >= 120
    assert all_differences(found, *stage, "random") == {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("chunks", CHUNKS)
def test_every_recording(stage: tuple[list[Lane], Running], chunks: str) -> None:
    found = chats()
    assert len(found) >= 1200
    assert all_differences(found, *stage, chunks) == {}


def test_the_recordings_ask_and_hold_what_these_tests_are_about() -> None:
    """Else they could agree on nothing."""
    require_corpus()
    found = chats()
    asked = Counter(norm().to_openai(record) is not None for record in found if not record.get("request_unknown"))
    assert asked[True] >= 650, "requests in the client's own words"
    holds = Counter(name for record in found for name, value in wanted(record).items() if value)
    assert all(holds[name] >= 100 for name in ("text", "tools", "reasoning", "usage"))
    assert holds["status"] >= 40
    assert REFUSED_HERE.keys() <= {record["id"] for record in found}
    seen = Counter(purpose for record in found for purpose in purposes(record, expected(record) or {}))
    assert seen == {name: count for name, (count, _why) in ON_PURPOSE.items()}
