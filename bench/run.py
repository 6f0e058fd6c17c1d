"""Load test of the gateway beside its peers, all before one mock provider on this machine.

    python bench/run.py [--targets direct,nginx,hoosh] [--loads chat,paced] [--rounds 3] [--seconds 3]

All targets run at once and are measured in turn, A B C A B C; the table holds medians. Gateways are pinned to one core,
mock and load to another. The figure to trust is work per second of the gateway's own CPU time, over its whole process
tree: other work on the machine hardly moves it. docs/performance.md says how to read the rest. Exits with 1 if hoosh
failed or cut short a single request.
"""

import argparse
import contextlib
import http.client
import importlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
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
    """What is measured: a command that listens on `port`. In it and in `env`, `{kit}` and `{work}` are this and a
    scratch folder, `{postgres}` and `{redis}` the address of a server that runs for as long.
    """

    name: str
    port: int
    command: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None


SERVE = (f"{sys.prefix}/bin/hoosh", "serve", "--config", "{kit}/hoosh.toml")


def _over(name: str, port: int, **store: str) -> Target:
    """The same gateway with its budgets elsewhere."""
    env = {f"HOOSH_STORE__{key}": value for key, value in store.items()}
    env |= {"HOOSH_SERVER__PORT": str(port), "HOOSH_HOME": f"{{work}}/{name}"}
    return Target(f"hoosh-{name}", port, SERVE, KEY, env)


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
    Target("hoosh", 28510, SERVE, KEY, {"HOOSH_HOME": "{work}/hoosh"}),
    _over("memory", 28511, KIND="memory"),
    _over("durable", 28512, DURABILITY="durable"),
    _over("postgres", 28513, KIND="postgres", URL="{postgres}"),
    _over("redis", 28514, KIND="redis", URL="{redis}"),
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

    def request(prompt: str) -> bytes:
        messages = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": prompt}]
        stream = {"stream": True, "stream_options": {"include_usage": True}} if load.pieces else {}
        return json.dumps({"model": load.model, **stream, "temperature": 0.7, "messages": messages}).encode()

    missing = load.body_bytes - len(request(""))
    return request(("word " * missing)[:missing])


def process_tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    tree = [root]
    for pid in tree:
        tree += children.get(pid, [])
    return tree


