"""Load test of the gateway beside its peers, all before one mock provider on this machine.

    python bench/run.py [--targets direct,nginx,hoosh] [--loads chat,paced] [--rounds 3] [--seconds 3]

All targets run at once and are measured in turn, A B C A B C; the table holds medians. Gateways are pinned to one core,
mock and load to another. The figure to trust is work per second of the gateway's own CPU time, over its whole process
tree: other work on the machine hardly moves it. docs/performance.md says how to read the rest.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KIT = Path(__file__).resolve().parent
PATH = "/v1/chat/completions"
MOCK_PORT = 28480
START_S = 90
KEY = ("authorization: Bearer sk-bench-0123456789abcdef",)
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
Row = dict[str, float]


@dataclass(frozen=True)
class Target:
    """What is measured: a command that listens on `port`. `{kit}` and `{work}` in it are this and a scratch folder."""

    name: str
    port: int
    command: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None


TARGETS = (
    Target("direct", MOCK_PORT),
    Target("nginx", 28501, ("nginx", "-e", "stderr", "-p", "{work}", "-c", "{kit}/nginx.conf")),
    Target(
        "litellm",
        28504,
        (
            os.environ.get("LITELLM_VENV", "") + "/bin/litellm",
            *("--config", "{kit}/litellm.yaml", "--host", "127.0.0.1", "--port", "28504", "--telemetry", "False"),
        ),
        KEY,
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"},
    ),
    Target("hoosh", 28510, (f"{sys.prefix}/bin/hoosh", "serve", "--config", "{kit}/hoosh.toml"), KEY),
)


@dataclass(frozen=True)
class Load:
    """`requests` 0: as many as fit into the given seconds. `pieces`: of each stream, 0 for a plain reply."""

    name: str
    title: str
    model: str = "mock"
    body_bytes: int = 1024
    connections: int = 32
    requests: int = 0
    pieces: int = 0


LOADS = (
    Load("chat", "1 KiB requests and replies, 32 connections"),
    Load("single", "1 KiB requests and replies, 1 connection", connections=1),
    Load("prompt50k", "50 KiB requests, 1 KiB replies, 8 connections", body_bytes=51200, connections=8),
    Load("paced", "64 streams of 100 pieces, 10 ms apart", model="mock-n100-d10", connections=64, pieces=100),
    Load(
        "slow1000",
        "1,000 streams at once of 20 pieces, 100 ms apart",
        model="mock-n20-d100",
        connections=1000,
        requests=1000,
        pieces=20,
    ),
)


def body(load: Load) -> bytes:
    """A chat request of `load.body_bytes` bytes."""
    request: dict[str, object] = {"model": load.model, "stream": load.pieces > 0, "temperature": 0.7}
    if load.pieces:
        request["stream_options"] = {"include_usage": True}
    request["messages"] = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": ""}]
    missing = load.body_bytes - len(json.dumps(request))
    request["messages"] = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "word " * missing}]
    request["messages"][1]["content"] = ("word " * missing)[:missing]  # type: ignore[index]
    return json.dumps(request).encode()
