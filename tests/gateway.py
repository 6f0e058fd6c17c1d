"""A real `hoosh serve` in a process of its own, and a provider for it to ask: both on loopback, both ended by their owner."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATIENCE_S = 120.0


class Chat(BaseHTTPRequestHandler):
    """An OpenAI-shaped provider. The model's name says what it does: echo, silent, cut, slow."""

    protocol_version = "HTTP/1.1"
    server: "Provider"

    def do_GET(self) -> None:
        self._reply(200, {"object": "list", "data": [{"id": name} for name in ("echo", "silent", "cut", "slow")]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        asked = json.loads(body)
        self.server.bodies.append(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        text = str(asked["messages"][-1]["content"])
        if asked["model"] == "silent":
            self._wait_for_the_end()
        elif asked.get("stream"):
            self._stream(asked, text)
        else:
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            self._reply(200, {"id": "x", "model": asked["model"], "choices": [choice], "usage": usage})

    def _stream(self, asked: dict[str, Any], text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self._event(asked, {"role": "assistant", "content": text})
        if asked["model"] == "slow":
            self._wait_for_the_end()
            return
        if asked["model"] != "cut":
            self._event(asked, {}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _event(self, asked: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> None:
        chunk = {"id": "x", "model": asked["model"], "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        self.wfile.write(b"data: %b\n\n" % json.dumps(chunk).encode())
        self.wfile.flush()

    def _wait_for_the_end(self) -> None:
        """Until the gateway hangs up; what matters is that it does."""
        self.connection.settimeout(PATIENCE_S)
        with contextlib.suppress(OSError):
            if self.connection.recv(1) == b"":
                self.server.hung_up.set()
        self.close_connection = True

    def _reply(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


class Provider(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[Chat]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextlib.contextmanager
def provider(handler: type[Chat] = Chat) -> Iterator[Provider]:
    server = Provider(handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def clean_environ(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the developer's own keys, servers or configuration."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    source = str(Path(__file__).parent.parent / "src")
    return {**kept, "HOME": str(home), "HOOSH_HOME": str(home / "hoosh"), "PYTHONPATH": source, "NO_COLOR": "1", **more}


class Running:
    def __init__(self, process: subprocess.Popen[str], port: int, banner: str) -> None:
        self.process = process
        self.port = port
        self.banner = banner
        self.url = f"http://127.0.0.1:{port}"

    def raw(self, data: bytes, *, timeout_s: float = PATIENCE_S) -> bytes:
        """Send bytes, read until the gateway closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(data)
            parts = []
            while piece := connection.recv(65536):
                parts.append(piece)
        return b"".join(parts)

    def ask(self, body: bytes, *headers: str, path: str = "/v1/chat/completions", method: str = "POST") -> "Answer":
        lines = (
            f"{method} {path} HTTP/1.1",
            "host: localhost",
            "connection: close",
            f"content-length: {len(body)}",
            *headers,
        )
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return Answer(self.raw(head + body))

    def json(self, value: object, *headers: str, path: str = "/v1/chat/completions") -> "Answer":
        return self.ask(json.dumps(value).encode(), "content-type: application/json", *headers, path=path)


class Answer:
    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.value["error"]
        return error


def serving(home: Path, config: str, *arguments: str, **environ: str) -> contextlib.AbstractContextManager[Running]:
    """`hoosh serve` on a free port."""
    path = home / "hoosh.toml"
    path.write_text(config)
    return running(home, "serve", "--port", "0", "--config", str(path), *arguments, **environ)


@contextlib.contextmanager
def running(home: Path, *words: str, **environ: str) -> Iterator[Running]:
    """`hoosh WORDS`, a command that serves and says "ready"; ended by SIGTERM, and it must end well."""
    command = [sys.executable, "-m", "hoosh", *words]
    with (home / "stderr.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=clean_environ(home, **environ)
        )
    try:
        yield _started(process, home)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, (home / "stderr.log").read_text()
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _started(process: subprocess.Popen[str], home: Path) -> Running:
    assert process.stdout is not None
    banner, deadline = "", time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"hoosh ended: {(home / 'stderr.log').read_text()}")
        banner += line
        if line.startswith("ready"):
            found = re.search(r"http://[^\s:]+:(\d+)", banner)
            assert found, banner
            return Running(process, int(found[1]), banner)
    raise AssertionError("hoosh did not get ready")


# For recordings of one failure after the other.
PATIENT = "[health]\nenabled = false\n"
QUIET = """
[discovery]
enabled = false
env_keys = false
[embedded]
enabled = false
"""


def one_provider(url: str) -> str:
    return (
        f'{QUIET}\n[[providers]]\ntype = "openai"\nname = "fake"\nbase_url = "{url}"\napi_key = "sk-upstream-secret"\n'
        + ('models = ["echo", "silent", "cut", "slow"]\n')
    )
