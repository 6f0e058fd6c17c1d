"""A real model from a real package index: what a new user does first."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from edge.fake_upstream import PATIENCE_S
from hoosh.core.wire import Timeouts, WireRequest
from hoosh.local.embedded import EmbeddedTransport, has_engine
from hoosh.local.store import ModelStore, default_root
from hoosh.local.supervisor import EngineSettings, Supervisor
from hoosh.transport.pool import HTTPTransport
from hoosh.transport.settings import TransportSettings

pytestmark = pytest.mark.skipif(not has_engine(), reason="the engine (hoosh[llama]) is not installed")


@pytest.mark.slow
def test_pulls_the_model_and_knows_the_capital_of_france(tmp_path: Path) -> None:
    # HOOSH_HOME spares who has the model the 93 MB.
    root = default_root(os.environ) if "HOOSH_HOME" in os.environ else tmp_path
    stored = ModelStore(root).pull("smollm2", lambda _: None)
    assert stored.path.stat().st_size == stored.manifest.size_bytes
    name = stored.manifest.name
    messages = [
        # With the model's own system prompt this one question gets French gibberish.
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    body = json.dumps({"model": name, "messages": messages, "temperature": 0, "max_tokens": 32}).encode()
    request = WireRequest("/chat/completions", body, headers=((b"content-type", b"application/json"),))
    patient = Timeouts(first_byte_s=2 * PATIENCE_S, idle_s=2 * PATIENCE_S, total_s=3 * PATIENCE_S)

    async def main() -> None:
        http = HTTPTransport(TransportSettings())
        supervisor = Supervisor(EngineSettings(model_path=stored.path, alias=name), http)
        try:
            pieces = []
            async with EmbeddedTransport(http, {name: supervisor}).exchange(
                f"embedded://{name}", request, patient
            ) as reply:
                while piece := await reply.read():
                    pieces.append(piece)
                assert reply.status == 200
        finally:
            await supervisor.stop()
            await http.aclose()
        assert "Paris" in json.loads(b"".join(pieces))["choices"][0]["message"]["content"]

    asyncio.run(main())
