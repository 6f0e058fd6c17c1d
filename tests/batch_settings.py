"""Rows of tests/engine/test_configuration_has_effect.py for files and batches:
(key, one file, another file, what to look at, what it must be for each).
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from gateway import QUIET
from hoosh.http.exchange import Exchange, MemoryWire

Look = Callable[[Any], object | Awaitable[object]]
BATCHES = f"{QUIET}[batches]\n"
FORM = (
    b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n{"a": "%s"}\r\n--b--\r\n' % (b"x" * 2000)
)


async def upload(built: Any) -> MemoryWire:
    wire = MemoryWire(FORM)
    headers = {b"content-type": b"multipart/form-data; boundary=b", b"host": b"localhost"}
    await built.gateway.app(Exchange("POST", "/v1/files", headers, wire))
    return wire


async def status(built: Any) -> object:
    return (await upload(built)).status


async def kept_s(built: Any) -> object:
    told = json.loads((await upload(built)).said)
    return told["expires_at"] - told["created_at"]


def rule(name: str) -> Look:
    return lambda built: getattr(built.gateway.batching._runner._work.rules, name)


BATCH_ROWS: tuple[tuple[str, str, str, Look, object, object], ...] = (
    ("batches.enabled", QUIET, BATCHES + "enabled = false\n", status, 200, 404),
    ("batches.concurrency", QUIET, BATCHES + "concurrency = 9\n", rule("concurrency"), 4, 9),
    ("batches.max_lines", QUIET, BATCHES + "max_lines = 9\n", rule("lines"), 50_000, 9),
    ("batches.max_file_bytes", QUIET, BATCHES + "max_file_bytes = 1024\n", status, 200, 413),
    ("batches.max_bytes", QUIET, BATCHES + "max_bytes = 1024\n", status, 200, 507),
    ("batches.keep_days", QUIET, BATCHES + "keep_days = 2\n", kept_s, 30 * 86_400, 2 * 86_400),
)