def cpu_s(root: int) -> float:
    ticks = 0
    for pid in process_tree(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK_TICKS


def memory_mb(root: int) -> float:
    """Proportional set size: shared pages count once."""
    kib = 0
    for pid in process_tree(root):
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            kib += int(found[1]) if found else 0
    return kib / 1024


def answers(target: Target) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    headers = dict(line.split(": ", 1) for line in target.headers)
    try:
        connection.request("POST", PATH, body(LOADS[0]), {"content-type": "application/json", **headers})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def running(
    name: str, core: int, command: Sequence[str], env: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server for as long as the block lasts; what it says goes to bench/logs/<name>.log."""
    with (KIT / "logs" / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command], env={**os.environ, **(env or {})}, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            for pid in process_tree(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def refuse_taken(port: int) -> None:
    """No load is sent to a server that somebody else started."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            sys.exit(f"port {port} is in use by something else")


@dataclass(frozen=True)
class Bench:
    """The machine as this run uses it. `pids` holds a target's process, none for `direct`."""

    load_core: int
    seconds: float
    work: Path
    pids: dict[str, int]

    def measure(self, target: Target, load: Load) -> Row:
        pid = self.pids.get(target.name)
        before_s = cpu_s(pid) if pid else 0.0
        row = self._fire(target, load)
        if pid:
            used_s = cpu_s(pid) - before_s
            row["memory_mb"] = memory_mb(pid)
            work = row["pieces"] if load.pieces else row["requests"]
            row["per_cpu_s"] = work / used_s if used_s else 0.0
        return row

    def _fire(self, target: Target, load: Load) -> Row:
        file = self.work / f"{load.name}.json"
        file.write_bytes(body(load))
        env = {**os.environ, "BENCH_BODY": str(file), "BENCH_HEADERS": "\n".join(target.headers)}
        if load.pieces:
            amount = ("-n", str(load.requests)) if load.requests else ("-t", str(self.seconds))
            headers = [option for line in target.headers for option in ("-H", line)]
            command = [str(KIT / "sseload"), "-p", str(target.port), "-e", str(load.pieces), *amount, *headers]
            command += ["-c", str(load.connections), str(file)]
        else:
            command = ["wrk", "-t1", f"-c{load.connections}", f"-d{self.seconds:g}s", "--timeout", "10s"]
            command += ["-s", str(KIT / "wrk.lua"), f"http://127.0.0.1:{target.port}{PATH}"]
        done = subprocess.run(
            ["taskset", "-c", str(self.load_core), *command], env=env, capture_output=True, text=True, check=True
        )
        row: Row = json.loads(done.stdout.splitlines()[-1])
        return row


def start(target: Target, core: int, work: Path, held: contextlib.ExitStack) -> tuple[int, Row]:
    """The process and how long it took to its first good answer. Exits if there is none."""
    refuse_taken(target.port)
    places = {"kit": KIT, "work": work, **servers(target, held)}
    command = [part.format(**places) for part in target.command]
    env = {name: value.format(**places) for name, value in (target.env or {}).items()}
    begun = time.monotonic()
    process = held.enter_context(running(target.name, core, command, env))
    while not answers(target):
        if process.poll() is not None or time.monotonic() - begun > START_S:
            sys.exit(f"{target.name} does not answer: see bench/logs/{target.name}.log")
        time.sleep(0.01)
    ready_s = time.monotonic() - begun
    time.sleep(0.5)
    return process.pid, {"ready_s": ready_s, "idle_mb": memory_mb(process.pid)}


def servers(target: Target, held: contextlib.ExitStack) -> Mapping[str, str]:
    """Those that `target` needs, as the tests have them."""
    sys.path.insert(0, str(KIT.parent / "tests"))
    wanted = " ".join((target.env or {}).values())
    found = {}
    for name in ("postgres", "redis"):
        if f"{{{name}}}" in wanted:
            found[name] = held.enter_context(importlib.import_module(f"{name}_server").server()).url
    return found


PLAIN_COLUMNS = {"requests/s": "per_s", "p50 µs": "p50_us", "p99 µs": "p99_us"}
STREAM_COLUMNS = {
    "pieces/s": "per_s",
    "first byte p50 µs": "first_p50_us",
    "delay p50 µs": "delay_p50_us",
    "delay p99 µs": "delay_p99_us",
}


def table(load: Load, rows: Mapping[str, Sequence[Row]]) -> str:
    """Markdown: medians, and work per CPU second as a multiple of each peer's."""

    def median(name: str, column: str) -> float | None:
        values = [row[column] for row in rows[name] if column in row]
        return statistics.median(values) if values else None

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    def ratio(name: str, peer: str) -> str:
        own, other = median(name, "per_cpu_s"), median(peer, "per_cpu_s")
        return f"{own / other:.3g}" if own and other else ""

    peers = [name for name in ("nginx", "litellm", "hoosh-memory") if name in rows]
    columns = {**(STREAM_COLUMNS if load.pieces else PLAIN_COLUMNS), "MB": "memory_mb", "failed": "failed"}
    work = "pieces/CPU-s" if load.pieces else "requests/CPU-s"
    heads = ["target", work, *(f"× {peer}" for peer in peers), *columns, *(["short"] if load.pieces else [])]
    lines = [f"\n**{load.name}**: {load.title}\n", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in rows:
        cells = [name, cell(median(name, "per_cpu_s")), *(ratio(name, peer) for peer in peers)]
        cells += [cell(median(name, column)) for column in columns.values()]
        cells += [cell(median(name, "short"))] if load.pieces else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def start_table(rows: Mapping[str, Row]) -> str:
    lines = ["\n**start**\n", "| target | first answer s | idle MB |", "|---|---|---|"]
    lines += [f"| {name} | {row['ready_s']:.2f} | {row['idle_mb']:.1f} |" for name, row in rows.items()]
    return "\n".join(lines)


def chosen(known: Iterable[Target | Load], names: str) -> list[str]:
    by_name = {item.name for item in known}
    if unknown := set(names.split(",")) - by_name:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted(by_name))}")
    return names.split(",")


def require_tools(targets: Sequence[Target], loads: Sequence[Load]) -> None:
    tools = {"taskset", *("nginx" for target in targets if target.name == "nginx")}
    tools |= {"wrk" for load in loads if not load.pieces}
    if missing := sorted(tool for tool in tools if not shutil.which(tool)):
        sys.exit(f"needs {', '.join(missing)}: apt-get install wrk nginx-light util-linux")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    litellm = ",litellm" if "LITELLM_VENV" in os.environ else ""
    parser.add_argument("--targets", default=f"direct,nginx{litellm},hoosh", help="litellm: with LITELLM_VENV")
    parser.add_argument("--loads", default="chat,paced", help=", ".join(load.name for load in LOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    wanted = options()
    target_names, load_names = chosen(TARGETS, wanted.targets), chosen(LOADS, wanted.loads)
    cores = sorted(os.sched_getaffinity(0))
    load_core, gateway_core = cores[0], cores[1 % len(cores)]
    targets = [target for target in TARGETS if target.name in target_names]
    loads = [load for load in LOADS if load.name in load_names]
    require_tools(targets, loads)
    (KIT / "logs").mkdir(exist_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a thousand streams are two thousand sockets
    rows: dict[str, dict[str, list[Row]]] = {load.name: {t.name: [] for t in targets} for load in loads}
    starts: dict[str, Row] = {}
    pids: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as held:
        refuse_taken(MOCK_PORT)
        held.enter_context(running("mock", load_core, [str(KIT / "mock"), str(MOCK_PORT)], None))
        for target in targets:
            if target.command:
                pids[target.name], starts[target.name] = start(target, gateway_core, Path(work), held)
        bench = Bench(load_core, wanted.seconds, Path(work), pids)
        for number in range(-1, wanted.rounds):  # -1 warms up and is thrown away
            for load in loads:
                for target in targets:
                    row = bench.measure(target, load)
                    if number >= 0:
                        rows[load.name][target.name].append(row)
    for load in loads:
        print(table(load, rows[load.name]))
    print(start_table(starts))
    ours = [row for load in loads for name, told in rows[load.name].items() if name.startswith("hoosh") for row in told]
    if any(row["failed"] or row.get("short") for row in ours):
        sys.exit("hoosh failed requests")


if __name__ == "__main__":
    main()
