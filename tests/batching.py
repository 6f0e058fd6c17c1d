"""A gateway with files and batches, a provider that is busy at times, and what a client does with them."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from openai import OpenAI
from openai.types import Batch

from gateway import PATIENCE_S, Chat, Running

LAPTOP, PHONE, TIED = (f"a-token-of-good-length-{n}" for n in range(3))
KEYS = f"""
[[keys]]
name = "laptop"
token = "{LAPTOP}"
[[keys]]
name = "phone"
token = "{PHONE}"
pool = "small"
[[keys]]
name = "tied"
token = "{TIED}"
routes = ["files", "batches"]
[[budgets]]
name = "small"
capacity = 1000
[batches]
concurrency = 3
"""
URL: Literal["/v1/chat/completions"] = "/v1/chat/completions"
OVER = {"completed", "failed", "expired", "cancelled"}


class Busy(Chat):
    """Says what it is told; `silent` waits until it may, and `slow` is too busy for each question the first time."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        text = asked["messages"][-1]["content"] if "messages" in asked else asked["input"]
        self.server.bodies.append(text.encode())
        if asked["model"] == "silent":
            assert self.server.hung_up.wait(PATIENCE_S)
        if asked["model"] == "slow" and self.server.bodies.count(text.encode()) < 2:
            self._reply(429, {"error": {"message": "busy", "type": "requests", "code": "rate_limit_exceeded"}})
            return
        if asked["model"] == "cut":
            self._reply(400, {"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}})
            return
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        if "input" in asked:
            row = {"object": "embedding", "index": 0, "embedding": [0.5]}
            self._reply(200, {"object": "list", "model": asked["model"], "data": [row], "usage": usage})
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        told = {"id": "x", "model": asked["model"], "choices": [choice], "usage": usage}
        data = json.dumps(told, indent=2).encode()  # on several lines
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def client_of(running: Running, token: str = LAPTOP) -> OpenAI:
    return OpenAI(api_key=token, base_url=f"{running.url}/v1", max_retries=0, timeout=PATIENCE_S)


def line(custom_id: str, text: str = "", model: str = "echo", **more: Any) -> dict[str, Any]:
    asked = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": text or custom_id}]}
    return {"custom_id": custom_id, "method": "POST", "url": URL, "body": {**asked, **more}}


def jsonl(lines: Sequence[object]) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)


def begun(client: OpenAI, lines: Sequence[object], window: str = "24h", url: Any = URL) -> Batch:
    file = client.files.create(file=("asked.jsonl", jsonl(lines)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=url, completion_window=window)  # type: ignore[arg-type]


def until(client: OpenAI, batch: Batch, is_so: Callable[[Batch], bool] = lambda batch: batch.status in OVER) -> Batch:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so(batch):
        assert time.monotonic() < deadline, batch
        batch = client.batches.retrieve(batch.id)
    return batch


def told(client: OpenAI, file_id: str | None) -> dict[str, dict[str, Any]]:
    """The lines of a file, each once."""
    if file_id is None:
        return {}
    rows = [json.loads(row) for row in client.files.content(file_id).text.splitlines()]
    assert max(Counter(row["custom_id"] for row in rows).values()) == 1
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["custom_id"]: row for row in rows}


def counts(batch: Batch) -> tuple[int, int, int]:
    assert batch.request_counts is not None
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


def pool(running: Running, name: str, token: str) -> dict[str, Any]:
    path = f"/v1/tokens/pools/{name}"
    value: dict[str, Any] = running.ask(b"", f"authorization: Bearer {token}", path=path, method="GET").value
    return value
