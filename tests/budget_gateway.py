"""A gateway's token pools, transcription and embeddings on loopback, by their contract alone: field for field what the
endpoints take and answer, in a server that shares no code with hoosh.
"""

import base64
import contextlib
import email.parser
import email.policy
import json
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-consumer"


@dataclass
class Pool:
    capacity: int
    used: int = 0
    holds: dict[str, int] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return max(0, self.capacity - self.used - sum(self.holds.values()))


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, tuple[str | None, str, bytes]]:
        """Each part's file name, type and content, read by the standard library's mail parser."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        parts: dict[str, tuple[str | None, str, bytes]] = {}
        for part in parsed.iter_parts():
            name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
            assert isinstance(name, str)
            assert isinstance(content, bytes)
            parts[name] = (part.get_filename(), part.get_content_type(), content)
        return parts


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "BudgetGateway"

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("transfer-encoding"):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.server.asked.append(asked)
        status, kind = 200, "application/json"
        try:
            keys = (asked.headers.get("authorization"), asked.headers.get("x-api-key"))
            if keys not in ((f"Bearer {KEY}", None), (None, KEY)):
                raise Refusal(401, "invalid_api_key", "no such key")
            with self.server.lock:
                value = self.server.answer(asked)
            data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            kind = "text/plain" if isinstance(value, str) else kind
        except Refusal as error:
            status = error.status
            told = {"message": str(error), "type": "x", "code": error.code, "param": None, "request_id": "r-1"}
            data = json.dumps({"error": told}).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.send_header("x-request-id", asked.headers.get("x-request-id", ""))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class BudgetGateway(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.asked: list[Asked] = []
        self.pools = {"default": Pool(10_000), "team": Pool(1_000)}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, asked: Asked) -> Any:
        path = asked.path
        if path.endswith("/v1/embeddings"):
            return _embeddings(asked.value)
        if path.endswith(("/v1/transcribe", "/v1/audio/transcribe")):
            return _transcript(asked)
        if path.endswith("/v1/tokens/pools"):
            return {"pools": [self._row(name) for name in self.pools], "total_pools": len(self.pools)}
        if "/v1/tokens/pools/" in path:
            return self._row(path.rpartition("/")[2])
        verb = path.rpartition("/v1/tokens/")[2]
        body = asked.value
        name = body.get("pool", "default")
        return getattr(self, f"_{verb}")(name, self._pool(name), body)

    def _pool(self, name: str) -> Pool:
        if name not in self.pools:
            raise Refusal(404, "pool_not_found", f"Token pool '{name}' not found")
        return self.pools[name]

    def _row(self, name: str) -> Any:
        pool = self._pool(name)
        left = {"available": pool.available, "remaining": pool.available}
        sizes = {
            "capacity": pool.capacity,
            "total": pool.capacity,
            "used": pool.used,
            "reserved": sum(pool.holds.values()),
        }
        period = {"period_seconds": None, "period_remaining_seconds": None}
        return {"name": name, "pool_name": name, "utilization": pool.used / pool.capacity, **sizes, **left, **period}

    def _check(self, name: str, pool: Pool, body: Any) -> Any:
        left = {"available": pool.available, "remaining": pool.available}
        told = {"pool": name, "requested": body["tokens"], "project": body.get("project")}
        return {"allowed": body["tokens"] <= pool.available, **left, **told}

    def _reserve(self, name: str, pool: Pool, body: Any) -> Any:
        granted = body["tokens"] <= pool.available
        hold = f"hold-{len(self.asked)}"
        if granted:
            pool.holds[hold] = body["tokens"]
        left = {"available": pool.available, "remaining": pool.available, "pool": name}
        return {
            "reserved": granted,
            **left,
            **({"reservation_id": hold, "expires_at": 1_900_000_000} if granted else {}),
        }

    def _report(self, name: str, pool: Pool, body: Any) -> Any:
        if "reservation_id" in body:
            if body["reservation_id"] not in pool.holds:
                raise Refusal(404, "reservation_not_found", "no such reservation")
            del pool.holds[body["reservation_id"]]
        pool.used += body["actual"] if "actual" in body else body["tokens"]
        return {"used": pool.used, "available": pool.available, "remaining": pool.available, "pool": name}

    def _release(self, name: str, pool: Pool, body: Any) -> Any:
        pool.holds.pop(body.get("reservation_id", ""), None)
        return {"status": "released", "available": pool.available, "remaining": pool.available, "pool": name}


def _embeddings(body: Any) -> Any:
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    size = body.get("dimensions", 3)
    vectors = [[len(text) + n / 8 for n in range(size)] for text in inputs]
    if body.get("encoding_format") == "base64":
        rows: list[Any] = [base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() for vector in vectors]
    else:
        rows = vectors
    data = [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return {"object": "list", "data": data[::-1], "model": body["model"], "usage": usage}


def _transcript(asked: Asked) -> Any:
    form = asked.form
    _, _, audio = form.get("file") or form["audio"]
    if form.get("response_format", (None, "", b"json"))[2] == b"srt":
        return "1\n00:00:00,000 --> 00:00:01,500\nSalam\n"
    segment = {"id": 0, "start": 0.0, "end": 1.5, "text": "Salam", "confidence": 0.9}
    language = form.get("language", (None, "", b"fa"))[2].decode()
    told = {"text": f"Salam ({len(audio)} bytes)", "language": language, "duration": 1.5, "confidence": 0.9}
    return {**told, "segments": [segment]}


@contextlib.contextmanager
def budget_gateway() -> Iterator[BudgetGateway]:
    server = BudgetGateway()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
