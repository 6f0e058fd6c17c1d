"""The recorded providers, played by ../shared/wire/replay.py, with a gateway before them. Each lane is a replay server
of its own, so that lanes can be asked at the same time: which record comes next is a state of the server.
"""

import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gateway import PATIENT, QUIET, Running, clean_environ, serving
from wire_corpus import ROOT, Record

# Where the recorded hosts have their API, and which type of provider speaks with it. What speaks OpenAI's dialect at
# an address beside the vendor's own has a name of its own here.
BACKENDS = {
    "openai": ("openai", "/v1"),
    "anthropic": ("anthropic", ""),
    "anthropic-compatible": ("openai", "/v1"),
    "google": ("google", ""),
    "mistral": ("mistral", "/v1"),
    "groq": ("groq", "/openai/v1"),
    "xai": ("xai", "/v1"),
    "deepseek": ("deepseek", ""),
    "openrouter": ("openrouter", "/api/v1"),
    "ollama": ("ollama", ""),
    "llamacpp": ("llamacpp", "/v1"),
    "lmstudio": ("lmstudio", "/v1"),
    "azure": ("azure", "/openai/v1"),
    "cerebras": ("cerebras", "/v1"),
    "huggingface": ("huggingface", "/v1"),
    "mistralrs": ("openai", "/v1"),
    "perplexity": ("perplexity", ""),
    "together": ("together", "/v1"),
    "vertex": ("vertex", "/v1/publishers/google"),
}
PATIENCE_S = 60.0


class Lane(msgspec.Struct, frozen=True):
    """One replay server."""

    number: int
    port: int

    def backend(self, name: str, chunks: str) -> str:
        """What the gateway calls a provider whose streams come in such `chunks` from this lane."""
        return f"{name}.{chunks}.{self.number}"

    def play(self, record_id: str) -> None:
        """Whatever is asked next is answered as recorded, and the log begins anew."""
        self._control("pin", {"id": record_id, "sticky": True})
        self._control("log", method="DELETE")

    def asked(self) -> list[dict[str, Any]]:
        """The requests that came since."""
        log: list[dict[str, Any]] = self._control("log?n=9")["log"]
        return log

    def _control(self, path: str, body: object = None, method: str = "") -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/__control/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=method or ("GET" if data is None else "POST"))
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            told: dict[str, Any] = json.loads(reply.read())
            return told


@contextlib.contextmanager
def lanes(home: Path, records: list[Record], count: int) -> Iterator[list[Lane]]:
    corpus = home / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in records))
    with contextlib.ExitStack() as stack:
        yield [
            Lane(number, stack.enter_context(_replaying(corpus, home / f"replay{number}"))) for number in range(count)
        ]


@contextlib.contextmanager
def gateway(home: Path, played: list[Lane], chunks: tuple[str, ...]) -> Iterator[Running]:
    """Every provider of every lane, in each way of cutting streams; one attempt each, nothing found by itself."""
    with serving(home, _config(played, chunks)) as running:
        yield running


def _config(played: list[Lane], chunks: tuple[str, ...]) -> str:
    lines = [QUIET, PATIENT, "[retry]\ntries = 1\nmax_attempts = 1\n[logging]\nlevel = 'error'\n"]
    for lane in played:
        for how in chunks:
            for name, (kind, path) in BACKENDS.items():
                provider = name.removesuffix("-compatible")
                lines.append(
                    f"[[providers]]\ntype = '{kind}'\nname = '{lane.backend(name, how)}'\napi_key = 'sk-recorded-0123456789'\n"
                    f"base_url = 'http://127.0.0.1:{lane.port}/p/{provider}/~chunk={how}{path}'\nlocal = false\n"
                )
    return "".join(lines)


@contextlib.contextmanager
def _replaying(corpus: Path, log: Path) -> Iterator[int]:
    port = _free_port()
    command = [sys.executable, str(ROOT / "replay.py"), "--corpus", str(corpus), "--port", str(port)]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=clean_environ(corpus.parent)
        )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("replay:"), log.read_text()
        yield port
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
